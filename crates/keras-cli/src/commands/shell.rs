//! `keras completions` and `keras man`

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::answer::{Answer, Failure, Result};
use crate::arguments::Arguments;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Answer> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "keras", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let json = json!({ "shell": self.shell.to_string(), "script": script });
        Ok(Answer::new(script, json))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder; it is made if need be
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<Answer> {
        let fail = |e| Failure::file(&self.directory, e);
        std::fs::create_dir_all(&self.directory).map_err(fail)?;
        let mut command = Arguments::command().disable_help_subcommand(true);
        command.build();
        let mut names = vec!["keras.1".to_owned()];
        let visible = command.get_subcommands().filter(|c| !c.is_hide_set());
        names.extend(visible.map(|c| format!("keras-{}.1", c.get_name())));
        clap_mangen::generate_to(command, &self.directory).map_err(fail)?;
        let text =
            names.iter().map(|n| format!("{}\n", self.directory.join(n).display())).collect::<String>();
        Ok(Answer::new(text, json!({ "directory": self.directory, "pages": names })))
    }
}
