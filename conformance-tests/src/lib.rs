//! The conformance suite: golden vectors of the real Keras, run on a backend.
//!
//! A vector file is `NAME.json` beside `NAME.safetensors`; `spec/vectors/README.md` says what is in them and when a case
//! passes. The command `conformance-tests run --backend NAME` runs a folder of them; another crate does so from its own
//! tests with [`harness`]:
//!
//! ```no_run
//! use backend_ndarray as _; // the crate of the backend, so that it is linked
//!
//! fn main() -> std::process::ExitCode {
//!     conformance_tests::harness(&conformance_tests::Options::new("ndarray"))
//! }
//! # mod backend_ndarray {}
//! ```

mod compare;
mod kinds;
mod report;
mod runner;
mod vectors;

pub use compare::{Tolerance, compare};
pub use kinds::Failure;
pub use report::{Outcome, Report, Status};
pub use runner::{Options, RunError, harness, run};
pub use vectors::{Arrays, Case, Tree, VectorError, VectorFile};
