//! Layers and what goes with them, under the package name `my_layers`.

mod loss;
mod metric;
mod optimizer;
mod scale;

pub use loss::Pinball;
pub use metric::Within;
pub use optimizer::SignSgd;
pub use scale::Scale;
