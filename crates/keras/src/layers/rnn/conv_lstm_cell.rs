//! One step of a convolutional LSTM.

use keras_spec::object::{from_config, to_config};
use keras_spec::random::SeedGenerator;
use keras_spec::{
    Builder, Call, Class, Config, ConvSpec, DType, Device, Error, Layer, Object, PartialShape, Result,
    Tensor, Weight, result_type,
};
use serde::{Deserialize, Serialize};

use super::Lstm;
use super::cell::{CellArguments, Masks, RecurrentKind, in_order, per_gate, take};
use crate::flattened::flattened;
use crate::initializers::Zeros;
use crate::layers::common::{Lengths, axis_length, input_of_rank, positive, weight_spec};
use crate::layers::convolutional::Window;
use crate::layers::window::Padding;

const CLASS: Class = Class::keras("keras.layers", "ConvLSTMCell");

/// How many gates there are: input, forget, candidate, output.
const GATES: usize = 4;

/// The arguments that an LSTM has not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Convolution<const N: usize> {
    pub(super) filters: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    pub(super) window: Window<N>,
}

/// What computes one step of a [`ConvLSTM`](super::ConvLSTM): `(batch, spatial…, channels)` and the two states
/// `(batch, spatial'…, filters)` → the output and the new states.
#[derive(Clone, Debug)]
pub(super) struct ConvLSTMCell<const N: usize> {
    pub(super) convolution: Convolution<N>,
    /// Those of an LSTM, of which `units` are the filters.
    pub(super) arguments: CellArguments,
    pub(super) kind: Lstm,
    kernel: Weight,
    recurrent_kernel: Weight,
    bias: Weight,
}

/// The weights of a call, of one dtype.
pub(super) struct Weights {
    pub(super) kernel: Tensor,
    recurrent: Tensor,
    bias: Option<Tensor>,
}

impl<const N: usize> ConvLSTMCell<N> {
    pub(super) fn new(filters: usize, kernel_size: Lengths<N>) -> Self {
        let convolution = Convolution { filters, window: Window::new(kernel_size) };
        ConvLSTMCell::of(convolution, CellArguments::new(filters), Lstm::default())
    }

    fn of(convolution: Convolution<N>, arguments: CellArguments, kind: Lstm) -> Self {
        let [kernel, recurrent_kernel, bias] = Default::default();
        ConvLSTMCell { convolution, arguments, kind, kernel, recurrent_kernel, bias }
    }

    /// From what is left of the configuration of a layer, `class`.
    pub(super) fn from_config(class: Class, config: &Config) -> Result<Self> {
        let mut rest = config.clone();
        let usual = Convolution { filters: 0, window: Window::<N>::new(Lengths::from(1)) };
        let convolution: Convolution<N> = from_config(class, &take(&mut rest, &usual)?)?;
        let kind = from_config(class, &take(&mut rest, &Lstm::default())?)?;
        if rest.contains_key("units") {
            return Err(Error::argument("units", "`filters` in its place", "both"));
        }
        rest.insert("units".to_owned(), convolution.filters.into());
        let cell = ConvLSTMCell::of(convolution, from_config(class, &rest)?, kind);
        cell.validate()?;
        Ok(cell)
    }

    /// The arguments in Keras's order.
    pub(super) fn arguments_config(&self) -> Result<Config> {
        let mut config = to_config(&self.convolution)?;
        let mut rest = to_config(&self.arguments)?;
        rest.shift_remove("units");
        rest.extend(to_config(&self.kind)?);
        config.extend(in_order(rest));
        Ok(config)
    }

    pub(super) fn validate(&self) -> Result<()> {
        positive("filters", self.convolution.filters)?;
        let window = &self.convolution.window;
        window.padding.not_causal()?;
        window.validate()?;
        window.not_both()?;
        self.arguments.validate_dropouts()
    }

    /// The shape of the states, and of the output, for steps of this shape.
    pub(super) fn state_shape(&self, step: &PartialShape) -> Result<PartialShape> {
        let Convolution { filters, window } = &self.convolution;
        window.input(std::slice::from_ref(step), None)?;
        let (first, spans) = (window.data_format.first_spatial_axis(), window.spans());
        let mut shape = step.clone();
        for (i, span) in spans.into_iter().enumerate() {
            let length = |n: usize| window.padding.windows(n, span, window.strides.0[i]);
            shape.0[first + i] = step[first + i].map(length);
        }
        let channels = window.data_format.channel_axis(step.rank());
        shape.0[channels] = Some(*filters);
        Ok(shape)
    }

