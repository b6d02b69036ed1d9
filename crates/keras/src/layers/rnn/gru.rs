use keras_spec::{Class, Fused, Layer, Result, RnnSpec, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::cell::{CellArguments, RecurrentCell, RecurrentKind, Run, Step, sealed};
use super::recurrent::{Recurrent, UseCudnn};
use crate::activations::Activation;

/// What makes a layer a [`GRU`]: its own arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gru {
    recurrent_activation: Activation,
    reset_after: bool,
}

impl Default for Gru {
    fn default() -> Self {
        Gru { recurrent_activation: Activation::Sigmoid, reset_after: true }
    }
}

/// Gated recurrent unit: `(batch, steps, features)` → `(batch, units)`, or `(batch, steps, units)` with `return_sequences`
/// (`keras.layers.GRU`, Keras 3.15.1). The gates stand in the kernels in the order update, reset, candidate; with
/// `reset_after` the bias is `(2, 3 · units)`, the input's and the recurrent one.
///
/// ```
/// use keras::layers::GRU;
///
/// let layer = GRU::new(64).return_state(true);
/// # let _ = layer;
/// ```
pub type GRU = Recurrent<Gru>;

/// One step of a [`GRU`] (`keras.layers.GRUCell`, Keras 3.15.1).
pub type GRUCell = RecurrentCell<Gru>;

super::recurrent::register! { Gru }

impl GRUCell {
    /// Of the gates. Default: sigmoid.
    #[must_use]
    pub fn recurrent_activation(mut self, recurrent_activation: impl Into<Activation>) -> Self {
        self.kind.recurrent_activation = recurrent_activation.into();
        self
    }

    /// Whether the reset gate is applied after the recurrent product, and not before it. Default: yes.
    #[must_use]
    pub fn reset_after(mut self, reset_after: bool) -> Self {
        self.kind.reset_after = reset_after;
        self
    }
}

impl GRU {
    /// Of the gates. Default: sigmoid.
    #[must_use]
    pub fn recurrent_activation(mut self, recurrent_activation: impl Into<Activation>) -> Self {
        self.cell = self.cell.recurrent_activation(recurrent_activation);
        self
    }

    /// Whether the reset gate is applied after the recurrent product, and not before it. Default: yes.
    #[must_use]
    pub fn reset_after(mut self, reset_after: bool) -> Self {
        self.cell = self.cell.reset_after(reset_after);
        self
    }

    /// Whether the steps are done by one operation. Default: if there is one for the arguments.
    #[must_use]
    pub fn use_cudnn(mut self, use_cudnn: impl Into<UseCudnn>) -> Self {
        self.use_cudnn = use_cudnn.into();
        self
    }
}

impl sealed::Sealed for Gru {}

impl RecurrentKind for Gru {
    const CELL: Class = Class::keras("keras.layers", "GRUCell");
    const LAYER: Class = Class::keras("keras.layers", "GRU");
    const CELL_NAME: &'static str = "gru_cell";
    const GATES: usize = 3;
    const STATES: usize = 1;
    const GENERATOR_FIRST: bool = false;
    const SEED_IN_CONFIG: bool = true;

    fn bias_shape(&self, units: usize) -> Shape {
        if self.reset_after { Shape::from([2, 3 * units]) } else { Shape::from([3 * units]) }
    }

    fn input_bias(&self, bias: &Tensor) -> Result<Tensor> {
        if self.reset_after { bias.index(0, 0) } else { Ok(bias.clone()) }
    }

    fn step(&self, at: &Step, projected: &Tensor, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let (h, units) = (&states[0], at.arguments.units);
        let part = |x: &Tensor, i: usize| x.narrow(-1, i * units, (i + 1) * units);
        let gate = |x: Tensor, h: Tensor| self.recurrent_activation.call(&(x + h)?);
        let [xz, xr, xh] = [part(projected, 0)?, part(projected, 1)?, part(projected, 2)?];
        let (z, hidden) = if self.reset_after {
            let inner = at.recurrent(h)?;
            let inner = match &at.weights.bias {
                Some(bias) => (inner + bias.index(0, 1)?)?,
                None => inner,
            };
            let r = gate(xr, part(&inner, 1)?)?;
            (gate(xz, part(&inner, 0)?)?, (r * part(&inner, 2)?)?)
        } else {
            let product =
                |h: Tensor, i: usize| -> Result<Tensor> { h.matmul(&part(&at.weights.recurrent, i)?) };
            let z = gate(xz, product(at.dropped(h, 0)?, 0)?)?;
            let r = gate(xr, product(at.dropped(h, 1)?, 1)?)?;
            (z, product((r * at.dropped(h, 2)?)?, 2)?)
        };
        let candidate = at.arguments.activation.call(&(xh + hidden)?)?;
        Ok(vec![((&z * h)? + ((1.0 - &z)? * candidate)?)?])
    }

    fn fused(&self, arguments: &CellArguments, run: Run) -> Option<Fused> {
        let rnn = RnnSpec {
            activation: arguments.activation.fused()?,
            recurrent_activation: self.recurrent_activation.fused()?,
            reverse: run.reverse,
            mask: run.mask,
            zero_output_for_mask: run.zero_output_for_mask,
        };
        Some(Fused::Gru { rnn, reset_after: self.reset_after })
    }
}
