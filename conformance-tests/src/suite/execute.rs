//! Runs tests: each on a thread of its own, so that one that panics or hangs does not end the run.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use keras_spec::{Device, scope};

use super::{Options, Ran, Suite, Test};
use crate::expected::{ExpectedFailure, ExpectedFailures, FailureKind};
use crate::kinds::{self, Failure};
use crate::properties::routes;
use crate::report::{Outcome, Report, Status};

/// Held for writing where a test seeds what is drawn without a seed, for reading by all others; by whoever waits for the
/// test, so that one that hangs does not keep it.
static GLOBAL_SEED: RwLock<()> = RwLock::new(());

impl Suite {
    /// Runs the tests, several at a time.
    pub(crate) fn run(self) -> Report {
        let Suite { options, device, expected, tests, .. } = self;
        let queue: Vec<Mutex<Option<Test>>> = tests.into_iter().map(|t| Mutex::new(Some(t))).collect();
        let done = Mutex::new(Vec::with_capacity(queue.len()));
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(slot) = queue.get(i) else { break };
                let test = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let outcome = test.map(|t| execute(t, &options, &expected, &device));
                done.lock().unwrap_or_else(PoisonError::into_inner).extend(outcome.map(|o| (i, o)));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(i, _)| *i);
        let cases = done.into_iter().map(|(_, outcome)| outcome).collect();
        Report { backend: device.to_string(), routes: routes(&device), cases }
    }
}

/// Runs one test and compares how it ended with what is expected.
pub(super) fn execute(
    test: Test,
    options: &Options,
    expected: &ExpectedFailures,
    device: &Device,
) -> Outcome {
    let Test { id, tier, kind, class_name, file, exclusive, work } = test;
    let entry = expected.find(&id);
    let _alone = exclusive.then(|| GLOBAL_SEED.write().unwrap_or_else(PoisonError::into_inner));
    let _others = (!exclusive).then(|| GLOBAL_SEED.read().unwrap_or_else(PoisonError::into_inner));
    let device = *device;
    let work = move || {
        scope::noting_fused(|| caught(|| Ok(work(&device))).unwrap_or_else(|panic| (Err(panic), 0.0)))
    };
    let ((result, error), fused) = limited(&id, work, options.time_limit);
    let (status, failure) = judge(result, entry);
    let rerun = matches!(status, Status::Failed(_)).then(|| options.rerun(&id));
    Outcome {
        id,
        tier,
        kind,
        class_name,
        file,
        status,
        error,
        fused: fused.into_iter().map(str::to_owned).collect(),
        rerun,
        failure,
    }
}

/// Whether a test ended as it should, and the kind of its failure if a backend can be the cause of it.
fn judge(result: Result<(), Failure>, entry: Option<&ExpectedFailure>) -> (Status, Option<FailureKind>) {
    let failure = match result {
        Ok(()) => {
            let status = match entry {
                None => Status::Passed,
                Some(_) => Status::Failed(
                    "passes, but conformance.toml expects it to fail: remove the entry".to_owned(),
                ),
            };
            return (status, None);
        }
        Err(failure) => failure,
    };
    let kind = failure.kind();
    let status = match (entry, kind) {
        (Some(e), Some(FailureKind::Bug)) if e.kind == FailureKind::Bug => Status::Bug(e.reason.clone()),
        (Some(e), Some(FailureKind::Unsupported)) if e.kind == FailureKind::Unsupported => {
            Status::Unsupported(e.reason.clone())
        }
        (Some(e), Some(kind)) => Status::Failed(format!(
            "conformance.toml expects the kind `{}`, but this is `{}`: {failure}",
            e.kind.name(),
            kind.name()
        )),
        _ => Status::Failed(failure.to_string()),
    };
    (status, kind)
}

/// How a test ended, and the fused operations that the backend did of its own.
type Noted = (Ran, BTreeSet<&'static str>);

/// Runs `work` on a thread of its own, which is left behind if it does not end in time.
fn limited(name: &str, work: impl FnOnce() -> Noted + Send + 'static, limit: Duration) -> Noted {
    let (send, receive) = std::sync::mpsc::channel();
    let failed = |failure| ((Err(failure), 0.0), BTreeSet::new());
    let name = format!("{THREAD}{}", name.replace('\0', " "));
    match std::thread::Builder::new().name(name).spawn(move || send.send(work())) {
        Ok(_detached) => receive.recv_timeout(limit).unwrap_or_else(|_| failed(Failure::Hung(limit))),
        Err(e) => failed(Failure::Panic(format!("no thread: {e}"))),
    }
}

/// What `run` gives; a panic is a failure.
pub(crate) fn caught<R>(run: impl FnOnce() -> kinds::Result<R>) -> kinds::Result<R> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Failure::Panic(message(&*panic))))
}

/// What the names of the threads of tests begin with.
const THREAD: &str = "test ";

thread_local! {
    /// What the last panic on this thread said, and where.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Panics in tests are reported with them, with their place, and not where they happen.
pub(crate) fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        match std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
            true => PANIC.set(Some(info.to_string())),
            false => usual(info),
        }
    }));
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    PANIC.take().or(text).unwrap_or_else(|| "without a message".to_owned())
}