    /// The states before the first step, for steps of shape `step` with a known batch.
    pub(super) fn initial_state(
        &self,
        step: &PartialShape,
        dtype: DType,
        device: &Device,
    ) -> Result<Vec<Tensor>> {
        let shape = self.state_shape(step)?.known().ok_or_else(|| {
            Error::argument("inputs", "known lengths of the spatial axes", format!("steps of shape {step}"))
        })?;
        let state = Tensor::full(shape, dtype, 0.0, device)?;
        Ok(vec![state.clone(), state])
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

    /// Draws the masks for a step and a state, and brings them into the layout of computation.
    pub(super) fn draw_masks(&self, x: &Tensor, state: &Tensor, training: bool) -> Result<Masks> {
        let Masks { inputs, recurrent } = self.arguments.draw_masks(GATES, false, x, state, training)?;
        let format = self.convolution.window.data_format;
        let all =
            |masks: Vec<Tensor>| masks.iter().map(|m| format.to_channels_last(m)).collect::<Result<_>>();
        Ok(Masks { inputs: all(inputs)?, recurrent: all(recurrent)? })
    }

    /// One step: the new states, of which the first is the output.
    pub(super) fn step(
        &self,
        x: &Tensor,
        states: &[Tensor],
        weights: &Weights,
        masks: &Masks,
    ) -> Result<Vec<Tensor>> {
        let window = &self.convolution.window;
        let [h, c] = states else {
            return Err(Error::argument("states", "two tensors", states.len()));
        };
        let [x, h, c] = [x, h, c].map(|t| window.data_format.to_channels_last(t));
        let (x, h) = (x?, h?);
        let spec = window.spec(&x, 1);
        let mut z = per_gate(&x, &weights.kernel, &masks.inputs, |x, k| x.convolution(k, spec.clone()))?;
        if let Some(bias) = &weights.bias {
            z = (z + bias.clone())?;
        }
        let theano = matches!(window.padding, Padding::Half | Padding::ValidHalf);
        let around = if theano { Padding::Half } else { Padding::Same };
        let same = |i: usize| around.amounts(h.shape()[i + 1], window.kernel_size.0[i], 1);
        let spec = ConvSpec {
            padding: (0..N).map(same).map(|(low, high)| (low as isize, high as isize)).collect(),
            ..ConvSpec::new(N)
        };
        z = (z + per_gate(&h, &weights.recurrent, &masks.recurrent, |h, k| h.convolution(k, spec.clone()))?)?;
        let new = self.kind.advance(&self.arguments, &z, &c?)?;
        new.iter().map(|t| window.data_format.restore_channels(t)).collect()
    }
}

impl<const N: usize> Object for ConvLSTMCell<N> {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        self.arguments_config()
    }
}

impl<const N: usize> Layer for ConvLSTMCell<N> {
    fn draw_seeds(&self) {
        self.arguments.seed.generator();
        self.arguments.kernel_initializer.draw_seed();
        self.arguments.recurrent_initializer.draw_seed();
        self.arguments.bias_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let x = input_of_rank(&inputs[..inputs.len().min(1)], N + 2)?;
        match self.kernel.get() {
            Some(kernel) => {
                axis_length(x, self.convolution.window.data_format.signed_channel_axis(), kernel.shape()[N])
            }
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let (a, Convolution { filters, window }) = (&self.arguments, &self.convolution);
        let channels = window.channels(builder, &inputs[..inputs.len().min(1)])?;
        let wide = GATES.checked_mul(*filters);
        let wide = wide.ok_or_else(|| Error::argument("filters", "a number that fits in memory", filters))?;
        let kernel = weight_spec(
            "kernel",
            window.kernel_shape([channels, wide]),
            &a.kernel_initializer,
            a.kernel_regularizer.as_ref(),
            a.kernel_constraint.as_ref(),
        )?;
        builder.weight(&self.kernel, kernel)?;
        let recurrent = weight_spec(
            "recurrent_kernel",
            window.kernel_shape([*filters, wide]),
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
        let (regularizer, constraint) = (a.bias_regularizer.as_ref(), a.bias_constraint.as_ref());
        builder.weight(&self.bias, weight_spec("bias", [wide], initializer, regularizer, constraint)?)?;
        match first {
            Some(first) => self.bias.variable()?.assign(&first),
            None => Ok(()),
        }
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, states @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor and two states", "nothing"));
        };
        let [h, _] = states else {
            return Err(Error::argument("states", "two tensors", states.len()));
        };
        let weights = self.weights(x)?;
        let x = x.cast(weights.kernel.dtype())?;
        let masks = self.draw_masks(&x, h, call.training)?;
        let new = self.step(&x, states, &weights, &masks)?;
        Ok(new.first().cloned().into_iter().chain(new).collect())
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        vec![self.arguments.seed.generator().clone()]
    }
}
