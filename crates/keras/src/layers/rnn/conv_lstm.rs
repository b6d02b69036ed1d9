use std::sync::OnceLock;

use keras_spec::layer::Child;
use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Builder, Call, Class, Config, Constraint, DTypePolicy, Error, Initializer, Layer, LayerExt, LayerRef,
    Object, PartialShape, Regularizer, Result, Shared, Tensor, TensorSpec,
};
use serde_json::Value;

use super::cell::{cell_arguments, take};
use super::conv_lstm_cell::ConvLSTMCell;
use super::sequence::{Sequence, sequence_build_config, sequence_methods, step_mask, step_shape, used_mask};
use crate::activations::Activation;
use crate::layers::common::{DataFormat, Lengths, input_of_rank};
use crate::layers::window::Padding;

/// An LSTM whose products are convolutions over `N` spatial axes: [`ConvLSTM1D`], [`ConvLSTM2D`] and [`ConvLSTM3D`].
///
/// Inputs are `(batch, steps, spatial…, channels)` and, if wanted, the two initial states `(batch, spatial'…, filters)`, also
/// as the keyword argument `initial_state`. The output is that of the last step, or those of all steps with
/// `return_sequences`; with `return_state` the last states follow it. A mask `(batch, steps)` says which steps count: at
/// others the states stay. (Keras does the same with `unroll`; without, its JAX backend fails with most shapes.)
///
/// Weights: `kernel` `(window…, channels, 4 · filters)`, `recurrent_kernel` `(window…, filters, 4 · filters)`, `bias`
/// `(4 · filters,)`.
#[derive(Debug)]
pub struct ConvLSTM<const N: usize> {
    pub(super) sequence: Sequence,
    cell: ConvLSTMCell<N>,
    /// The cell as a layer; shares weights and generator with `cell`.
    part: OnceLock<LayerRef>,
}

/// A convolutional LSTM over sequences of sequences: `(batch, steps, length, channels)` → `(batch, length', filters)`
/// (`keras.layers.ConvLSTM1D`, Keras 3.15.1).
pub type ConvLSTM1D = ConvLSTM<1>;

/// A convolutional LSTM over sequences of images: `(batch, steps, height, width, channels)` → `(batch, height', width',
/// filters)` (`keras.layers.ConvLSTM2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::{ConvLSTM2D, Padding};
///
/// let layer = ConvLSTM2D::new(16, 3).padding(Padding::Same).return_sequences(true);
/// # let _ = layer;
/// ```
pub type ConvLSTM2D = ConvLSTM<2>;

/// A convolutional LSTM over sequences of volumes: `(batch, steps, depth, height, width, channels)` → `(batch, depth',
/// height', width', filters)` (`keras.layers.ConvLSTM3D`, Keras 3.15.1).
pub type ConvLSTM3D = ConvLSTM<3>;

macro_rules! register {
    ($($Layer:ident),*) => {$(
        impl $Layer {
            const CLASS: Class = Class::keras("keras.layers", stringify!($Layer));
        }

        keras_spec::register!(dyn Layer, $Layer::CLASS, |config| {
            Ok(Box::new($Layer::from_config($Layer::CLASS, config)?))
        });

        impl Object for $Layer {
            fn class(&self) -> Class {
                Self::CLASS
            }

            fn config(&self) -> Result<Config> {
                let mut config = to_config(&self.sequence)?;
                config.extend(self.cell.arguments_config()?);
                Ok(config)
            }
        }
    )*};
}

register!(ConvLSTM1D, ConvLSTM2D, ConvLSTM3D);

