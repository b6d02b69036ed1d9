//! CPU kernels for neural networks on plain slices: no tensors, no Keras.
//!
//! Every kernel takes slices in row-major order together with their shapes, works for all the dtypes that make
//! sense for it through one generic body ([`Num`]), and reports an inconsistent shape as an [`Error`].
//! Half precisions compute in `f32`. Instructions (AVX2, AVX-512, …) are chosen at run time
//! ([`par::simd`]), threads come from one place ([`par`]), and no result depends on how many there are.

pub mod attention;
pub mod conv;
mod depthwise;
pub mod elementwise;
pub mod embedding;
mod error;
pub mod gemm;
pub mod math;
pub mod norm;
mod num;
pub mod optim;
pub mod output;
pub mod par;
pub mod pool;
pub mod reduce;
pub mod rnn;
pub mod softmax;
mod window;

pub use error::{Error, Result};
pub use num::Num;
pub use output::Output;
