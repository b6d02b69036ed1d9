//! The gradient table: for each operation what it saves, and its vector-Jacobian product in terms of operations.

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::op::Op;
use crate::tape::Saved;
use crate::tensor::Tensor;

/// Which operands and results a gradient reads, as bit masks.
#[derive(Clone, Copy)]
pub(crate) struct Saves {
    operands: u32,
    results: u32,
}

impl Saves {
    pub(crate) fn operand(self, i: usize) -> bool {
        self.operands >> i & 1 == 1
    }

    pub(crate) fn result(self, i: usize) -> bool {
        self.results >> i & 1 == 1
    }
}

pub(crate) fn saves(_op: &Op) -> Saves {
    Saves { operands: 0, results: 0 }
}

/// The gradients with respect to the wanted operands.
pub(crate) fn vjp(
    op: &Op,
    _saved: &Saved,
    _cotangents: SmallVec<[Option<Tensor>; 1]>,
    _wanted: &[bool],
) -> Result<SmallVec<[Option<Tensor>; 3]>> {
    Err(Error::Gradient(format!("`{}` has none", op.name())))
}