impl<const N: usize> ConvLSTM<N> {
    /// States of `filters` channels by windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<N>>) -> Self {
        ConvLSTM::of(Sequence::default(), ConvLSTMCell::new(filters, kernel_size.into()))
    }

    sequence_methods!();
    cell_arguments!(cell.arguments);

    fn of(sequence: Sequence, cell: ConvLSTMCell<N>) -> Self {
        ConvLSTM { sequence, cell, part: OnceLock::new() }
    }

    fn from_config(class: Class, config: &Config) -> Result<Self> {
        let mut rest = config.clone();
        let sequence = from_config(class, &take(&mut rest, &Sequence::default())?)?;
        Ok(ConvLSTM::of(sequence, ConvLSTMCell::from_config(class, &rest)?))
    }

    /// Steps of the window over the inputs. Default: 1.
    #[must_use]
    pub fn strides(mut self, strides: impl Into<Lengths<N>>) -> Self {
        self.cell.convolution.window.strides = strides.into();
        self
    }

    /// What is put around the inputs. Default: nothing.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.cell.convolution.window.padding = padding;
        self
    }

    /// Where the channels are.
    #[must_use]
    pub fn data_format(mut self, data_format: DataFormat) -> Self {
        self.cell.convolution.window.data_format = data_format;
        self
    }

    /// Distances between the elements of the window over the inputs, 1 unless `strides` are. Default: 1.
    #[must_use]
    pub fn dilation_rate(mut self, dilation_rate: impl Into<Lengths<N>>) -> Self {
        self.cell.convolution.window.dilation_rate = dilation_rate.into();
        self
    }

    /// Of the gates. Default: sigmoid.
    #[must_use]
    pub fn recurrent_activation(mut self, recurrent_activation: impl Into<Activation>) -> Self {
        self.cell.kind.recurrent_activation = recurrent_activation.into();
        self
    }

    /// Whether the bias of the forget gate starts as 1. Default: yes.
    #[must_use]
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.cell.kind.unit_forget_bias = unit_forget_bias;
        self
    }
}

impl<const N: usize> Layer for ConvLSTM<N>
where
    Self: Object,
{
    fn make_parts(&self, policy: DTypePolicy) {
        self.part.get_or_init(|| self.cell.clone().name("conv_lstm_cell").dtype(policy).into());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let x = input_of_rank(&inputs[..inputs.len().min(1)], N + 3)?;
        self.sequence.check(x)?;
        let step = step_shape(x);
        self.cell.check_inputs(std::slice::from_ref(&step))?;
        self.cell.state_shape(&step).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let x = input_of_rank(&inputs[..inputs.len().min(1)], N + 3)?;
        let mut step = step_shape(x);
        if let Some(part) = self.part.get() {
            builder.child(part, std::slice::from_ref(&step))?;
        }
        let dtype = builder.variable_dtype();
        self.sequence.build(builder, x, |batch| {
            step.0[0] = Some(batch);
            self.cell.initial_state(&step, dtype, builder.device())
        })
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, given @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor", "nothing"));
        };
        let weights = self.cell.weights(x)?;
        let dtype = weights.kernel.dtype();
        let x = x.cast(dtype)?;
        let mask = used_mask(call, given).map(|m| step_mask(m, &x)).transpose()?;
        let first_step = x.index(1, 0)?;
        let first = || self.cell.initial_state(&first_step.shape().into(), dtype, x.device());
        let states = self.sequence.initial_states(given, call, dtype, first)?;
        let masks = self.cell.draw_masks(&first_step, &states[0], call.training)?;
        let step = |t: usize, states: &[Tensor]| {
            let new = self.cell.step(&x.index(1, t)?, states, &weights, &masks)?;
            Ok((new[0].clone(), new))
        };
        let done = self.sequence.run(x.shape()[1], mask.as_ref(), states, 0, step)?;
        self.sequence.finish(done, call.compute_dtype())
    }

    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let Some(x) = inputs.first() else { return Ok(None) };
        let dtype = self.part.get().map_or(call.compute_dtype(), |p| p.policy().compute_dtype());
        let state = TensorSpec::new(self.cell.state_shape(&step_shape(&x.shape))?, dtype);
        let states = [state.clone(), state.clone()];
        Ok(Some(self.sequence.output_specs(x.shape[1], state, states)))
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, _inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(self.sequence.mask(masks))
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
