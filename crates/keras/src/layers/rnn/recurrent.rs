//! The layer around a cell: steps, masks, states.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use keras_spec::layer::Child;
use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Builder, Call, Class, Config, Constraint, DType, DTypePolicy, Error, Initializer, Layer, LayerExt,
    LayerRef, Object, Op, PartialShape, Regularizer, Result, Shape, Shared, Tensor, TensorSpec, Variable,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cell::{
    Masks, RecurrentCell, RecurrentKind, Run, Step, Weights, cell_arguments, check_states, take,
};
use super::{GRU, LSTM, SimpleRNN};
use crate::activations::Activation;
use crate::layers::common::{axis_length, input_of_rank};

/// Registers the cell and the layer of a kind.
macro_rules! register {
    ($Kind:ident) => {
        keras_spec::register!(dyn Layer, <$Kind as RecurrentKind>::CELL, |config| {
            Ok(Box::new(RecurrentCell::<$Kind>::from_config($Kind::CELL, config)?))
        });
        keras_spec::register!(dyn Layer, <$Kind as RecurrentKind>::LAYER, |config| {
            Ok(Box::new(Recurrent::<$Kind>::from_config(config)?))
        });
    };
}
pub(super) use register;

/// Whether the steps of an [`LSTM`](super::LSTM) or [`GRU`](super::GRU) are done by one operation of the backend: what Keras
/// asks cuDNN for. Files do not hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseCudnn {
    /// If there is such an operation for the layer's arguments.
    #[default]
    Auto,
    /// Yes; if there is none, calls fail.
    Always,
    /// No: each step is a sequence of operations.
    Never,
}

impl From<bool> for UseCudnn {
    fn from(use_cudnn: bool) -> Self {
        if use_cudnn { UseCudnn::Always } else { UseCudnn::Never }
    }
}

impl UseCudnn {
    fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Bool(b) => Ok((*b).into()),
            Value::String(s) if s == "auto" => Ok(UseCudnn::Auto),
            other => Err(Error::argument("use_cudnn", "one of \"auto\", true, false", other)),
        }
    }

    pub(super) fn to_value(self) -> Value {
        match self {
            UseCudnn::Auto => json!("auto"),
            UseCudnn::Always => json!(true),
            UseCudnn::Never => json!(false),
        }
    }
}

/// The arguments of the layer beside its cell's.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SequenceArguments {
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
    stateful: bool,
    unroll: bool,
    /// `Bidirectional` sets it in layers that it is given.
    zero_output_for_mask: AtomicBool,
}

/// A recurrent layer; [`SimpleRNN`](super::SimpleRNN), [`LSTM`](super::LSTM) and [`GRU`](super::GRU) are the kinds.
///
/// Inputs are `(batch, steps, features)` and, if wanted, the initial states, each `(batch, units)`; they may also be the
/// keyword argument `initial_state`. The output is that of the last step, or those of all steps with `return_sequences`; with
/// `return_state` the last states follow it. A mask `(batch, steps)` says which steps count: at others the states stay.
///
/// Weights belong to the cell: `kernel` `(features, gates · units)`, `recurrent_kernel` `(units, gates · units)`, `bias`.
#[derive(Debug)]
pub struct Recurrent<K: RecurrentKind> {
    sequence: SequenceArguments,
    pub(super) use_cudnn: UseCudnn,
    pub(super) cell: RecurrentCell<K>,
    /// The cell as a layer; shares weights and generator with `cell`.
    part: OnceLock<LayerRef>,
    states: OnceLock<Vec<Variable>>,
}

impl<K: RecurrentKind> Recurrent<K> {
    /// A layer with states of `units` numbers per sample.
    pub fn new(units: usize) -> Self {
        Recurrent::of(SequenceArguments::default(), UseCudnn::Auto, RecurrentCell::new(units))
    }

    cell_arguments!(cell.arguments);

    fn of(sequence: SequenceArguments, use_cudnn: UseCudnn, cell: RecurrentCell<K>) -> Self {
        Recurrent { sequence, use_cudnn, cell, part: OnceLock::new(), states: OnceLock::new() }
    }

    pub(super) fn from_config(config: &Config) -> Result<Self> {
        let mut rest = config.clone();
        let sequence = take(&mut rest, &SequenceArguments::default())?;
        let sequence = from_config(K::LAYER, &sequence)?;
        // Only kinds that have a single operation take the argument.
        let cudnn = if K::HAS_FUSED { rest.shift_remove("use_cudnn") } else { None };
        let cudnn = cudnn.map_or(Ok(UseCudnn::Auto), |v| UseCudnn::from_value(&v))?;
        Ok(Recurrent::of(sequence, cudnn, RecurrentCell::from_config(K::LAYER, &rest)?))
    }
}

