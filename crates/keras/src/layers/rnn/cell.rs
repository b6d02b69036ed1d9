//! What computes one step: the arguments and weights that all cells have, and the layer around them.

use keras_spec::layer::{Argument, Arguments, Cell};
use keras_spec::object::{from_config, to_config};
use keras_spec::random::SeedGenerator;
use keras_spec::{
    Builder, Call, Class, Config, Constraint, Error, Fused, Initializer, Layer, Object, PartialShape,
    Regularizer, Result, Shape, Shared, Tensor, Weight, result_type,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::activations::Activation;
use crate::initializers::{GlorotUniform, Orthogonal, Zeros};
use crate::layers::common::{LayerSeed, axis_length, fraction, input_of_rank, positive, weight_spec};
use crate::random;

/// What makes a recurrent layer an LSTM, a GRU or a simple one: the arguments that only it has, and its arithmetic.
///
/// Sealed: other recurrences are layers of their own.
pub trait RecurrentKind:
    Clone + std::fmt::Debug + Default + Serialize + DeserializeOwned + Send + Sync + sealed::Sealed + 'static
{
    /// The class of the cell.
    const CELL: Class;
    /// The class of the layer.
    const LAYER: Class;
    /// The name of the cell in the paths of weights.
    const CELL_NAME: &'static str;
    /// How many matrices stand side by side in the kernels.
    const GATES: usize;
    /// How many states there are; the first is the output.
    const STATES: usize;
    /// Whether Keras's constructor makes the generator before the initializers, and not after them.
    const GENERATOR_FIRST: bool;
    /// Whether the layer writes its seed to files.
    const SEED_IN_CONFIG: bool;
    /// Whether one operation can do all steps.
    const HAS_FUSED: bool = true;

    /// The shape of the bias.
    fn bias_shape(&self, units: usize) -> Shape {
        Shape::from([Self::GATES * units])
    }

    /// First values of the bias, where they are not those of the initializer.
    ///
    /// # Errors
    /// If the initializer fails.
    #[doc(hidden)]
    fn first_bias(&self, arguments: &CellArguments, builder: &Builder) -> Result<Option<Tensor>> {
        let _ = (arguments, builder);
        Ok(None)
    }

    /// How many masks of dropout there are.
    #[doc(hidden)]
    fn mask_count(recurrent_dropout: f64) -> usize {
        if recurrent_dropout > 0.0 { Self::GATES } else { 1 }
    }

    /// Whether Keras applies a rate of 1.
    #[doc(hidden)]
    const DROPS_EVERYTHING: bool = false;

    /// The part of the bias that is added to the product with the kernel.
    ///
    /// # Errors
    /// If the device fails.
    #[doc(hidden)]
    fn input_bias(&self, bias: &Tensor) -> Result<Tensor> {
        Ok(bias.clone())
    }

    /// The new states from `projected` `(batch, gates · units)`, the input's share, and the old ones `(batch, units)`.
    ///
    /// # Errors
    /// If an activation fails.
    #[doc(hidden)]
    fn step(&self, at: &Step, projected: &Tensor, states: &[Tensor]) -> Result<Vec<Tensor>>;

    /// The operation that does all steps at once, if there is one for these activations.
    #[doc(hidden)]
    fn fused(&self, arguments: &CellArguments, run: Run) -> Option<Fused>;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// How a sequence is run through.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub(super) reverse: bool,
    pub(super) mask: bool,
    pub(super) zero_output_for_mask: bool,
}

/// What all steps of a call have in common.
#[doc(hidden)]
#[derive(Debug)]
pub struct Step<'a> {
    pub(super) arguments: &'a CellArguments,
    pub(super) weights: &'a Weights,
    /// Masks of the recurrent dropout: none, one, or one per gate.
    pub(super) masks: &'a [Tensor],
}

impl Step<'_> {
    /// `h · recurrent_kernel` with the recurrent dropout.
    pub(super) fn recurrent(&self, h: &Tensor) -> Result<Tensor> {
        per_gate(h, &self.weights.recurrent, self.masks, Tensor::matmul)
    }

    /// The old state as gate `gate` sees it.
    pub(super) fn dropped(&self, h: &Tensor, gate: usize) -> Result<Tensor> {
        match self.masks.get(gate) {
            Some(mask) => h * mask,
            None => Ok(h.clone()),
        }
    }
}

