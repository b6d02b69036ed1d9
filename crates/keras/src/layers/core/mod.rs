//! `Dense`, `Embedding`, `Lambda`, `Masking`.

mod dense;
mod embedding;
mod lambda;
mod masking;

pub use dense::Dense;
pub use embedding::Embedding;
pub(crate) use lambda::name_lambdas;
pub use lambda::{Lambda, register_lambda};
pub use masking::Masking;
