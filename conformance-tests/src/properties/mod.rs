//! Properties that hold on every backend, on generated shapes, dtypes and memory layouts: required operations against the
//! oracle, shared tensors that nothing modifies, fused operations against their composition.

mod draw;
mod fused;
mod generate;
mod required;
mod values;

use keras_spec::{Device, HostTensor, Result as KerasResult, Tensor};

use crate::compare::{Tolerance, compare};
use crate::kinds::{Result, mismatch};
use crate::suite::Test;

pub(crate) use fused::routes;

/// The backend whose plain loops are the oracle of the required operations.
const ORACLE: &str = "minimal";

fn oracle() -> KerasResult<Device> {
    Device::new(ORACLE)
}

/// The properties of a device.
pub(crate) fn tests(device: &Device) -> Vec<Test> {
    let mut tests = required::tests();
    tests.extend(fused::tests(device));
    tests
}

/// Nothing may differ.
const EXACT: Tolerance = Tolerance { rtol: 0.0, atol: 0.0 };

fn to_host(tensors: &[Tensor]) -> KerasResult<Vec<HostTensor>> {
    tensors.iter().map(Tensor::to_host).collect()
}

/// Compares every tensor with the expected one; the largest error.
fn compared(what: &str, got: &[HostTensor], expected: &[HostTensor], t: Option<Tolerance>) -> Result<f64> {
    let mut worst = 0.0f64;
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        match compare(got, expected, t) {
            Ok(error) => worst = worst.max(error),
            Err(why) => return mismatch(format!("{what} {i}: {why}")),
        }
    }
    Ok(worst)
}