/// The weights of a call, of one dtype.
#[doc(hidden)]
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) kernel: Tensor,
    pub(super) recurrent: Tensor,
    pub(super) bias: Option<Tensor>,
}

/// Masks of both dropouts, empty where nothing is dropped.
pub(super) struct Masks {
    pub(super) inputs: Vec<Tensor>,
    pub(super) recurrent: Vec<Tensor>,
}

impl Masks {
    /// As keyword arguments of a cell, which is given them with each step.
    fn into_arguments(self) -> Arguments {
        let named = [(INPUT_MASKS, self.inputs), (RECURRENT_MASKS, self.recurrent)];
        named.into_iter().map(|(name, masks)| (name.to_owned(), Argument::Tensors(masks))).collect()
    }

    /// What [`into_arguments`](Masks::into_arguments) gave, if a call has it.
    fn given(call: &Call) -> Option<Self> {
        let masks = |name| call.tensors(name).to_vec();
        call.arguments
            .contains_key(INPUT_MASKS)
            .then(|| Masks { inputs: masks(INPUT_MASKS), recurrent: masks(RECURRENT_MASKS) })
    }
}

const INPUT_MASKS: &str = "dropout_mask";
const RECURRENT_MASKS: &str = "recurrent_dropout_mask";

/// The product (or convolution) of `x` and a kernel of several gates; with several masks, each of as many parts of the kernel
/// gets the `x` that its mask leaves.
pub(super) fn per_gate(
    x: &Tensor,
    kernel: &Tensor,
    masks: &[Tensor],
    product: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    match masks {
        [] => product(x, kernel),
        [one] => product(&(x * one)?, kernel),
        many => {
            let parts = kernel.split(many.len(), -1)?;
            let products = many.iter().zip(&parts).map(|(mask, part)| product(&(x * mask)?, part));
            Tensor::concatenate(&products.collect::<Result<Vec<_>>>()?, -1)
        }
    }
}

/// The arguments that all cells have.
#[doc(hidden)]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default = "CellArguments::without_units")]
pub struct CellArguments {
    pub(super) units: usize,
    pub(super) activation: Activation,
    pub(super) use_bias: bool,
    pub(super) kernel_initializer: Shared<dyn Initializer>,
    pub(super) recurrent_initializer: Shared<dyn Initializer>,
    pub(super) bias_initializer: Shared<dyn Initializer>,
    pub(super) kernel_regularizer: Option<Shared<dyn Regularizer>>,
    pub(super) recurrent_regularizer: Option<Shared<dyn Regularizer>>,
    pub(super) bias_regularizer: Option<Shared<dyn Regularizer>>,
    pub(super) kernel_constraint: Option<Shared<dyn Constraint>>,
    pub(super) recurrent_constraint: Option<Shared<dyn Constraint>>,
    pub(super) bias_constraint: Option<Shared<dyn Constraint>>,
    pub(super) dropout: f64,
    pub(super) recurrent_dropout: f64,
    pub(super) seed: LayerSeed,
}

/// The order of the arguments in files, own ones of a kind included.
const ORDER: [&str; 18] = [
    "units",
    "activation",
    "recurrent_activation",
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "unit_forget_bias",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
    "reset_after",
    "seed",
];

impl CellArguments {
    pub(super) fn new(units: usize) -> Self {
        CellArguments {
            units,
            activation: Activation::Tanh,
            use_bias: true,
            kernel_initializer: GlorotUniform::new().into(),
            recurrent_initializer: Orthogonal::new().into(),
            bias_initializer: Zeros::new().into(),
            kernel_regularizer: None,
            recurrent_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            recurrent_constraint: None,
            bias_constraint: None,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            seed: LayerSeed::default(),
        }
    }

    /// What files leave out; without units they are refused.
    fn without_units() -> Self {
        CellArguments::new(0)
    }

    /// Refuses rates of dropout that are none.
    pub(super) fn validate_dropouts(&self) -> Result<()> {
        fraction("dropout", self.dropout)?;
        fraction("recurrent_dropout", self.recurrent_dropout)
    }

