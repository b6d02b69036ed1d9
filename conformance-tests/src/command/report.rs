//! `report`

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Program, Selection};
use crate::report::{Report, badge, markdown};
use crate::suite::run;

#[derive(clap::Args)]
pub(super) struct MakeReport {
    #[command(flatten)]
    selection: Selection,
    /// Reads what `run --json` wrote in place of running; give it once for each backend.
    #[arg(long, conflicts_with_all = ["backend", "vectors", "tier", "filter", "id", "expected"])]
    results: Vec<PathBuf>,
    /// Writes the matrix of layers and operations by backends to this file, not to standard output.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Writes every test's result to this file; for several backends, as a list.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the badge of the first backend to this file.
    #[arg(long)]
    badge: Option<PathBuf>,
}

impl MakeReport {
    pub(super) fn run(self, program: &Program) -> Result<ExitCode, String> {
        let reports = match self.results.is_empty() {
            true => vec![run(&self.selection.options(program)?).map_err(|e| e.to_string())?],
            false => {
                let read =
                    |path: &PathBuf| Report::read(path).map_err(|e| format!("{}: {e}", path.display()));
                self.results.iter().map(read).collect::<Result<Vec<_>, _>>()?
            }
        };
        let write = |path: &PathBuf, text: String| {
            std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
        };
        if let Some(path) = &self.json {
            let text = match &reports[..] {
                [one] => one.to_json(),
                several => serde_json::to_string_pretty(several),
            };
            write(path, text.map_err(|e| e.to_string())?)?;
        }
        if let (Some(path), Some(first)) = (&self.badge, reports.first()) {
            write(path, badge(first))?;
        }
        match &self.markdown {
            Some(path) => write(path, markdown(&reports))?,
            None => print!("{}", markdown(&reports)),
        }
        let good = reports.iter().all(Report::is_success);
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
