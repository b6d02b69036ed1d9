use keras_spec::{Class, Fused, Layer, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::cell::{CellArguments, RecurrentCell, RecurrentKind, Run, Step, sealed};
use super::recurrent::Recurrent;

/// What makes a layer a [`SimpleRNN`]; it has no arguments of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SimpleRnn {}

/// `h = activation(x · kernel + bias + h · recurrent_kernel)` at each step: `(batch, steps, features)` → `(batch, units)`, or
/// `(batch, steps, units)` with `return_sequences` (`keras.layers.SimpleRNN`, Keras 3.15.1).
///
/// ```
/// use keras::layers::SimpleRNN;
///
/// let layer = SimpleRNN::new(8).return_sequences(true);
/// # let _ = layer;
/// ```
pub type SimpleRNN = Recurrent<SimpleRnn>;

/// One step of a [`SimpleRNN`] (`keras.layers.SimpleRNNCell`, Keras 3.15.1).
pub type SimpleRNNCell = RecurrentCell<SimpleRnn>;

super::recurrent::register! { SimpleRnn }

impl sealed::Sealed for SimpleRnn {}

impl RecurrentKind for SimpleRnn {
    const CELL: Class = Class::keras("keras.layers", "SimpleRNNCell");
    const LAYER: Class = Class::keras("keras.layers", "SimpleRNN");
    const CELL_NAME: &'static str = "simple_rnn_cell";
    const GATES: usize = 1;
    const STATES: usize = 1;
    const GENERATOR_FIRST: bool = true;
    const SEED_IN_CONFIG: bool = false;
    const HAS_FUSED: bool = false;
    const DROPS_EVERYTHING: bool = true;

    fn step(&self, at: &Step, projected: &Tensor, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let h = (projected + at.recurrent(&states[0])?)?;
        Ok(vec![at.arguments.activation.call(&h)?])
    }

    fn fused(&self, _arguments: &CellArguments, _run: Run) -> Option<Fused> {
        None
    }
}
