//! The contract of a cell: what computes one step of a recurrent layer.

use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::layer::{Arguments, Call};
use crate::tensor::Tensor;

/// What a [`Layer`](crate::Layer) adds to be the cell of a recurrent layer (`keras.layers.RNN`, Keras 3.15.1).
///
/// The layer itself is called with a step `(batch, …)` and the states before it, and gives the output and the new states.
/// [`Layer::as_cell`](crate::Layer::as_cell) returns it:
///
/// ```
/// use keras_spec::layer::Cell;
/// use keras_spec::{Call, Class, Layer, Result, Tensor};
/// use serde::{Deserialize, Serialize};
///
/// /// The mean of the steps so far, each counting less the longer it is ago.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Smooth {
///     features: usize,
/// }
///
/// keras_spec::class!(dyn Layer, Class::of("my_layers", "Smooth"), Smooth);
///
/// impl Layer for Smooth {
///     fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
///         let y = ((&inputs[0] + &inputs[1])? / 2.0)?;
///         Ok(vec![y.clone(), y])
///     }
///
///     fn as_cell(&self) -> Option<&dyn Cell> {
///         Some(self)
///     }
/// }
///
/// impl Cell for Smooth {
///     fn state_size(&self) -> Vec<usize> {
///         vec![self.features]
///     }
/// }
/// ```
pub trait Cell {
    /// How many numbers each state has per sample.
    fn state_size(&self) -> Vec<usize>;

    /// How many numbers the output has per sample. Default: as many as the first state.
    fn output_size(&self) -> usize {
        self.state_size().first().copied().unwrap_or(0)
    }

    /// The states before the first step (`get_initial_state`). Default: zeros `(batch, size)`.
    ///
    /// # Errors
    /// If the device lacks the dtype.
    fn initial_state(&self, batch: usize, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        let zeros = |size| Tensor::full([batch, size], dtype, 0.0, device);
        self.state_size().into_iter().map(zeros).collect()
    }

    /// Which of the states is the output of the step before, to be repeated where a mask leaves a step out. Default: the
    /// first.
    fn output_state(&self) -> usize {
        0
    }

    /// What is the same at all steps of a call, such as the masks of dropout: the cell gets it as keyword arguments with each
    /// step. `step` is the first of the steps, `states` are those before it.
    ///
    /// # Errors
    /// If it cannot be computed.
    fn constants(&self, step: &Tensor, states: &[Tensor], call: &Call) -> Result<Arguments> {
        let _ = (step, states, call);
        Ok(Arguments::new())
    }
}