    /// Draws `count` masks for inputs like `x` and as many for states like `state`, as Keras does also where nothing is then
    /// dropped, and gives those that are to be applied. A rate of 1 is, if `everything`.
    pub(super) fn draw_masks(
        &self,
        count: usize,
        everything: bool,
        x: &Tensor,
        state: &Tensor,
        training: bool,
    ) -> Result<Masks> {
        let seed = self.seed.generator().clone().into();
        let draw = |rate: f64, like: &Tensor| -> Result<Vec<Tensor>> {
            if rate <= 0.0 {
                return Ok(Vec::new());
            }
            let ones = Tensor::full(like.shape(), like.dtype(), 1.0, like.device())?;
            let masks = (0..count).map(|_| random::dropout(&ones, rate, None, Some(&seed)));
            let masks = masks.collect::<Result<Vec<_>>>()?;
            Ok(if training && (rate < 1.0 || everything) { masks } else { Vec::new() })
        };
        let inputs = draw(self.dropout, x)?;
        Ok(Masks { inputs, recurrent: draw(self.recurrent_dropout, state)? })
    }
}

/// Writes the builder methods of [`CellArguments`] for a struct that has them in `$place`.
macro_rules! cell_arguments {
    ($($place:ident).+) => {
        $crate::layers::rnn::cell::cell_arguments! { @into $($place).+;
            /// Of the output (and of an LSTM's and GRU's candidate). Default: tanh.
            activation: Activation;
            /// First values of the kernel. Default: `GlorotUniform`.
            kernel_initializer: Shared<dyn Initializer>;
            /// First values of the recurrent kernel. Default: `Orthogonal`.
            recurrent_initializer: Shared<dyn Initializer>;
            /// First values of the bias. Default: `Zeros`.
            bias_initializer: Shared<dyn Initializer>;
            /// A penalty on the kernel.
            kernel_regularizer: Option<Shared<dyn Regularizer>>, Shared<dyn Regularizer>;
            /// A penalty on the recurrent kernel.
            recurrent_regularizer: Option<Shared<dyn Regularizer>>, Shared<dyn Regularizer>;
            /// A penalty on the bias.
            bias_regularizer: Option<Shared<dyn Regularizer>>, Shared<dyn Regularizer>;
            /// Where the kernel is moved after each step.
            kernel_constraint: Option<Shared<dyn Constraint>>, Shared<dyn Constraint>;
            /// Where the recurrent kernel is moved after each step.
            recurrent_constraint: Option<Shared<dyn Constraint>>, Shared<dyn Constraint>;
            /// Where the bias is moved after each step.
            bias_constraint: Option<Shared<dyn Constraint>>, Shared<dyn Constraint>;
            /// Which fraction of the inputs is dropped while training, the same at each step.
            dropout: f64;
            /// Which fraction of the state is dropped on its way to the next step while training.
            recurrent_dropout: f64;
        }

        /// Whether there is a bias. Default: yes.
        #[must_use]
        pub fn use_bias(mut self, use_bias: bool) -> Self {
            self.$($place).+.use_bias = use_bias;
            self
        }

        /// The seed of the dropouts' generator. Default: drawn.
        #[must_use]
        pub fn seed(mut self, seed: u32) -> Self {
            self.$($place).+.seed = seed.into();
            self
        }
    };
    (@into $($place:ident).+;) => {};
    (@into $($place:ident).+; $(#[$doc:meta])* $name:ident: Option<$Kept:ty>, $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$Type>) -> Self {
            self.$($place).+.$name = Some($name.into());
            self
        }
        $crate::layers::rnn::cell::cell_arguments! { @into $($place).+; $($rest)* }
    };
    (@into $($place:ident).+; $(#[$doc:meta])* $name:ident: $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$Type>) -> Self {
            self.$($place).+.$name = $name.into();
            self
        }
        $crate::layers::rnn::cell::cell_arguments! { @into $($place).+; $($rest)* }
    };
}
pub(super) use cell_arguments;

