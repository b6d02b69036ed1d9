//! Every golden vector on the backend `ndarray`.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance_tests::harness(&conformance_tests::Options::new("ndarray"))
}