/// Writes the builder methods of [`SequenceArguments`].
macro_rules! sequence_arguments {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl<K: RecurrentKind> Recurrent<K> {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: bool) -> Self {
                self.sequence.$name = $name.into();
                self
            })*
        }
    };
}

sequence_arguments! {
    /// Whether the outputs of all steps are returned, and not only the last.
    return_sequences;
    /// Whether the last states follow the output.
    return_state;
    /// Whether the steps are taken from the last to the first; outputs are in that order.
    go_backwards;
    /// Whether a batch starts with the states that the one before it ended with.
    stateful;
    /// Whether the number of steps is fixed; then outputs at masked steps before the first that counts are 0.
    unroll;
    /// Whether outputs at masked steps are 0, and not that of the step before. Not with `unroll`.
    zero_output_for_mask;
}

impl<K: RecurrentKind> Recurrent<K> {
    /// Whether the layer keeps its states between batches.
    pub fn is_stateful(&self) -> bool {
        self.sequence.stateful
    }

    /// The states that a stateful layer keeps, each `(batch, units)`; empty before it is built.
    pub fn states(&self) -> &[Variable] {
        self.states.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the states of a stateful layer to 0 (`RNN.reset_state`).
    ///
    /// # Errors
    /// If the device fails.
    pub fn reset_state(&self) -> Result<()> {
        for state in self.states() {
            state.assign(&Tensor::full(state.shape(), state.dtype(), 0.0, state.get().device())?)?;
        }
        Ok(())
    }

    fn units(&self) -> usize {
        self.cell.arguments.units
    }

    fn initial_states(&self, x: &Tensor, given: &[Tensor], call: &Call, dtype: DType) -> Result<Vec<Tensor>> {
        let given = if given.is_empty() { call.tensors("initial_state") } else { given };
        if !given.is_empty() {
            let shapes: Vec<PartialShape> = given.iter().map(|s| s.shape().into()).collect();
            check_states(&shapes, K::STATES, &x.shape().into(), self.units())?;
            return given.iter().map(|s| s.cast(dtype)).collect();
        }
        if self.sequence.stateful {
            return self.states().iter().map(|s| s.get().into_dtype(dtype)).collect();
        }
        let zeros = Tensor::full([x.shape()[0], self.units()], dtype, 0.0, x.device())?;
        Ok(vec![zeros; K::STATES])
    }

    /// Whether the output of a masked step is the state that stayed, or zero.
    fn zeroes(&self) -> bool {
        self.sequence.zero_output_for_mask.load(Ordering::Relaxed) && !self.sequence.unroll
    }

    /// All steps as one operation: the output or outputs, and the last states. `None` if there is no such operation.
    fn at_once(
        &self,
        x: &Tensor,
        weights: &Weights,
        masks: &Masks,
        mask: Option<&Tensor>,
        states: &[Tensor],
        zero_states: bool,
    ) -> Result<Option<(Tensor, Vec<Tensor>)>> {
        // Unrolled, Keras gives zeros before the first step that counts, whatever the initial state.
        let unrolled = self.sequence.unroll && mask.is_some() && !zero_states;
        if self.use_cudnn == UseCudnn::Never
            || masks.inputs.len() > 1
            || !masks.recurrent.is_empty()
            || unrolled
        {
            return Ok(None);
        }
        let run = Run {
            reverse: self.sequence.go_backwards,
            mask: mask.is_some(),
            zero_output_for_mask: self.zeroes(),
        };
        let Some(fused) = self.cell.kind.fused(&self.cell.arguments, run) else { return Ok(None) };
        let x = match masks.inputs.first() {
            Some(dropped) => (x * dropped)?,
            None => x.clone(),
        };
        let bias = match &weights.bias {
            Some(bias) => bias.clone(),
            None => Tensor::full(
                self.cell.kind.bias_shape(self.units()),
                weights.kernel.dtype(),
                0.0,
                x.device(),
            )?,
        };
        let mut operands = vec![x, weights.kernel.clone(), weights.recurrent.clone(), bias];
        operands.extend(states.iter().chain(mask).cloned());
        let results = Tensor::apply(Op::Fused(fused), operands)?;
        let (Some(outputs), Some(last)) = (results.first(), results.get(1..=K::STATES)) else {
            return Err(Error::other("an operation with too few results"));
        };
        let output = match (self.sequence.return_sequences, mask.is_some() && self.zeroes()) {
            (true, _) => outputs.clone(),
            (false, true) => outputs.index(1, outputs.shape()[1] - 1)?,
            (false, false) => last[0].clone(),
        };
        Ok(Some((output, last.to_vec())))
    }

    /// The same step by step.
    fn by_steps(
        &self,
        x: &Tensor,
        weights: &Weights,
        masks: &Masks,
        mask: Option<&Tensor>,
        mut states: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let projected = self.cell.project(x, weights, &masks.inputs)?;
        let at = Step { arguments: &self.cell.arguments, weights, masks: &masks.recurrent };
        let count = x.shape()[1];
        let nothing = Tensor::full(Shape::scalar(), projected.dtype(), 0.0, x.device())?;
        let mut outputs: Vec<Tensor> = Vec::new();
        for i in 0..count {
            let t = if self.sequence.go_backwards { count - 1 - i } else { i };
            let new = self.cell.kind.step(&at, &projected.index(1, t)?, &states)?;
            let Some(mask) = mask else {
                outputs.push(new[0].clone());
                states = new;
                continue;
            };
            let counts = mask.index(1, t)?.expand_dims(-1)?;
            let otherwise = match (self.sequence.unroll, outputs.last()) {
                (true, Some(earlier)) => earlier,
                (true, None) => &nothing,
                (false, _) if self.zeroes() => &nothing,
                (false, _) => &states[0],
            };
            outputs.push(counts.select(&new[0], otherwise)?);
            let kept = new.iter().zip(&states).map(|(new, old)| counts.select(new, old));
            states = kept.collect::<Result<_>>()?;
        }
        let output = match self.sequence.return_sequences {
            true => Tensor::stack(&outputs, 1)?,
            false => {
                outputs.pop().ok_or_else(|| Error::argument("inputs", "at least one step", x.shape()))?
            }
        };
        Ok((output, states))
    }
}

/// The mask as `(batch, steps)` of dtype `bool`.
fn step_mask(mask: &Tensor, x: &Tensor) -> Result<Tensor> {
    if mask.shape()[..] != x.shape()[..2] {
        let due = format!("shape ({}, {})", x.shape()[0], x.shape()[1]);
        return Err(Error::argument("mask", due, mask.shape()));
    }
    mask.cast(DType::Bool)
}

impl<K: RecurrentKind> Object for Recurrent<K> {
    fn class(&self) -> Class {
        K::LAYER
    }