/// One step of a recurrent layer: `(batch, features)` and the states `(batch, units)` → the output `(batch, units)` and the
/// new states (`keras.layers.SimpleRNNCell`, `LSTMCell` and `GRUCell`, Keras 3.15.1).
///
/// Weights: `kernel` `(features, gates · units)`, `recurrent_kernel` `(units, gates · units)`, `bias`. Called by itself, a
/// cell draws new masks for its dropouts at each call; within a layer they are the same at all steps.
#[derive(Clone, Debug)]
pub struct RecurrentCell<K: RecurrentKind> {
    pub(super) arguments: CellArguments,
    pub(super) kind: K,
    pub(super) kernel: Weight,
    pub(super) recurrent_kernel: Weight,
    pub(super) bias: Weight,
}

impl<K: RecurrentKind> RecurrentCell<K> {
    /// A cell with states of `units` numbers per sample.
    pub fn new(units: usize) -> Self {
        RecurrentCell::of(CellArguments::new(units), K::default())
    }

    cell_arguments!(arguments);

    fn of(arguments: CellArguments, kind: K) -> Self {
        RecurrentCell {
            arguments,
            kind,
            kernel: Weight::default(),
            recurrent_kernel: Weight::default(),
            bias: Weight::default(),
        }
    }

    /// From the configuration of a cell, or what is left of a layer's (`class` is what messages name).
    pub(super) fn from_config(class: Class, config: &Config) -> Result<Self> {
        let mut rest = config.clone();
        // Keras takes it and does not keep it; it chooses between ways to the same result.
        rest.shift_remove("implementation");
        let own = take(&mut rest, &K::default())?;
        let cell = RecurrentCell::of(from_config(class, &rest)?, from_config(class, &own)?);
        cell.validate()?;
        Ok(cell)
    }

    pub(super) fn validate(&self) -> Result<()> {
        positive("units", self.arguments.units)?;
        self.arguments.validate_dropouts()
    }

    /// The weights in the dtype that they have in common with the inputs.
    pub(super) fn weights(&self, x: &Tensor) -> Result<Weights> {
        let kernel = self.kernel.value()?;
        let dtype = result_type(&[x.dtype().into(), kernel.dtype().into()]);
        Ok(Weights {
            kernel: kernel.into_dtype(dtype)?,
            recurrent: self.recurrent_kernel.value()?.into_dtype(dtype)?,
            bias: self.bias.optional()?.map(|b| b.into_dtype(dtype)).transpose()?,
        })
    }

    /// Draws the masks for inputs `(batch, features)` and states `(batch, units)`.
    pub(super) fn draw_masks(&self, x: &Tensor, state: &Tensor, training: bool) -> Result<Masks> {
        let count = K::mask_count(self.arguments.recurrent_dropout);
        self.arguments.draw_masks(count, K::DROPS_EVERYTHING, x, state, training)
    }

    /// The inputs' share `x · kernel + bias` `(batch, …, gates · units)`.
    pub(super) fn project(&self, x: &Tensor, weights: &Weights, masks: &[Tensor]) -> Result<Tensor> {
        let y = per_gate(x, &weights.kernel, masks, Tensor::matmul)?;
        match &weights.bias {
            Some(bias) => y + self.kind.input_bias(bias)?,
            None => Ok(y),
        }
    }

    /// The arguments in Keras's order.
    pub(super) fn arguments_config(&self) -> Result<Config> {
        let mut all = to_config(&self.arguments)?;
        all.extend(to_config(&self.kind)?);
        Ok(in_order(all))
    }
}

/// Arguments in the order of Keras's files.
pub(super) fn in_order(mut all: Config) -> Config {
    ORDER.iter().filter_map(|key| all.shift_remove_entry(*key)).collect()
}

/// Takes what `like` has keys for out of a configuration.
pub(super) fn take(config: &mut Config, like: &impl Serialize) -> Result<Config> {
    let keys = to_config(like)?;
    Ok(keys.keys().filter_map(|key| config.shift_remove_entry(key)).collect())
}

/// Refuses states of another number or shape than `count` times `(batch, units)`.
pub(super) fn check_states(
    states: &[PartialShape],
    count: usize,
    input: &PartialShape,
    units: usize,
) -> Result<()> {
    let due = PartialShape::from([input.first().copied().flatten(), Some(units)]);
    let fits = |s: &PartialShape| {
        s.rank() == 2 && s.iter().zip(due.iter()).all(|(a, b)| a.is_none() || b.is_none() || a == b)
    };
    if states.len() == count && states.iter().all(fits) {
        return Ok(());
    }
    let found = states.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let found = format!("{} tensors of shapes {found}", states.len());
    Err(Error::argument("initial_state", format!("{count} tensors of shape {due}"), found))
}

