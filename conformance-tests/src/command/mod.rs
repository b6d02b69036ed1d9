//! The command line: of the program `conformance-tests`, and of every test that [`main!`](crate::main) makes.

mod bench;
mod report;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::coverage::Coverage;
use crate::suite::{self, Options};
use crate::threads;
use crate::tier::Tier;

/// Proves that a backend is Keras.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs the suite; exits with 1 if a test fails.
    Run(run::Run),
    /// Writes `docs/src/coverage.md` from `spec/api` and the registries.
    Coverage(Coverage),
    /// Reports how one or several backends do: as Markdown, JSON and a badge.
    Report(report::MakeReport),
    /// Compares the speed of two backends, operation by operation, the slowest in comparison first.
    Bench(bench::Bench),
    /// Prints what the tests of thread counts compare.
    #[command(hide = true)]
    Digests {
        #[arg(long)]
        backend: String,
    },
}

/// The tests that are meant.
#[derive(Args)]
struct Selection {
    /// The backend, with a device if need be: `ndarray`, `tch:cuda:0`.
    #[arg(long)]
    backend: Option<String>,
    /// The folder of vector files; the specification's by default.
    #[arg(long)]
    vectors: Option<PathBuf>,
    /// Only tests of this tier.
    #[arg(long)]
    tier: Option<Tier>,
    /// Only tests whose id holds this text.
    #[arg(long)]
    filter: Option<String>,
    /// Only the test with exactly this id.
    #[arg(long)]
    id: Option<String>,
    /// The list of failures that are expected; by default `conformance.toml` beside the backend's `Cargo.toml`.
    #[arg(long)]
    expected: Option<PathBuf>,
    /// Seconds after which a test counts as hung.
    #[arg(long, default_value_t = 60)]
    time_limit: u64,
}

impl Selection {
    fn options(self, program: &Program) -> Result<Options, String> {
        let backend = program.backend_or(self.backend)?;
        let mut options = program.options(&backend);
        options.tier = self.tier;
        options.filter = self.filter;
        options.id = self.id;
        options.time_limit = std::time::Duration::from_secs(self.time_limit);
        if let Some(folder) = self.vectors {
            options.vectors = folder;
        }
        if self.expected.is_some() {
            options.expected = self.expected;
        }
        Ok(options)
    }
}

/// Who runs the suite: the program of this crate, or the test of a backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program {
    /// The backend of the test.
    pub backend: Option<&'static str>,
    /// The test's list of expected failures.
    pub expected: Option<&'static str>,
    /// The package of the test.
    pub package: &'static str,
    /// The test's name.
    pub test: &'static str,
}

impl Program {
    /// The backend that is asked for, or that of the test.
    fn backend_or(&self, asked: Option<String>) -> Result<String, String> {
        let own = || self.backend.map(str::to_owned);
        asked.or_else(own).ok_or_else(|| "`--backend NAME` is missing".to_owned())
    }

    fn options(&self, backend: &str) -> Options {
        let mut options = Options::new(backend);
        // This package's own tests need features; its program is the shorter way.
        if self.backend.is_some() && self.package != env!("CARGO_PKG_NAME") {
            options.rerun = format!("cargo test -p {} --test {} -- run", self.package, self.test);
            if self.backend != Some(backend) {
                options.rerun.push_str(&format!(" --backend {backend}"));
            }
        }
        options.program = std::env::current_exe().ok();
        options.expected = match self.expected {
            Some(path) => Some(PathBuf::from(path)),
            None => own_list(backend),
        };
        options
    }
}

/// The list of a backend of this repository.
fn own_list(backend: &str) -> Option<PathBuf> {
    let name = backend.split(':').next().unwrap_or(backend);
    let list =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../crates/backend-{name}/conformance.toml"));
    list.is_file().then_some(list)
}

/// The `main` of the command, and of a backend's test: there the arguments of `cargo test` are understood as well.
pub fn main(program: Program) -> ExitCode {
    main_from(program, std::env::args_os())
}

/// [`main`] with other arguments than the process's: the name of the program, then what follows it. For programs that have
/// the suite as one command of several.
pub fn main_from(program: Program, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    suite::quiet_panics();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let first = arguments.get(1).and_then(|a| a.to_str());
    let commands = ["run", "report", "bench", "digests", "coverage", "help"];
    let is_command = first.is_some_and(|first| commands.contains(&first));
    if let (Some(backend), false) = (program.backend, is_command) {
        return suite::harness(&program.options(backend));
    }
    let done = match Command::parse_from(arguments).action {
        Action::Run(run) => run.run(&program),
        Action::Coverage(coverage) => coverage.run(),
        Action::Report(report) => report.run(&program),
        Action::Bench(bench) => bench.run(&program),
        Action::Digests { backend } => match keras_spec::set_backend(&backend) {
            Ok(device) => {
                print!("{}", threads::digests(&device));
                Ok(ExitCode::SUCCESS)
            }
            Err(e) => Err(e.to_string()),
        },
    };
    done.unwrap_or_else(|why| {
        eprintln!("error: {why}");
        ExitCode::FAILURE
    })
}

/// Makes the `main` of a backend's conformance test.
///
/// ```ignore
/// use my_backend as _; // so that it is linked and registers itself
/// conformance_tests::main!("my-backend");
/// ```
///
/// The failures that are expected stand in `conformance.toml` beside the crate's `Cargo.toml`; a second argument names
/// another file, relative to that folder. The test understands the arguments of `cargo test`, and after `run` those of the
/// suite's command: `cargo test --test conformance -- run --tier core`.
#[macro_export]
macro_rules! main {
    ($backend:literal) => {
        $crate::main!($backend, "conformance.toml");
    };
    ($backend:literal, $expected:literal) => {
        fn main() -> ::std::process::ExitCode {
            $crate::main($crate::Program {
                backend: Some($backend),
                expected: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/", $expected)),
                package: env!("CARGO_PKG_NAME"),
                test: env!("CARGO_CRATE_NAME"),
            })
        }
    };
}
