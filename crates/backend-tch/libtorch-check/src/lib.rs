//! The build of this crate fails where libtorch is missing or has another version, with a message that says what to do.
//!
//! It stands before `tch`'s: that one's own build takes minutes until it looks for libtorch.
