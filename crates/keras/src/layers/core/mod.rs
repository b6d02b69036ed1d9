//! Layers that others are made of: `Dense`, `EinsumDense`, `Embedding`, `Identity`, `Lambda`, `Masking`,
//! `ReversibleEmbedding`.

mod dense;
mod einsum_dense;
mod embedding;
mod identity;
mod lambda;
mod masking;
mod reversible_embedding;

pub use dense::Dense;
pub use einsum_dense::EinsumDense;
pub use embedding::Embedding;
pub use identity::Identity;
pub use lambda::{Lambda, register_lambda};
pub(crate) use lambda::{has_function, name_lambdas};
pub use masking::Masking;
pub use reversible_embedding::ReversibleEmbedding;
