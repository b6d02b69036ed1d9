//! `keras plot`

use std::path::PathBuf;

use keras::visual::PlotModel;
use serde_json::json;

use crate::answer::{Answer, Failure, Result};
use crate::model::{ModelFile, NewWeights};

#[derive(Debug, clap::Args)]
pub(crate) struct Plot {
    #[command(flatten)]
    model: ModelFile,
    /// The picture to write; standard output without it
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Leave out the shapes of outputs
    #[arg(long)]
    no_shapes: bool,
    /// Show dtypes
    #[arg(long)]
    dtypes: bool,
    /// From left to right, not from top to bottom
    #[arg(long)]
    left_to_right: bool,
}

impl Plot {
    pub(crate) fn run(self) -> Result<Answer> {
        let is_svg = |path: &PathBuf| path.extension().is_none_or(|e| e.eq_ignore_ascii_case("svg"));
        if let Some(path) = self.output.as_ref().filter(|path| !is_svg(path)) {
            return Err(Failure::Usage(format!("{}: expected a name that ends in .svg", path.display())));
        }
        let model = self.model.open(false, NewWeights::Unused)?.model;
        let options = PlotModel::new()
            .show_shapes(!self.no_shapes)
            .show_dtype(self.dtypes)
            .left_to_right(self.left_to_right);
        let svg = model.plot_svg(options).map_err(|e| Failure::file(self.model.path(), e))?;
        match self.output {
            None => Ok(Answer::new(svg.clone(), json!({ "svg": svg }))),
            Some(path) => {
                std::fs::write(&path, &svg).map_err(|e| Failure::file(&path, e))?;
                Ok(Answer::new(
                    format!("{}\n", path.display()),
                    json!({ "output": path.to_string_lossy(), "bytes": svg.len() }),
                ))
            }
        }
    }
}
