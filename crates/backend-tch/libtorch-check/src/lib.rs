//! The build of this crate fails where libtorch is missing or has another version, with a message that says what to do.
//!
//! It may come before the one of `torch-sys`, which names no script; within this checkout `.cargo/config.toml` sees to that.
