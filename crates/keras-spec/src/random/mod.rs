//! Random numbers, equal on every backend to those of Keras 3.15.1 on JAX.
//!
//! [`SeedGenerator`] and [`draw_seed`] turn seeds into [`Key`]s; the samplers in [`distributions`] turn a key into
//! numbers, and the same key always into the same ones.

pub mod distributions;
mod mersenne;
pub mod seed;
mod special;
pub mod threefry;

#[cfg(test)]
mod tests;

pub use seed::{
    Seed, SeedGenerator, draw_seed, global_choice, global_permutation, make_default_seed, set_random_seed,
};
pub use special::erf_inv;
pub use threefry::Key;
