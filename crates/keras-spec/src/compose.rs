//! The default of every fused operation: its composition of required ones.

use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::tensor::{Results, Tensor};

/// Runs `op` as a composition.
pub(crate) fn compose(op: &Fused, _operands: &[Tensor]) -> Result<Results> {
    Err(Error::other(op.name()))
}
