//! The suite as a test binary that understands what `cargo test` says.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, FormatSetting, Trial};

use super::{Options, Suite, Test, execute::execute};
use crate::expected::ExpectedFailures;
use crate::report::Status;

/// The suite as the `main` of a test with `harness = false`. Takes the arguments of `cargo test`; expected failures count
/// as ignored.
pub(crate) fn harness(options: &Options) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Thousands of lines that say `ok` help nobody.
    if arguments.format.is_none() && !arguments.list {
        arguments.format = Some(FormatSetting::Terse);
    }
    let suite = match Suite::open(options) {
        Ok(suite) => suite,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::FAILURE;
        }
    };
    let Suite { options, device, expected, tests, .. } = suite;
    let shared = Arc::new((options, expected, device));
    let trials = tests.into_iter().map(|test| trial(test, shared.clone())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: Test, shared: Arc<(Options, ExpectedFailures, keras_spec::Device)>) -> Trial {
    let (id, tier) = (test.id.clone(), test.tier.name());
    let run = move || {
        let (options, expected, device) = &*shared;
        let outcome = execute(test, options, expected, device);
        match &outcome.status {
            Status::Passed => Ok(Completion::Completed),
            Status::Unsupported(why) | Status::Bug(why) => Ok(Completion::ignored_with(why)),
            Status::Failed(_) => Err(Failed::from(outcome.explained())),
        }
    };
    Trial::ignorable_test(id, run).with_kind(tier)
}
