//! The `keras` command: looks into model files of every Keras, runs, converts, compares and measures them.

mod answer;
mod arguments;
mod commands;
mod contents;
mod data;
mod model;
mod random;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use answer::{Answer, Failure};
use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) if e.use_stderr() && std::env::args_os().any(|argument| argument == "--json") => {
            let failure = Failure::Usage(e.to_string().trim().to_owned());
            complain(&failure, true);
            return failure.code().into();
        }
        Err(e) => e.exit(),
    };
    arguments.color.write_global();
    if !arguments.quiet {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_writer(io::stderr)
            .with_target(false)
            .without_time()
            .init();
    }
    let json = arguments.json;
    let done = match arguments.command {
        Command::Conformance(command) => return command.run(),
        Command::Digests(command) => return command.run(),
        Command::Summary(command) => command.run(json),
        Command::Inspect(command) => command.run(),
        Command::Plot(command) => command.run(),
        Command::Predict(command) => command.run(arguments.quiet),
        Command::Convert(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Backends(command) => command.run(),
        Command::Bench(command) => command.run(arguments.quiet),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match done.and_then(|answer| print(&answer, json).map(|()| answer.code)) {
        Ok(code) => code.into(),
        // Who reads a pipe and stops has what they wanted.
        Err(Failure::Stdout(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure, json);
            failure.code().into()
        }
    }
}

fn print(answer: &Answer, json: bool) -> Result<(), Failure> {
    let written = match json {
        true => {
            let mut out = BufWriter::new(io::stdout().lock());
            writeln!(out, "{:#}", answer.json).and_then(|()| out.flush())
        }
        false => {
            let mut out = anstream::stdout().lock();
            out.write_all(answer::printable(&answer.text).as_bytes()).and_then(|()| out.flush())
        }
    };
    written.map_err(Failure::Stdout)
}

/// Says on standard error what went wrong. There is nowhere left to report that this fails.
fn complain(failure: &Failure, json: bool) {
    let mut err = anstream::stderr().lock();
    let _ = match json {
        true => writeln!(err, "{}", failure.to_json()),
        false => {
            let text = failure.to_string();
            writeln!(err, "{BAD}error{BAD:#}: {}", answer::printable(&text), BAD = answer::BAD)
        }
    };
}
