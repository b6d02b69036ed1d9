//! Layers that Keras 3 does not have. The names of their arguments are those of today's layers.

mod bilinear_up_sampling2d;
mod cosine;
mod highway;
mod locally_connected;
mod maxout_dense;
mod mode_normalization;
mod parametric_softplus;
mod srelu;
mod thresholded_relu;

pub use bilinear_up_sampling2d::BilinearUpSampling2D;
pub use cosine::Cosine;
pub use highway::Highway;
pub use locally_connected::{LocallyConnected, LocallyConnected1D, LocallyConnected2D};
pub use maxout_dense::MaxoutDense;
pub use mode_normalization::{ModeNormalization, NormalizationMode};
pub use parametric_softplus::ParametricSoftplus;
pub use srelu::SReLU;
pub use thresholded_relu::ThresholdedReLU;

use keras_spec::{Builder, Error, PartialShape, Result};

/// Makes a struct the class `$Layer` of the package `keras.legacy`.
macro_rules! legacy_layer {
    ($Layer:ident $($rest:tt)*) => {
        keras_spec::class!(
            dyn keras_spec::Layer,
            keras_spec::Class::of("keras.legacy", stringify!($Layer)),
            $Layer $($rest)*
        );
    };
}
use legacy_layer;

/// The shape of weights that there are for each element of a sample, one along `shared` axes (counted from 1).
fn element_shape(builder: &Builder, input: &PartialShape, shared: &[usize]) -> Result<Vec<usize>> {
    if let Some(axis) = shared.iter().find(|&&axis| axis == 0 || axis >= input.rank()) {
        let expected = format!("axes in 1..{}, after the batch", input.rank());
        return Err(Error::argument("shared_axes", expected, axis));
    }
    let length = |axis: usize| match shared.contains(&axis) {
        true => Ok(1),
        false => builder.known_dim(input, axis as isize),
    };
    (1..input.rank()).map(length).collect()
}
