//! Backends that misbehave in one operation: the run goes on, and what they do wrong fails with the reason.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{
    ExpectedFailure, ExpectedFailures, FailureKind, Options, Report, Status, run, update,
};
use keras_spec::backend::Buffers;
use keras_spec::{
    AnyBuffer, BackendEntry, DType, Device, DynBackend, Error, Fused, HostTensor, Op, Result, Shape, UnaryOp,
    register_backend,
};
use smallvec::SmallVec;

/// What goes wrong in `exp`.
#[derive(Clone, Copy)]
enum Fault {
    Value,
    Shape,
    DType,
    Panic,
    Hang,
    Refuse,
}

/// The backend `minimal` with a fault.
struct Faulty {
    inner: Device,
    fault: Fault,
}

fn faulty(fault: Fault) -> Result<Arc<dyn DynBackend>> {
    Ok(Arc::new(Faulty { inner: Device::new("minimal")?, fault }))
}

macro_rules! backend {
    ($name:literal, $fault:expr) => {
        register_backend!(BackendEntry {
            name: $name,
            priority: -200,
            check: || Ok(()),
            devices: || vec!["cpu".to_owned()],
            make: |_| faulty($fault),
        });
    };
}

backend!("wrong-value", Fault::Value);
backend!("wrong-shape", Fault::Shape);
backend!("wrong-dtype", Fault::DType);
backend!("panics", Fault::Panic);
backend!("hangs", Fault::Hang);
backend!("refuses", Fault::Refuse);

impl DynBackend for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn device(&self) -> String {
        "cpu".to_owned()
    }

    fn supports(&self, dtype: DType) -> bool {
        self.inner.supports(dtype)
    }

    fn from_host(&self, x: HostTensor) -> Result<AnyBuffer> {
        self.inner.backend().from_host(x)
    }

    fn to_host(&self, x: AnyBuffer) -> Result<HostTensor> {
        self.inner.backend().to_host(x)
    }

    fn via_host(&self, _op: &Op, _dtype: DType) -> bool {
        false
    }

    fn fuses(&self, _op: &Fused, _dtype: DType) -> bool {
        false
    }

    fn update(&self, op: &Fused, operands: &mut [AnyBuffer]) -> Result<()> {
        self.inner.backend().update(op, operands)
    }

    fn describe(&self, x: &AnyBuffer) -> Result<(Shape, DType)> {
        self.inner.backend().describe(x)
    }

    fn fused(&self, op: &Fused, operands: Buffers) -> Result<SmallVec<[AnyBuffer; 1]>> {
        self.inner.backend().fused(op, operands)
    }

    fn execute(&self, op: &Op, operands: Buffers) -> Result<AnyBuffer> {
        let inner = self.inner.backend();
        if *op != Op::Unary(UnaryOp::Exp) {
            return inner.execute(op, operands);
        }
        let (shape, dtype) = inner.describe(&operands[0])?;
        match self.fault {
            Fault::Value => inner.execute(&Op::Unary(UnaryOp::Expm1), operands),
            Fault::Shape => {
                let longer = shape.iter().copied().chain([1]).collect();
                inner.execute(&Op::Reshape(longer), operands)
            }
            Fault::DType => inner.execute(&Op::Cast(DType::I8), operands),
            Fault::Panic => panic!("no exponents today"),
            Fault::Hang => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Fault::Refuse => Err(Error::unsupported("faulty", "exp", dtype, "it has no exponents")),
        }
    }
}

fn options(backend: &str, filter: &str) -> Options {
    let mut options = Options::new(backend);
    options.filter = Some(filter.to_owned());
    options.time_limit = Duration::from_secs(2);
    options
}

/// Runs `exp` and `expm1`, of which the first is wrong, and gives the reason for float32.
fn reason(backend: &str) -> String {
    let report = run(&options(backend, "properties/unary/exp")).unwrap();
    let count = report.count();
    assert_eq!((count.passed, count.failed), (4, 4), "{report}");
    assert!(!report.is_success());
    explained(&report, "properties/unary/exp/float32")
}

