//! `keras conformance`

use std::ffi::OsString;
use std::process::ExitCode;

use conformance_tests::{Program, main_from};

/// Arguments for the suite.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Conformance {
    /// What to do, and with what: `run --backend ndarray`; `help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Conformance {
    pub(crate) fn run(self) -> ExitCode {
        let name = OsString::from("keras conformance");
        main_from(Program::default(), std::iter::once(name).chain(self.arguments))
    }
}

/// The suite starts its own program anew with this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Digests {
    #[arg(long)]
    backend: OsString,
}

impl Digests {
    pub(crate) fn run(self) -> ExitCode {
        let arguments = ["keras", "digests", "--backend"].map(OsString::from).into_iter();
        main_from(Program::default(), arguments.chain([self.backend]))
    }
}
