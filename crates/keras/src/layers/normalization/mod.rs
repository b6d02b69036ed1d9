//! Layers that normalise their inputs, or the weights of another layer.

mod batch_normalization;
mod group_normalization;
mod layer_normalization;
mod rms_normalization;
mod spectral_normalization;
mod unit_normalization;

pub use batch_normalization::{BatchNormalization, RenormClipping};
pub use group_normalization::GroupNormalization;
pub use layer_normalization::LayerNormalization;
pub use rms_normalization::RMSNormalization;
pub use spectral_normalization::SpectralNormalization;
pub use unit_normalization::UnitNormalization;

use keras_spec::{DType, Result, Tensor, Weight, result_type};

/// The dtype to normalise in: at least float32.
fn widened(dtype: DType) -> DType {
    result_type(&[dtype.into(), DType::F32.into()])
}

/// A weight in a dtype, from its own precision: Keras does not cast these to the compute dtype first.
fn uncast(weight: &Weight, dtype: DType) -> Result<Option<Tensor>> {
    weight.get().map(|variable| variable.watched().into_dtype(dtype)).transpose()
}

/// A weight, or a number in the place of one that the layer lacks.
fn weight_or(weight: Option<Tensor>, shape: &[usize], number: f64, like: &Tensor) -> Result<Tensor> {
    match weight {
        Some(weight) => weight.reshape(shape),
        None => Tensor::full(shape, like.dtype(), number, like.device()),
    }
}