    fn config(&self) -> Result<Config> {
        let mut config = to_config(&self.sequence)?;
        config.extend(self.cell.arguments_config()?);
        if !K::SEED_IN_CONFIG {
            config.shift_remove("seed");
        }
        Ok(config)
    }
}

impl<K: RecurrentKind> Layer for Recurrent<K> {
    fn make_parts(&self, policy: DTypePolicy) {
        self.part.get_or_init(|| self.cell.clone().name(K::CELL_NAME).dtype(policy).into());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.cell.validate()?;
        let (x, states) = inputs.split_at(inputs.len().min(1));
        let x = input_of_rank(x, 3)?;
        if x[1] == Some(0) {
            return Err(Error::argument("inputs", "at least one step along axis 1", format!("shape {x}")));
        }
        if self.sequence.unroll && x[1].is_none() {
            let found = format!("shape {x} with `unroll`");
            return Err(Error::argument("inputs", "a known number of steps along axis 1", found));
        }
        if let Some(kernel) = self.cell.kernel.get() {
            axis_length(x, -1, kernel.shape()[0])?;
        }
        if let Some(state) = self.states().first() {
            axis_length(x, 0, state.shape()[0])?;
        }
        if states.is_empty() { Ok(()) } else { check_states(states, K::STATES, x, self.units()) }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let x = input_of_rank(inputs.get(..1).unwrap_or_default(), 3)?;
        if let Some(part) = self.part.get() {
            builder.child(part, &[PartialShape::from([x[0], x[2]])])?;
        }
        if !self.sequence.stateful {
            return Ok(());
        }
        let Some(batch) = x[0] else {
            let found = format!("shape {x}");
            return Err(Error::argument("inputs", "a known batch size, which `stateful` needs", found));
        };
        let zeros = Tensor::full([batch, self.units()], builder.variable_dtype(), 0.0, builder.device())?;
        let state = || Variable::new("rnn_state", zeros.clone(), false);
        self.states.get_or_init(|| (0..K::STATES).map(|_| state()).collect());
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, given @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor", "nothing"));
        };
        let weights = self.cell.weights(x)?;
        let dtype = weights.kernel.dtype();
        let x = x.cast(dtype)?;
        let mask = call.mask(0).map(|m| step_mask(m, &x)).transpose()?;
        let states = self.initial_states(&x, given, call, dtype)?;
        let zero_states =
            given.is_empty() && call.tensors("initial_state").is_empty() && !self.sequence.stateful;
        let mut masks = self.cell.draw_masks(&x.index(1, 0)?, &states[0], call.training)?;
        for mask in &mut masks.inputs {
            *mask = mask.expand_dims(1)?;
        }
        let at_once = self.at_once(&x, &weights, &masks, mask.as_ref(), &states, zero_states)?;
        let (output, last) = match at_once {
            Some(done) => done,
            None if self.use_cudnn == UseCudnn::Always => {
                let found = "activations, dropout or masks for which there is none";
                return Err(Error::argument("use_cudnn", "a layer that one operation can do", found));
            }
            None => self.by_steps(&x, &weights, &masks, mask.as_ref(), states)?,
        };
        if self.sequence.stateful {
            for (kept, state) in self.states().iter().zip(&last) {
                kept.assign(state)?;
            }
        }
        let mut outputs = vec![output.into_dtype(call.compute_dtype())?];
        if self.sequence.return_state {
            for state in last {
                outputs.push(state.into_dtype(call.compute_dtype())?);
            }
        }
        Ok(outputs)
    }

    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let Some(x) = inputs.first() else { return Ok(None) };
        let dtype = self.part.get().map_or(call.compute_dtype(), |p| p.policy().compute_dtype());
        let (batch, steps, units) = (x.shape[0], x.shape[1], Some(self.units()));
        let state = || TensorSpec::new([batch, units], dtype);
        let mut outputs = vec![match self.sequence.return_sequences {
            true => TensorSpec::new([batch, steps, units], dtype),
            false => state(),
        }];
        if self.sequence.return_state {
            outputs.extend((0..K::STATES).map(|_| state()));
        }
        Ok(Some(outputs))
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, _inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let mask = masks.first().cloned().flatten();
        Ok(vec![mask.filter(|_| self.sequence.return_sequences)])
    }

    fn children(&self) -> Vec<Child> {
        self.part.get().map(|part| Child::one("cell", part)).into_iter().collect()
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
    }

    fn build_config(&self, shapes: &[PartialShape]) -> Option<Value> {
        sequence_build_config(shapes)
    }
}

