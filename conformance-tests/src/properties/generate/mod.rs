//! Generated instances of every required operation.

mod contraction;
mod elementwise;
mod fused;
mod indexing;
mod movement;
mod reduction;

use keras_spec::layer::to_snake_case;
use keras_spec::{DType, HostTensor, Op, Shape};

use super::draw::Draw;
use super::values::dim;
use crate::compare::Tolerance;

/// An operation with its operands.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) op: Op,
    pub(crate) operands: Vec<HostTensor>,
    /// In place of the dtype's.
    pub(crate) tolerance: Option<Tolerance>,
}

impl Instance {
    /// One whose result has to be exact.
    fn exact(op: Op, operands: impl IntoIterator<Item = HostTensor>) -> Self {
        let tolerance = Some(Tolerance { rtol: 0.0, atol: 0.0 });
        Instance { op, operands: operands.into_iter().collect(), tolerance }
    }

    /// One whose result is as exact as the dtype allows.
    fn rounded(op: Op, operands: impl IntoIterator<Item = HostTensor>) -> Self {
        Instance { op, operands: operands.into_iter().collect(), tolerance: None }
    }
}

pub(crate) use fused::{FUSED, FusedFamily, FusedInstance};

type Make = Box<dyn Fn(&mut Draw<'_>, DType) -> Instance + Send + Sync>;

/// An operation that is tested by itself, on each of its dtypes.
pub(crate) struct Family {
    /// The method, and the function if there are several: `unary/exp`.
    pub(crate) name: String,
    pub(crate) dtypes: Vec<DType>,
    pub(crate) make: Make,
}

impl Family {
    fn new(
        name: impl Into<String>,
        accepts: impl Fn(DType) -> bool,
        make: impl Fn(&mut Draw<'_>, DType) -> Instance + Send + Sync + 'static,
    ) -> Self {
        let dtypes = DType::ALL.into_iter().filter(|&d| accepts(d)).collect();
        Family { name: name.into(), dtypes, make: Box::new(make) }
    }
}

/// Every operation.
pub(crate) fn families() -> Vec<Family> {
    let mut all = movement::families();
    all.extend(elementwise::families());
    all.extend(reduction::families());
    all.extend(indexing::families());
    all.extend(contraction::families());
    all
}

/// `method/function`
fn name(method: &str, function: impl std::fmt::Debug) -> String {
    format!("{method}/{}", to_snake_case(&format!("{function:?}")))
}

fn any(_: DType) -> bool {
    true
}

fn numeric(dtype: DType) -> bool {
    dtype != DType::Bool
}

/// A shape that broadcasts to `shape`: some axes have length 1, some leading ones are missing.
fn narrower(draw: &mut Draw<'_>, shape: &Shape) -> Shape {
    let skip = if draw.chance() { draw.below(shape.rank() + 1) } else { 0 };
    shape[skip..].iter().map(|&n| if draw.below(4) == 3 { 1 } else { n }).collect()
}

/// An axis of a shape that has some.
fn axis(draw: &mut Draw<'_>, shape: &Shape) -> usize {
    draw.below(shape.rank())
}

/// Some axes, ascending.
fn axes(draw: &mut Draw<'_>, rank: usize) -> keras_spec::Dims {
    (0..rank).filter(|_| draw.chance()).collect()
}

/// `shape` with another length on an axis.
fn with_dim(shape: &Shape, axis: usize, n: usize) -> Shape {
    shape.iter().enumerate().map(|(i, &d)| if i == axis { n } else { d }).collect()
}

/// A shape of `low` to `high` axes whose axis `axis` is not empty.
fn with_axis(draw: &mut Draw<'_>, low: usize, high: usize) -> (Shape, usize) {
    let mut shape = super::values::shape(draw, low, high);
    let axis = axis(draw, &shape);
    if shape[axis] == 0 {
        shape = with_dim(&shape, axis, dim(draw).max(1));
    }
    (shape, axis)
}
