//! The element-wise part of one step of an LSTM or a GRU.
//!
//! Taken one by one, libtorch's functions cost more in being called than in computing: on the CPU one kernel does a step's.

use keras_kernels::math::Real;
use keras_kernels::rnn::{gru_step, lstm_step};
use tch::kind::Element;
use tch::{Kind, Tensor};

use crate::buffer::{Done, broken, elements_mut};

/// Part `i` of `count` of the last axis.
pub(crate) fn part(x: &Tensor, i: i64, count: i64, units: i64) -> Done {
    Ok(x.f_narrow(-1, i * units, count * units)?)
}

/// A step of an LSTM. `gates`, `(batch, 4 · units)`, are the sums of the products and become the activated gates; `state`
/// and `cell`, `(batch, units)`, become those after the step, of which `before` is the cell's.
pub(crate) fn lstm(gates: &mut Tensor, before: &Tensor, state: &mut Tensor, cell: &mut Tensor) -> Done<()> {
    let kernel = match gates.f_kind()? {
        Kind::Float => lstm_kernel::<f32>,
        Kind::Double => lstm_kernel::<f64>,
        _ => |_: i64, _: [&mut Tensor; 3]| None,
    };
    let units = state.size()[1];
    cell.f_copy_(before)?;
    if let Some(done) = kernel(units, [gates, state, cell]) {
        return done.map_err(|e| broken("lstm", e).into());
    }
    let (i, f) = (part(gates, 0, 1, units)?, part(gates, 1, 1, units)?);
    let (mut g, mut o) = (part(gates, 2, 1, units)?, part(gates, 3, 1, units)?);
    let _ = (part(gates, 0, 2, units)?.f_sigmoid_()?, g.f_tanh_()?, o.f_sigmoid_()?);
    let _ = (cell.f_mul_(&f)?, cell.f_addcmul_(&i, &g)?);
    let _ = o.f_mul_out(state, &cell.f_tanh()?)?;
    Ok(())
}

fn lstm_kernel<T: Real + Element>(units: i64, all: [&mut Tensor; 3]) -> Option<keras_kernels::Result<()>> {
    let [gates, state, cell] = all.map(elements_mut::<T>);
    Some(lstm_step(units as usize, gates?, state?, cell?))
}

/// A step of a GRU. `gates`, `(batch, 4 · units)`, hold the input's sums in the first three parts and become the activated
/// gates, the candidate, and what the reset gate multiplied; `own`, `(batch, 3 · units)`, are the state's sums; `state`,
/// `(batch, units)`, becomes that after the step, of which `before` is the one before.
pub(crate) fn gru(gates: &mut Tensor, own: &mut Tensor, before: &Tensor, state: &mut Tensor) -> Done<()> {
    let kernel = match gates.f_kind()? {
        Kind::Float => gru_kernel::<f32>,
        Kind::Double => gru_kernel::<f64>,
        _ => |_: i64, _: [&mut Tensor; 3]| None,
    };
    let units = state.size()[1];
    state.f_copy_(before)?;
    if let Some(done) = kernel(units, [gates, own, state]) {
        return done.map_err(|e| broken("gru", e).into());
    }
    let mut update_reset = part(gates, 0, 2, units)?;
    let _ = (update_reset.f_add_(&part(own, 0, 2, units)?)?, update_reset.f_sigmoid_()?);
    let candidate_own = part(own, 2, 1, units)?;
    part(gates, 3, 1, units)?.f_copy_(&candidate_own)?;
    let mut candidate = part(gates, 2, 1, units)?;
    let _ = candidate.f_addcmul_(&part(gates, 1, 1, units)?, &candidate_own)?;
    let _ = candidate.f_tanh_()?;
    let _ = candidate.f_lerp_tensor_out(state, before, &part(gates, 0, 1, units)?)?;
    Ok(())
}

fn gru_kernel<T: Real + Element>(units: i64, all: [&mut Tensor; 3]) -> Option<keras_kernels::Result<()>> {
    let [gates, own, state] = all.map(elements_mut::<T>);
    Some(gru_step(units as usize, gates?, own?, state?))
}
