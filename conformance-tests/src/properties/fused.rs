//! Fused operations: that a backend's own agree with their composition, and so do their gradients.

use std::collections::BTreeMap;

use keras_spec::{
    DType, Device, Fused, GradientOptions, HostTensor, Op, Result as KerasResult, Tensor, gradients_with,
    scope,
};

use super::draw::{Draw, hold, samples};
use super::generate::{FUSED, FusedFamily, FusedInstance, families};
use super::values::{Layout, Pool, tensor};
use super::{EXACT, compared, to_host};
use crate::kinds::{Part, Result};
use crate::report::Route;
use crate::suite::{Test, caught};
use crate::tier::Tier;
use crate::vectors::shown_all;

/// Instances per operation and dtype.
const CASES: u32 = 24;

const DTYPES: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

/// The tests of what the device fuses.
pub(super) fn tests(device: &Device) -> Vec<Test> {
    let mut tests = Vec::new();
    for family in &FUSED {
        for dtype in DTYPES {
            let fuses = fuses(family, dtype, device);
            if fuses.forward {
                tests.push(test(family, dtype, Part::Results));
            }
            if family.differentiable && (fuses.forward || fuses.backward) {
                tests.push(test(family, dtype, Part::Gradients));
            }
        }
    }
    tests
}

/// What a device has of its own.
struct Fuses {
    forward: bool,
    backward: bool,
}

fn fuses(family: &FusedFamily, dtype: DType, device: &Device) -> Fuses {
    let own = |op: &Fused| device.backend().fuses(op, dtype);
    let found = samples(family.name, CASES as usize, |draw| {
        let instance = (family.make)(draw, dtype);
        (own(&instance.op), instance.backward.iter().any(own))
    });
    Fuses { forward: found.iter().any(|f| f.0), backward: found.iter().any(|f| f.1) }
}

fn test(family: &'static FusedFamily, dtype: DType, part: Part) -> Test {
    let id = format!("fused/{}/{dtype}", family.name);
    let (id, tier) = match part {
        Part::Results => (id, Tier::Ops),
        Part::Gradients => (format!("{id}#grad"), Tier::Grad),
    };
    let of = id.clone();
    let work = move |device: &Device| {
        hold(&of, CASES, |draw| {
            let instance = (family.make)(draw, dtype);
            let agrees = caught(|| match part {
                Part::Results => results_agree(&instance, draw, device),
                Part::Gradients => gradients_agree(&instance, draw, device),
            });
            agrees.map_err(|f| {
                f.within(&format!(
                    "operation: {:?}\noperands: {}",
                    instance.op,
                    shown_all(&instance.operands)
                ))
            })
        })
    };
    Test::new(id, tier, "fused", family.name, work)
}

fn bring(instance: &FusedInstance, draw: &mut Draw<'_>, device: &Device) -> KerasResult<Vec<Tensor>> {
    instance.operands.iter().map(|x| Ok(Layout::draw(draw).bring(x, device)?.1)).collect()
}

fn results_agree(instance: &FusedInstance, draw: &mut Draw<'_>, device: &Device) -> Result<f64> {
    let operands = bring(instance, draw, device)?;
    let run = || -> KerasResult<Vec<HostTensor>> {
        let results = Tensor::apply(Op::Fused(instance.op.clone()), operands.iter().cloned())?;
        to_host(&results[..instance.results.min(results.len())])
    };
    let expected = scope::decomposed(run)?;
    let got = run()?;
    compared("shared operand", &to_host(&operands)?, &instance.operands, Some(EXACT))?;
    let given = Tensor::apply(Op::Fused(instance.op.clone()), operands)?;
    let given = to_host(&given[..instance.results.min(given.len())])?;
    compared("result of operands given away", &given, &got, Some(EXACT))?;
    compared("result", &got, &expected, None)
}

fn gradients_agree(instance: &FusedInstance, draw: &mut Draw<'_>, device: &Device) -> Result<f64> {
    let operands = bring(instance, draw, device)?;
    let watch = |x: Tensor| if x.dtype().is_float() { x.watch() } else { x };
    let operands: Vec<Tensor> = operands.into_iter().map(watch).collect();
    let sources: Vec<&Tensor> = operands.iter().filter(|x| x.is_watched()).collect();
    let mut cotangents = Vec::new();
    let mut run = |draw: &mut Draw<'_>| -> KerasResult<Vec<HostTensor>> {
        let results = Tensor::apply(Op::Fused(instance.op.clone()), operands.iter().cloned())?;
        let targets: Vec<&Tensor> = results.iter().take(instance.results).collect();
        if cotangents.is_empty() {
            for t in &targets {
                let cotangent = tensor(draw, t.shape(), t.dtype(), Pool::Unit);
                cotangents.push(Tensor::from_host(cotangent, device)?);
            }
        }
        let options = GradientOptions { cotangents: Some(cotangents.clone()), create_graph: false };
        let gradients = gradients_with(&targets, &sources, &options)?;
        let zeros = |x: &Tensor| HostTensor::full(x.shape().clone(), x.dtype(), 0.0);
        let host = |(g, x): (Option<Tensor>, &&Tensor)| g.map_or_else(|| Ok(zeros(x)), |g| g.to_host());
        gradients.into_iter().zip(&sources).map(host).collect()
    };
    let expected = scope::decomposed(|| run(draw))?;
    let got = run(draw)?;
    compared("gradient of operand", &got, &expected, None)
}

/// How the device does each operation.
pub(crate) fn routes(device: &Device) -> BTreeMap<String, Route> {
    // Of each method, how many of its functions and dtypes are done by the device, and how many there are.
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for family in families() {
        let method = family.name.split('/').next().unwrap_or(&family.name).to_owned();
        let (native, of) = counts.entry(method).or_default();
        for &dtype in &family.dtypes {
            let sample = samples(&family.name, 1, |draw| (family.make)(draw, dtype));
            let via_host = sample.iter().any(|instance| device.backend().via_host(&instance.op, dtype));
            *native += usize::from(!via_host);
            *of += 1;
        }
    }
    let route = |(method, (native, of))| match native {
        _ if native == of => (method, Route::Native),
        0 => (method, Route::ViaHost),
        _ => (method, Route::Partly { native, of }),
    };
    let mut routes: BTreeMap<String, Route> = counts.into_iter().map(route).collect();
    for family in &FUSED {
        let samples = samples(family.name, CASES as usize, |draw| (family.make)(draw, DType::F32));
        for op in samples.iter().flat_map(|s| s.backward.iter().chain([&s.op])) {
            let route = routes.entry(op.name().to_owned()).or_insert(Route::Composed);
            if device.backend().fuses(op, DType::F32) {
                *route = match device.backend().via_host(&Op::Fused(op.clone()), DType::F32) {
                    true => Route::ViaHost,
                    false => Route::Fused,
                };
            }
        }
    }
    routes
}
