//! Gradients of sorting, gathering and scattering.

use smallvec::smallvec;

use super::elementwise::where_or_zero;
use super::{Gradients, Saves, zeros};
use crate::error::Result;
use crate::host::HostTensor;
use crate::op::{Op, ScatterOp};
use crate::shape::Shape;
use crate::tape::Saved;
use crate::tensor::Tensor;

/// Where indices point: to whole slices of an axis (`gather`, `scatter`) or to single elements (`gather_elements`,
/// `scatter_elements`).
#[derive(Clone, Copy)]
pub(super) struct Place {
    axis: usize,
    elements: bool,
}

impl Place {
    pub(super) fn slices(axis: usize) -> Self {
        Place { axis, elements: false }
    }

    pub(super) fn elements(axis: usize) -> Self {
        Place { axis, elements: true }
    }

    fn gather(self, x: &Tensor, indices: &Tensor) -> Result<Tensor> {
        let op = if self.elements { Op::GatherElements(self.axis) } else { Op::Gather(self.axis) };
        Tensor::apply1(op, [x.clone(), indices.clone()])
    }

    fn scatter(self, op: ScatterOp, x: Tensor, indices: &Tensor, updates: Tensor) -> Result<Tensor> {
        let op = if self.elements {
            Op::ScatterElements { axis: self.axis, op }
        } else {
            Op::Scatter { axis: self.axis, op }
        };
        Tensor::apply1(op, [x, indices.clone(), updates])
    }

    /// `updates` added to zeros of `shape`.
    pub(super) fn add_into_zeros(self, shape: &Shape, indices: &Tensor, updates: Tensor) -> Result<Tensor> {
        let start = zeros(shape, updates.dtype(), &updates)?;
        self.scatter(ScatterOp::Add, start, indices, updates)
    }

    /// Gathers with zero where an index is out of range of `x`, from which scatter drops its update.
    fn gather_valid(self, x: &Tensor, indices: &Tensor) -> Result<Tensor> {
        let valid = self.expand(self.valid(x, indices)?, x.rank())?;
        where_or_zero(&valid, &self.gather(x, indices)?)
    }

    fn valid(self, x: &Tensor, indices: &Tensor) -> Result<Tensor> {
        use crate::op::CompareOp::{Ge, Lt};
        let n = x.shape()[self.axis] as f64;
        indices.compare_with(Ge, 0.0)?.and(&indices.compare_with(Lt, n)?)
    }

    /// What there is one of per index, shaped so that it broadcasts with gathered slices of a tensor of rank `rank`.
    fn expand(self, per_index: Tensor, rank: usize) -> Result<Tensor> {
        if self.elements {
            return Ok(per_index);
        }
        let mut shape = per_index.shape().clone();
        for _ in self.axis + 1..rank {
            shape.push(1);
        }
        per_index.reshape(shape)
    }
}

pub(super) fn sort(saved: &Saved, c: Tensor, axis: usize, descending: bool) -> Result<Tensor> {
    let indices = saved.operand(0)?.argsort(axis as isize, descending)?;
    Place::elements(axis).add_into_zeros(saved.spec(0)?.0, &indices, c)
}

pub(super) fn gather(saved: &Saved, c: Tensor, place: Place) -> Result<Gradients> {
    let shape = saved.spec(0)?.0;
    if c.shape().size() == 0 {
        return Ok(smallvec![Some(zeros(shape, c.dtype(), &c)?), None]);
    }
    // Gather clamps indices where scatter would drop the update.
    let indices = saved.operand(1)?.clip(0.0, shape[place.axis] as f64 - 1.0)?;
    Ok(smallvec![Some(place.add_into_zeros(shape, &indices, c)?), None])
}

pub(super) fn scatter_saves(op: ScatterOp) -> Saves {
    match op {
        ScatterOp::Set | ScatterOp::Add => Saves::operands([1]),
        ScatterOp::Max | ScatterOp::Min => Saves::operands([0, 1, 2]).and(Saves::RESULT),
    }
}

pub(super) fn scatter(
    op: ScatterOp,
    saved: &Saved,
    c: Tensor,
    place: Place,
    wanted: &[bool],
) -> Result<Gradients> {
    let indices = saved.operand(1)?;
    let updates_shape = saved.spec(2)?.0;
    if updates_shape.size() == 0 || c.shape().size() == 0 {
        let updates = wanted[2].then(|| zeros(updates_shape, c.dtype(), &c)).transpose()?;
        return Ok(smallvec![wanted[0].then_some(c), None, updates]);
    }
    let (x, updates) = match op {
        ScatterOp::Add => {
            let updates = wanted[2].then(|| place.gather_valid(&c, indices)).transpose()?;
            (wanted[0].then_some(c), updates)
        }
        ScatterOp::Set => {
            let updates =
                || where_or_zero(&last_ones(place, &c, indices, updates_shape)?, &place.gather(&c, indices)?);
            let updates = wanted[2].then(updates).transpose()?;
            let x = || place.scatter(op, c.clone(), indices, zeros(updates_shape, c.dtype(), &c)?);
            (wanted[0].then(x).transpose()?, updates)
        }
        ScatterOp::Max | ScatterOp::Min => {
            // Everything that is equal to the result shares its gradient.
            let (x, y, updates) = (saved.operand(0)?, saved.result(0)?, saved.operand(2)?);
            let kept = x.equal(y)?.cast(c.dtype())?;
            let reached = updates.equal(&place.gather(y, indices)?)?.cast(c.dtype())?;
            let count = place.scatter(ScatterOp::Add, kept.clone(), indices, reached.clone())?;
            let part = (c / count)?;
            let to_updates = || place.gather_valid(&part, indices)? * reached;
            let to_updates = wanted[2].then(to_updates).transpose()?;
            (wanted[0].then(|| part * kept).transpose()?, to_updates)
        }
    };
    Ok(smallvec![x, None, updates])
}

/// Where an update is the one that stayed.
fn last_ones(place: Place, c: &Tensor, indices: &Tensor, updates: &Shape) -> Result<Tensor> {
    let numbers = HostTensor::new(updates.clone(), (0..updates.size() as i32).collect::<Vec<_>>())?;
    let numbers = Tensor::from_host(numbers, c.device())?;
    let nobody = Tensor::full(c.shape(), numbers.dtype(), -1.0, c.device())?;
    let winners = place.scatter(ScatterOp::Set, nobody, indices, numbers.clone())?;
    place.gather(&winners, indices)?.equal(&numbers)
}