impl<K: RecurrentKind> Object for RecurrentCell<K> {
    fn class(&self) -> Class {
        K::CELL
    }

    fn config(&self) -> Result<Config> {
        self.arguments_config()
    }
}

impl<K: RecurrentKind> Layer for RecurrentCell<K> {
    fn draw_seeds(&self) {
        if K::GENERATOR_FIRST {
            self.arguments.seed.generator();
        }
        self.arguments.kernel_initializer.draw_seed();
        self.arguments.recurrent_initializer.draw_seed();
        self.arguments.bias_initializer.draw_seed();
        self.arguments.seed.generator();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let (x, states) = inputs.split_at(inputs.len().min(1));
        let x = input_of_rank(x, 2)?;
        if let Some(kernel) = self.kernel.get() {
            axis_length(x, -1, kernel.shape()[0])?;
        }
        // A layer builds its cell with the shape of its inputs alone.
        if states.is_empty() && self.kernel.get().is_none() {
            return Ok(());
        }
        check_states(states, K::STATES, x, self.arguments.units)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let a = &self.arguments;
        let x = inputs.first().ok_or_else(|| Error::argument("inputs", "at least one tensor", "none"))?;
        let features = builder.known_dim(x, -1)?;
        let wide = K::GATES.checked_mul(a.units);
        let wide = wide.ok_or_else(|| Error::argument("units", "a number that fits in memory", a.units))?;
        let kernel = weight_spec(
            "kernel",
            [features, wide],
            &a.kernel_initializer,
            a.kernel_regularizer.as_ref(),
            a.kernel_constraint.as_ref(),
        )?;
        builder.weight(&self.kernel, kernel)?;
        let recurrent = weight_spec(
            "recurrent_kernel",
            [a.units, wide],
            &a.recurrent_initializer,
            a.recurrent_regularizer.as_ref(),
            a.recurrent_constraint.as_ref(),
        )?;
        builder.weight(&self.recurrent_kernel, recurrent)?;
        if !a.use_bias {
            return Ok(());
        }
        let first = self.kind.first_bias(a, builder)?;
        let initializer = if first.is_some() { &Zeros::new().into() } else { &a.bias_initializer };
        let bias = weight_spec(
            "bias",
            self.kind.bias_shape(a.units),
            initializer,
            a.bias_regularizer.as_ref(),
            a.bias_constraint.as_ref(),
        )?;
        builder.weight(&self.bias, bias)?;
        match first {
            Some(first) => self.bias.variable()?.assign(&first),
            None => Ok(()),
        }
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, states @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor and the states", "nothing"));
        };
        let shapes: Vec<PartialShape> = inputs.iter().map(|t| t.shape().into()).collect();
        check_states(&shapes[1..], K::STATES, &shapes[0], self.arguments.units)?;
        let weights = self.weights(x)?;
        let x = x.cast(weights.kernel.dtype())?;
        let masks = match Masks::given(call) {
            Some(masks) => masks,
            None => self.draw_masks(&x, &states[0], call.training)?,
        };
        let projected = self.project(&x, &weights, &masks.inputs)?;
        let at = Step { arguments: &self.arguments, weights: &weights, masks: &masks.recurrent };
        let states = self.kind.step(&at, &projected, states)?;
        Ok(states.first().cloned().into_iter().chain(states).collect())
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        vec![self.arguments.seed.generator().clone()]
    }
}

impl<K: RecurrentKind> Cell for RecurrentCell<K> {
    fn state_size(&self) -> Vec<usize> {
        vec![self.arguments.units; K::STATES]
    }

    fn constants(&self, step: &Tensor, states: &[Tensor], call: &Call) -> Result<Arguments> {
        let state = states.first().ok_or_else(|| Error::argument("states", "at least one", "none"))?;
        Ok(self.draw_masks(step, state, call.training)?.into_arguments())
    }
}
