//! The command `conformance-tests`.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance_tests::main(conformance_tests::Program::default())
}
