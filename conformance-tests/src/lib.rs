//! The conformance suite: proves that a backend computes what the real Keras does.
//!
//! Golden vectors of Keras (`spec/vectors/README.md` says what is in them and when a case passes), and properties that hold
//! for every backend. A backend's own test is
//!
//! ```ignore
//! use my_backend as _; // so that it is linked and registers itself
//! conformance_tests::main!("my-backend");
//! ```
//!
//! with `harness = false`; the program `conformance-tests` does the same for the backends of this repository.
//! `docs/src/conformance.md` is the guide.

mod command;
mod compare;
mod coverage;
mod expected;
mod kinds;
mod life;
mod properties;
mod report;
mod spec;
mod suite;
mod threads;
mod tier;
mod vectors;
mod workloads;

// The oracle of the properties registers itself.
use backend_minimal as _;

pub use command::{Program, main, main_from};
pub use compare::{Tolerance, compare};
pub use expected::{ExpectedError, ExpectedFailure, ExpectedFailures, FailureKind};
pub use kinds::Failure;
pub use report::{Count, Outcome, Report, Route, Status, badge, markdown};
pub use spec::level;
pub use suite::{Options, RunError, run, update};
pub use tier::Tier;
pub use vectors::{Arrays, Case, Tree, VectorError, VectorFile};
