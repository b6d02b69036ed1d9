//! Results do not depend on the number of threads. The environment variable `KERAS_THREADS` is read once by a backend, so
//! each number takes a process of its own: this program, started anew.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use keras_spec::{Device, HostTensor, Result as KerasResult, Tensor, dispatch_dtype};

use crate::kinds::{Result, mismatch};
use crate::suite::{Options, Test};
use crate::tier::Tier;
use crate::workloads::{WORKLOADS, Workload};

/// The numbers of threads that are compared.
const COUNTS: [&str; 2] = ["1", "3"];

/// Digests by the names of workloads, for each number of threads; made by the first test that asks.
type Digests = OnceLock<std::result::Result<[BTreeMap<String, String>; 2], String>>;

/// One test for each workload, if the program can be started anew.
pub(crate) fn tests(options: &Options) -> Vec<Test> {
    let Some(program) = options.program.clone() else { return Vec::new() };
    let (backend, limit) = (options.backend.clone(), options.time_limit);
    let digests = Arc::new(Digests::new());
    let shared = Arc::new(move || -> std::result::Result<_, String> {
        let [a, b] = COUNTS.map(|count| child(&program, &backend, count, limit));
        Ok([a?, b?])
    });
    let test = |workload: &Workload| {
        let (name, digests, shared) = (workload.name, digests.clone(), shared.clone());
        let work = move |_: &Device| (judge(name, digests.get_or_init(|| shared())), 0.0);
        Test::new(format!("threads/{name}"), Tier::Ops, "threads", name, work)
    };
    WORKLOADS.iter().map(test).collect()
}

fn judge(name: &str, digests: &std::result::Result<[BTreeMap<String, String>; 2], String>) -> Result {
    let [one, several] = match digests {
        Ok(digests) => digests,
        Err(why) => return mismatch(why.clone()),
    };
    match (one.get(name), several.get(name)) {
        (Some(a), Some(b)) if a == b && !a.starts_with(ERROR) => Ok(()),
        (a, b) => {
            let said = |d: Option<&String>| d.map_or("nothing", String::as_str).to_owned();
            let [m, n] = COUNTS;
            mismatch(format!("KERAS_THREADS={m} gives {}\nKERAS_THREADS={n} gives {}", said(a), said(b)))
        }
    }
}

const ERROR: &str = "error:";

/// The digests that the program gives with a number of threads.
fn child(
    program: &Path,
    backend: &str,
    threads: &str,
    limit: Duration,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", program.display());
    let mut command = Command::new(program);
    command.args(["digests", "--backend", backend]).env("KERAS_THREADS", threads);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(fail)?;
    let started = Instant::now();
    // What it writes is far less than a pipe holds, so it can be read after its end.
    while child.try_wait().map_err(fail)?.is_none() {
        if started.elapsed() > limit {
            let _ = child.kill();
            return Err(format!("with KERAS_THREADS={threads}, did not end within {} s", limit.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut text = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut text).map_err(fail)?;
    }
    let entry = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    Ok(text.lines().filter_map(entry).collect())
}

/// What a child process writes: a line with a name and a digest for each workload.
pub(crate) fn digests(device: &Device) -> String {
    let digest = |w: &Workload| {
        let results = w.operands(device).and_then(|operands| w.run(&operands)).and_then(|r| digest(&r));
        match results {
            Ok(digest) => format!("{} {digest:016x}\n", w.name),
            Err(e) => format!("{} {ERROR} {}\n", w.name, e.to_string().replace('\n', " ")),
        }
    };
    WORKLOADS.iter().map(digest).collect()
}

/// A number that depends on every bit of the tensors (FNV-1a).
fn digest(tensors: &[Tensor]) -> KerasResult<u64> {
    let fold = |hash: u64, bits: u64| (hash ^ bits).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    let of = |hash: u64, t: &HostTensor| -> KerasResult<u64> {
        dispatch_dtype!(t.dtype(), T => {
            Ok(t.as_slice::<T>()?.iter().fold(hash, |h, x| fold(h, keras_spec::Element::to_f64(*x).to_bits())))
        })
    };
    tensors.iter().try_fold(0xcbf2_9ce4_8422_2325, |hash, t| of(hash, &t.to_host()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_compared() {
        let map = |digest: &str| BTreeMap::from([("a".to_owned(), digest.to_owned())]);
        assert!(judge("a", &Ok([map("1"), map("1")])).is_ok());
        for bad in [Ok([map("1"), map("2")]), Ok([map("error: x"), map("error: x")]), Err("no".to_owned())] {
            assert!(judge("a", &bad).is_err());
        }
        assert!(judge("b", &Ok([map("1"), map("1")])).is_err());
    }

    #[test]
    fn every_bit_counts() {
        let device = Device::new("minimal").unwrap();
        let of = |x: f32| digest(&[Tensor::from_host(x.into(), &device).unwrap()]).unwrap();
        assert_eq!(of(1.0), of(1.0));
        assert_ne!(of(1.0), of(1.0 + f32::EPSILON));
        assert_ne!(of(0.0), of(-0.0));
    }
}
