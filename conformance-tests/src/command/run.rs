//! `run`

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Program, Selection};
use crate::suite::{run, update};

#[derive(clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    selection: Selection,
    /// Writes every test's result to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Rewrites the list of expected failures so that this run would pass; entries that still hold keep their reasons.
    #[arg(long)]
    update: bool,
}

impl Run {
    pub(super) fn run(self, program: &Program) -> Result<ExitCode, String> {
        let options = self.selection.options(program)?;
        let report = match (self.update, &options.expected) {
            (false, _) => run(&options),
            (true, Some(_)) => update(&options),
            (true, None) => return Err("`--update` needs `--expected FILE`".to_owned()),
        };
        let report = report.map_err(|e| e.to_string())?;
        if let Some(path) = self.json {
            let text = report.to_json().map_err(|e| e.to_string())?;
            std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        println!("{report}");
        Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
