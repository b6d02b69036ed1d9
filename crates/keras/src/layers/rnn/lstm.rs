use keras_spec::{Builder, Class, Error, Fused, Layer, Result, RnnSpec, Tensor};
use serde::{Deserialize, Serialize};

use super::cell::{CellArguments, RecurrentCell, RecurrentKind, Run, Step, sealed};
use super::recurrent::{Recurrent, UseCudnn};
use crate::activations::Activation;

/// What makes a layer an [`LSTM`]: its own arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lstm {
    pub(super) recurrent_activation: Activation,
    pub(super) unit_forget_bias: bool,
}

impl Default for Lstm {
    fn default() -> Self {
        Lstm { recurrent_activation: Activation::Sigmoid, unit_forget_bias: true }
    }
}

/// Long short-term memory: `(batch, steps, features)` → `(batch, units)`, or `(batch, steps, units)` with `return_sequences`
/// (`keras.layers.LSTM`, Keras 3.15.1). Its states are the output `h` and the cell state `c`; the gates stand in the kernels
/// in the order input, forget, candidate, output.
///
/// ```
/// use keras::layers::LSTM;
///
/// let layer = LSTM::new(64).dropout(0.2).return_sequences(true);
/// # let _ = layer;
/// ```
pub type LSTM = Recurrent<Lstm>;

/// One step of an [`LSTM`] (`keras.layers.LSTMCell`, Keras 3.15.1).
pub type LSTMCell = RecurrentCell<Lstm>;

super::recurrent::register! { Lstm }

impl LSTMCell {
    /// Of the gates. Default: sigmoid.
    #[must_use]
    pub fn recurrent_activation(mut self, recurrent_activation: impl Into<Activation>) -> Self {
        self.kind.recurrent_activation = recurrent_activation.into();
        self
    }

    /// Whether the bias of the forget gate starts as 1. Default: yes.
    #[must_use]
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.kind.unit_forget_bias = unit_forget_bias;
        self
    }
}

impl LSTM {
    /// Of the gates. Default: sigmoid.
    #[must_use]
    pub fn recurrent_activation(mut self, recurrent_activation: impl Into<Activation>) -> Self {
        self.cell = self.cell.recurrent_activation(recurrent_activation);
        self
    }

    /// Whether the bias of the forget gate starts as 1. Default: yes.
    #[must_use]
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.cell = self.cell.unit_forget_bias(unit_forget_bias);
        self
    }

    /// Whether the steps are done by one operation. Default: if there is one for the arguments.
    #[must_use]
    pub fn use_cudnn(mut self, use_cudnn: impl Into<UseCudnn>) -> Self {
        self.use_cudnn = use_cudnn.into();
        self
    }
}

impl Lstm {
    /// The new states from what the gates get, side by side on the last axis, and the old `c`.
    pub(super) fn advance(&self, arguments: &CellArguments, z: &Tensor, c: &Tensor) -> Result<Vec<Tensor>> {
        let (units, activation) = (arguments.units, &arguments.activation);
        let gate =
            |i: usize, activation: &Activation| activation.call(&z.narrow(-1, i * units, (i + 1) * units)?);
        let (input, forget) = (gate(0, &self.recurrent_activation)?, gate(1, &self.recurrent_activation)?);
        let c = ((forget * c)? + (input * gate(2, activation)?)?)?;
        let h = (gate(3, &self.recurrent_activation)? * activation.call(&c)?)?;
        Ok(vec![h, c])
    }
}

impl sealed::Sealed for Lstm {}

impl RecurrentKind for Lstm {
    const CELL: Class = Class::keras("keras.layers", "LSTMCell");
    const LAYER: Class = Class::keras("keras.layers", "LSTM");
    const CELL_NAME: &'static str = "lstm_cell";
    const GATES: usize = 4;
    const STATES: usize = 2;
    const GENERATOR_FIRST: bool = false;
    const SEED_IN_CONFIG: bool = true;

    fn first_bias(&self, arguments: &CellArguments, builder: &Builder) -> Result<Option<Tensor>> {
        if !self.unit_forget_bias {
            return Ok(None);
        }
        let (units, dtype, device) = (arguments.units, builder.variable_dtype(), builder.device());
        let part = |units: usize| arguments.bias_initializer.call(&[units].into(), dtype, device);
        let ones = Tensor::full([units], dtype, 1.0, device)?;
        Tensor::concatenate(&[part(units)?, ones, part(2 * units)?], 0).map(Some)
    }

    fn step(&self, at: &Step, projected: &Tensor, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let [h, c] = states else {
            return Err(Error::argument("states", "two tensors", states.len()));
        };
        self.advance(at.arguments, &(projected + at.recurrent(h)?)?, c)
    }

    fn fused(&self, arguments: &CellArguments, run: Run) -> Option<Fused> {
        Some(Fused::Lstm(RnnSpec {
            activation: arguments.activation.fused()?,
            recurrent_activation: self.recurrent_activation.fused()?,
            reverse: run.reverse,
            mask: run.mask,
            zero_output_for_mask: run.zero_output_for_mask,
        }))
    }
}