fn explained(report: &Report, id: &str) -> String {
    report.cases.iter().find(|c| c.id == id).unwrap().explained()
}

#[test]
fn a_wrong_value_is_shown_with_all_that_reproduces_it() {
    let why = reason("wrong-value");
    for part in [
        "failed: properties/unary/exp/float32",
        "elements differ",
        "worst at [",
        "tolerances",
        "got: float32",
        "expected: float32",
        "operation: Unary(Exp)",
        "operands: float32",
        "again: cargo run --release -p conformance-tests -- run --backend wrong-value --id 'properties/unary/exp/float32'",
    ] {
        assert!(why.contains(part), "{part} is missing in\n{why}");
    }
}

#[test]
fn a_wrong_shape_or_dtype_is_named() {
    let why = reason("wrong-shape");
    assert!(why.contains("`exp`") || why.contains("`unary`"), "{why}");
    assert!(why.contains("is due"), "{why}");
    let why = reason("wrong-dtype");
    assert!(why.contains("int8") && why.contains("is due"), "{why}");
}

#[test]
fn a_panic_fails_one_test() {
    assert!(reason("panics").contains("no exponents today"));
}

#[test]
fn what_hangs_is_left_behind() {
    assert!(reason("hangs").contains("did not end within 2 s"));
}

#[test]
fn what_is_unsupported_fails_until_it_is_declared() {
    assert!(reason("refuses").contains("it has no exponents"));
    let list = tempfile::NamedTempFile::new().unwrap();
    let entry =
        |id: &str, kind| ExpectedFailure { id: id.to_owned(), kind, reason: "mine".to_owned(), issue: None };
    let ran = |entries: Vec<ExpectedFailure>| {
        ExpectedFailures { entries }.write(list.path()).unwrap();
        let mut options = options("refuses", "properties/unary/exp/");
        options.expected = Some(list.path().to_owned());
        run(&options).unwrap()
    };
    let dtypes = ["float16", "bfloat16", "float32", "float64"];
    let all = |kind| dtypes.map(|d| entry(&format!("properties/unary/exp/{d}"), kind)).to_vec();

    let report = ran(all(FailureKind::Unsupported));
    assert_eq!((report.count().failed, report.count().unsupported), (0, 4), "{report}");
    assert!(report.to_string().ends_with("0 passed, 0 failed, 4 skipped"));

    let report = ran(all(FailureKind::Bug));
    assert_eq!(report.count().failed, 4);
    assert!(explained(&report, "properties/unary/exp/float32").contains("expects the kind `bug`"));

    let mut entries = all(FailureKind::Unsupported);
    entries.push(entry("properties/unary/exp/float128", FailureKind::Bug));
    let report = ran(entries);
    assert_eq!(report.count().failed, 1);
    let id = "conformance.toml/properties/unary/exp/float128";
    assert!(explained(&report, id).contains("there is no such test"));
}

#[test]
fn an_unexpected_pass_fails_and_an_update_settles_everything() {
    let list = tempfile::NamedTempFile::new().unwrap();
    let id = "properties/unary/expm1/float32".to_owned();
    let entry =
        ExpectedFailure { id: id.clone(), kind: FailureKind::Bug, reason: "mine".to_owned(), issue: None };
    ExpectedFailures { entries: vec![entry] }.write(list.path()).unwrap();
    let mut options = options("refuses", "properties/unary/exp");
    options.expected = Some(list.path().to_owned());
    let report = run(&options).unwrap();
    assert!(matches!(
        &report.cases.iter().find(|c| c.id == id).unwrap().status,
        Status::Failed(why) if why.contains("passes")
    ));
    update(&options).unwrap();
    assert!(run(&options).unwrap().is_success());
    let written = ExpectedFailures::read(list.path()).unwrap();
    assert_eq!(written.entries.len(), 4);
    assert!(written.entries.iter().all(|e| e.kind == FailureKind::Unsupported && e.id != id));
}