/// A layer of any kind, for what wraps one.
pub(super) enum RecurrentLayer<'a> {
    SimpleRnn(&'a SimpleRNN),
    Lstm(&'a LSTM),
    Gru(&'a GRU),
}

impl<'a> RecurrentLayer<'a> {
    /// The layer, if it is one of these.
    pub(super) fn of(layer: &'a LayerRef) -> Option<Self> {
        layer
            .downcast()
            .map(RecurrentLayer::Lstm)
            .or_else(|| layer.downcast().map(RecurrentLayer::Gru))
            .or_else(|| layer.downcast().map(RecurrentLayer::SimpleRnn))
    }

    pub(super) fn reset_state(&self) -> Result<()> {
        match self {
            RecurrentLayer::SimpleRnn(layer) => layer.reset_state(),
            RecurrentLayer::Lstm(layer) => layer.reset_state(),
            RecurrentLayer::Gru(layer) => layer.reset_state(),
        }
    }

    /// The argument, of kinds that have it.
    pub(super) fn use_cudnn(self) -> Option<UseCudnn> {
        match self {
            RecurrentLayer::SimpleRnn(_) => None,
            RecurrentLayer::Lstm(layer) => Some(layer.use_cudnn),
            RecurrentLayer::Gru(layer) => Some(layer.use_cudnn),
        }
    }

    /// Says whether outputs at masked steps are 0.
    pub(super) fn zero_output_for_mask(&self, zero: bool) {
        let sequence = match self {
            RecurrentLayer::SimpleRnn(layer) => &layer.sequence,
            RecurrentLayer::Lstm(layer) => &layer.sequence,
            RecurrentLayer::Gru(layer) => &layer.sequence,
        };
        sequence.zero_output_for_mask.store(zero, Ordering::Relaxed);
    }
}

/// What files record of the shapes of sequences and initial states.
pub(super) fn sequence_build_config(shapes: &[PartialShape]) -> Option<Value> {
    let (x, states) = shapes.split_first()?;
    Some(match states {
        [] => json!({ "input_shape": x }),
        [one] => json!({ "shapes_dict": { "sequences_shape": x, "initial_state_shape": one } }),
        states => json!({ "shapes_dict": { "sequences_shape": x, "initial_state_shape": states } }),
    })
}
