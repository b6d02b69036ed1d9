//! Files of older Keras: who wrote them, what is changed on the way to Keras 3, and the account of it.

mod origin;
mod report;

pub use origin::{Origin, Program, Version};
pub use report::{Change, Entry, Report};
