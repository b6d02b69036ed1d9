//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::{
    backends::Backends, bench::Bench, conformance, convert::Convert, diff::Diff, inspect::Inspect,
    plot::Plot, predict::Predict, shell, summary::Summary,
};

/// Looks into model files of every Keras, runs, converts, compares and measures them.
#[derive(Debug, Parser)]
#[command(name = "keras", version, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print the answer, or on standard error what went wrong, as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No warnings and no progress bar
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) color: Color,
}

/// When text has colours.
#[derive(Debug, clap::Args)]
pub(crate) struct Color {
    /// When to use colours; `auto` is on a terminal, unless NO_COLOR is set
    #[arg(long = "color", global = true, value_name = "WHEN", default_value = "auto")]
    when: clap::ColorChoice,
}

impl Color {
    pub(crate) fn write_global(&self) {
        match self.when {
            clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
            clap::ColorChoice::Always => anstream::ColorChoice::Always,
            clap::ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  what was compared differs (diff, convert --check), or a test failed (conformance)
  2  the command line is wrong
  3  a file cannot be read or written, is damaged or of another kind, or has a class that is not known
  4  the data does not fit the model
  5  there is no such backend, or it failed";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the layers of a model with their output shapes and numbers of parameters
    Summary(Summary),
    /// Show what a file holds, also where its classes are not known: format, writer, layers, weights
    Inspect(Inspect),
    /// Draw the graph of a model as an SVG picture
    Plot(Plot),
    /// Run a model on data
    Predict(Predict),
    /// Write a model of any Keras in another format
    Convert(Convert),
    /// Compare the architectures and weights of two files
    Diff(Diff),
    /// List the backends that are linked, whether they work, and their devices
    Backends(Backends),
    /// Measure how fast a model predicts and trains
    Bench(Bench),
    /// Run the conformance suite; what follows are the arguments of `conformance-tests`
    Conformance(conformance::Conformance),
    /// Print the completion script of a shell
    Completions(shell::Completions),
    /// Write the manual pages into a folder
    Man(shell::Man),
    /// What the suite starts to compare numbers of threads
    #[command(hide = true)]
    Digests(conformance::Digests),
}
