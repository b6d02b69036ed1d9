//! Required operations: that they compute what the oracle computes, and leave alone what they are not given.

use std::sync::Arc;

use keras_spec::{Device, HostTensor, Result as KerasResult, Tensor};

use super::draw::{Draw, hold};
use super::generate::{Family, Instance, families};
use super::values::Layout;
use super::{EXACT, compared, oracle, to_host};
use crate::kinds::Result;
use crate::suite::{Test, caught};
use crate::tier::Tier;
use crate::vectors::shown_all;

/// Instances per operation and dtype.
const CASES: u32 = 24;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for family in families().into_iter().map(Arc::new) {
        for &dtype in &family.dtypes {
            let id = format!("properties/{}/{dtype}", family.name);
            let (of, family) = (id.clone(), family.clone());
            let name = family.name.clone();
            let work = move |device: &Device| {
                hold(&of, CASES, |draw| {
                    let instance = (family.make)(draw, dtype);
                    caught(|| agrees(&instance, draw, device)).map_err(|f| f.within(&described(&instance)))
                })
            };
            tests.push(Test::new(id, Tier::Core, "property", &name, work));
        }
        let id = format!("sharing/{}", family.name);
        let (of, name) = (id.clone(), family.name.clone());
        let work = move |device: &Device| {
            hold(&of, CASES, |draw| {
                let instance = any_dtype(&family, draw);
                caught(|| spares(&instance, draw, device)).map_err(|f| f.within(&described(&instance)))
            })
        };
        tests.push(Test::new(id, Tier::Core, "sharing", &name, work));
    }
    tests
}

fn any_dtype(family: &Family, draw: &mut Draw<'_>) -> Instance {
    let dtype = draw.pick(&family.dtypes);
    (family.make)(draw, dtype)
}

fn described(instance: &Instance) -> String {
    format!("operation: {:?}\noperands: {}", instance.op, shown_all(&instance.operands))
}

/// The result is the oracle's, however the operands lie in memory.
fn agrees(instance: &Instance, draw: &mut Draw<'_>, device: &Device) -> Result<f64> {
    let oracle = oracle()?;
    let bring = |x: &HostTensor| Tensor::from_host(x.clone(), &oracle);
    let plain = instance.operands.iter().map(bring).collect::<KerasResult<Vec<_>>>()?;
    let expected = to_host(&Tensor::apply(instance.op.clone(), plain)?)?;
    let operands = instance.operands.iter().map(|x| Ok(Layout::draw(draw).bring(x, device)?.1));
    let operands = operands.collect::<KerasResult<Vec<_>>>()?;
    let got = to_host(&Tensor::apply(instance.op.clone(), operands)?)?;
    compared("result", &got, &expected, instance.tolerance)
}

/// Operands that somebody else holds too, themselves or as the tensor that they are a view of, are the same after the
/// operation; and the result does not depend on who holds them.
fn spares(instance: &Instance, draw: &mut Draw<'_>, device: &Device) -> Result<f64> {
    let brought = instance.operands.iter().map(|x| Layout::draw(draw).bring(x, device));
    let (bases, operands): (Vec<_>, Vec<_>) = brought.collect::<KerasResult<Vec<_>>>()?.into_iter().unzip();
    let bases: Vec<Tensor> = bases.into_iter().flatten().collect();
    let before = to_host(&bases)?;
    let shared = to_host(&Tensor::apply(instance.op.clone(), operands.iter().cloned())?)?;
    compared("shared operand", &to_host(&operands)?, &instance.operands, Some(EXACT))?;
    if let [a, b] = &operands[..] {
        let same = (a.shape(), a.dtype()) == (b.shape(), b.dtype());
        let twice = |x: &Tensor, y: &Tensor| Tensor::apply(instance.op.clone(), [x.clone(), y.clone()]);
        if let (true, Ok(copy)) = (same, a.to_host()) {
            let expected = twice(a, &Tensor::from_host(copy, device)?);
            if let Ok(expected) = expected {
                compared(
                    "one operand twice: result",
                    &to_host(&twice(a, a)?)?,
                    &to_host(&expected)?,
                    Some(EXACT),
                )?;
            }
        }
    }
    let given = to_host(&Tensor::apply(instance.op.clone(), operands)?)?;
    compared("viewed tensor", &to_host(&bases)?, &before, Some(EXACT))?;
    compared("result of operands given away", &given, &shared, Some(EXACT))
}
