//! One module per command.

pub(crate) mod backends;
pub(crate) mod bench;
pub(crate) mod conformance;
pub(crate) mod convert;
pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod plot;
pub(crate) mod predict;
pub(crate) mod shell;
pub(crate) mod summary;
mod top;
