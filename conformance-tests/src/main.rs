//! The command `conformance-tests run --backend NAME`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conformance_tests::{Options, run};

/// Proves that a backend is Keras: runs golden vectors of the real Keras on it.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs a folder of vector files; exits with 1 if a case fails.
    Run {
        /// The backend, with a device if need be: `ndarray`, `tch:cuda:0`.
        #[arg(long)]
        backend: String,
        /// The folder of vector files; the specification's by default.
        #[arg(long)]
        vectors: Option<PathBuf>,
        /// Runs only cases whose id holds this text.
        #[arg(long)]
        filter: Option<String>,
        /// Writes every case's result to this file.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Action::Run { backend, vectors, filter, json } = Command::parse().action;
    let mut options = Options::new(backend);
    options.filter = filter;
    if let Some(folder) = vectors {
        options.vectors = folder;
    }
    let report = match run(&options) {
        Ok(report) => report,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(path) = json {
        let written =
            report.to_json().map_err(std::io::Error::from).and_then(|text| std::fs::write(&path, text));
        if let Err(e) = written {
            eprintln!("error: {}: {e}", path.display());
            return ExitCode::FAILURE;
        }
    }
    println!("{report}");
    if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
