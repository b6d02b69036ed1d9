//! LSTM and GRU, step by step.

use smallvec::smallvec;

use super::{activate, activation_backward};
use crate::error::{Error, Result};
use crate::fused::RnnSpec;
use crate::shape::Shape;
use crate::tensor::{Results, Tensor};
use crate::vjp::{rows, zeros};

/// The steps of one run, in the order of computation.
struct Steps<'a> {
    rnn: &'a RnnSpec,
    /// `(batch, steps)`
    mask: Option<&'a Tensor>,
    count: usize,
}

impl<'a> Steps<'a> {
    fn new(rnn: &'a RnnSpec, x: &Tensor, mask: Option<&'a Tensor>) -> Self {
        Steps { rnn, mask: mask.filter(|_| rnn.mask), count: x.shape().get(1).copied().unwrap_or(0) }
    }

    /// What `x` (batch, steps, …) has at step `t` of the computation.
    fn input(&self, x: &Tensor, t: usize) -> Result<Tensor> {
        x.index(1, if self.rnn.reverse { self.count - 1 - t } else { t })
    }

    /// `new` where step `t` is not masked, else `old`.
    fn pick(&self, t: usize, new: Tensor, old: &Tensor) -> Result<Tensor> {
        match self.mask {
            Some(mask) => self.input(mask, t)?.expand_dims(-1)?.select(&new, old),
            None => Ok(new),
        }
    }

    /// The output of step `t` from the state after it.
    fn output(&self, t: usize, h: &Tensor) -> Result<Tensor> {
        if self.rnn.zero_output_for_mask { self.pick(t, h.clone(), &nothing(h)?) } else { Ok(h.clone()) }
    }

    /// The states before each step, from the first one and the outputs.
    fn earlier(&self, h0: &Tensor, outputs: &Tensor) -> Result<Vec<Tensor>> {
        let mut states = vec![h0.clone()];
        for t in 1..self.count {
            // A masked step's output may be zero where the state stayed.
            let state = self.pick(t - 1, outputs.index(1, t - 1)?, &states[t - 1])?;
            states.push(state);
        }
        Ok(states)
    }

    /// Values in the order of computation, in the order of the input.
    fn as_input(&self, values: Tensor) -> Result<Tensor> {
        if self.rnn.reverse { values.flip(&[1]) } else { Ok(values) }
    }

    /// Values per step as `(batch, steps, width)`.
    fn together(&self, values: &[Tensor], like: &Tensor, width: usize) -> Result<Tensor> {
        if values.is_empty() {
            let shape = Shape::from([like.shape()[0], 0, width]);
            return zeros(&shape, like.dtype(), like);
        }
        Tensor::stack(values, 1)
    }
}

fn nothing(like: &Tensor) -> Result<Tensor> {
    zeros(&Shape::scalar(), like.dtype(), like)
}

fn operands<'a, const N: usize>(
    op: &str,
    all: &'a [Tensor],
) -> Result<(&'a [Tensor; N], Option<&'a Tensor>)> {
    all.split_first_chunk()
        .map(|(first, rest)| (first, rest.first()))
        .ok_or_else(|| Error::shape(op, format!("{N} operands are needed"), all.iter().map(Tensor::shape)))
}

/// The parts of the last axis, each `units` long.
fn parts<const N: usize>(x: &Tensor, units: usize) -> Result<[Tensor; N]> {
    let parts: Vec<Tensor> =
        (0..N).map(|i| x.narrow(-1, i * units, (i + 1) * units)).collect::<Result<_>>()?;
    parts.try_into().map_err(|_| Error::other("an axis was divided into another number of parts"))
}

/// `aᵀ · b`, summed over batch and steps.
fn outer(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    rows(a)?.swap_axes(0, 1)?.matmul(&rows(b)?)
}

pub(super) fn lstm(rnn: &RnnSpec, all: &[Tensor]) -> Result<Results> {
    let ([x, kernel, recurrent, bias, h0, c0], mask) = operands("lstm", all)?;
    let steps = Steps::new(rnn, x, mask);
    let units = h0.shape()[1];
    let projected = (x.matmul(kernel)? + bias)?;
    let (mut h, mut c) = (h0.clone(), c0.clone());
    let (mut outputs, mut gates, mut cells) = (vec![], vec![], vec![]);
    for t in 0..steps.count {
        let z = (steps.input(&projected, t)? + h.matmul(recurrent)?)?;
        let [i, f, g, o] = parts(&z, units)?;
        let [i, f, o] = [i, f, o].map(|z| activate(rnn.recurrent_activation, z));
        let (i, f, g, o) = (i?, f?, activate(rnn.activation, g)?, o?);
        let cell = ((&f * &c)? + (&i * &g)?)?;
        let state = (&o * activate(rnn.activation, cell.clone())?)?;
        c = steps.pick(t, cell, &c)?;
        h = steps.pick(t, state, &h)?;
        outputs.push(steps.output(t, &h)?);
        gates.push(Tensor::concatenate(&[i, f, g, o], -1)?);
        cells.push(c.clone());
    }
    let outputs = steps.together(&outputs, x, units)?;
    let gates = steps.together(&gates, x, 4 * units)?;
    Ok(smallvec![outputs, h, c, gates, steps.together(&cells, x, units)?])
}

pub(super) fn lstm_backward(rnn: &RnnSpec, all: &[Tensor]) -> Result<Results> {
    let ([x, kernel, recurrent, h0, c0, outputs, gates, cells, g_outputs, g_h, g_c], mask) =
        operands("lstm_backward", all)?;
    let steps = Steps::new(rnn, x, mask);
    let units = h0.shape()[1];
    let back = recurrent.swap_axes(0, 1)?;
    let (mut dh, mut dc) = (g_h.clone(), g_c.clone());
    let mut to_z = vec![];
    for t in (0..steps.count).rev() {
        dh = (dh + steps.output(t, &g_outputs.index(1, t)?)?)?;
        let [i, f, g, o] = parts(&gates.index(1, t)?, units)?;
        let before = if t == 0 { c0.clone() } else { cells.index(1, t - 1)? };
        let active = activate(rnn.activation, cells.index(1, t)?)?;
        let through = (&dc + activation_backward(rnn.activation, &active, &(&dh * &o)?)?)?;
        let gate = |y: &Tensor, g: Tensor| activation_backward(rnn.recurrent_activation, y, &g);
        let z = [
            gate(&i, (&through * &g)?)?,
            gate(&f, (&through * before)?)?,
            activation_backward(rnn.activation, &g, &(&through * &i)?)?,
            gate(&o, (&dh * active)?)?,
        ];
        let z = Tensor::concatenate(&z, -1)?;
        dc = steps.pick(t, (through * f)?, &dc)?;
        dh = steps.pick(t, z.matmul(&back)?, &dh)?;
        to_z.push(steps.pick(t, z.clone(), &nothing(&z)?)?);
    }
    to_z.reverse();
    let to_z = steps.together(&to_z, x, 4 * units)?;
    let to_recurrent = match steps.count {
        0 => zeros(recurrent.shape(), x.dtype(), x)?,
        _ => outer(&Tensor::stack(&steps.earlier(h0, outputs)?, 1)?, &to_z)?,
    };
    let to_z = steps.as_input(to_z)?;
    let to_x = to_z.matmul(&kernel.swap_axes(0, 1)?)?;
    Ok(smallvec![to_x, outer(x, &to_z)?, to_recurrent, to_z.sum(&[0, 1], false)?, dh, dc])
}

pub(super) fn gru(rnn: &RnnSpec, reset_after: bool, all: &[Tensor]) -> Result<Results> {
    let ([x, kernel, recurrent, bias, h0], mask) = operands("gru", all)?;
    let steps = Steps::new(rnn, x, mask);
    let units = h0.shape()[1];
    let (input_bias, recurrent_bias) =
        if reset_after { (bias.index(0, 0)?, Some(bias.index(0, 1)?)) } else { (bias.clone(), None) };
    let projected = (x.matmul(kernel)? + input_bias)?;
    let (to_gates, to_candidate) =
        (recurrent.narrow(1, 0, 2 * units)?, recurrent.narrow(1, 2 * units, 3 * units)?);
    let mut h = h0.clone();
    let (mut outputs, mut gates) = (vec![], vec![]);
    for t in 0..steps.count {
        let [xz, xr, xh] = parts(&steps.input(&projected, t)?, units)?;
        let gate = |x: Tensor, h: Tensor| activate(rnn.recurrent_activation, (x + h)?);
        let (z, r, inner, hidden) = match &recurrent_bias {
            Some(bias) => {
                let [hz, hr, inner] = parts(&(h.matmul(recurrent)? + bias)?, units)?;
                let r = gate(xr, hr)?;
                let hidden = (&r * &inner)?;
                (gate(xz, hz)?, r, inner, hidden)
            }
            None => {
                let [hz, hr] = parts(&h.matmul(&to_gates)?, units)?;
                let r = gate(xr, hr)?;
                let hidden = (&r * &h)?.matmul(&to_candidate)?;
                (gate(xz, hz)?, r, hidden.clone(), hidden)
            }
        };
        let candidate = activate(rnn.activation, (xh + hidden)?)?;
        let state = ((&z * &h)? + ((1.0 - &z)? * &candidate)?)?;
        h = steps.pick(t, state, &h)?;
        outputs.push(steps.output(t, &h)?);
        gates.push(Tensor::concatenate(&[z, r, candidate, inner], -1)?);
    }
    let outputs = steps.together(&outputs, x, units)?;
    Ok(smallvec![outputs, h, steps.together(&gates, x, 4 * units)?])
}

pub(super) fn gru_backward(rnn: &RnnSpec, reset_after: bool, all: &[Tensor]) -> Result<Results> {
    let ([x, kernel, recurrent, h0, outputs, gates, g_outputs, g_h], mask) = operands("gru_backward", all)?;
    let steps = Steps::new(rnn, x, mask);
    let units = h0.shape()[1];
    let earlier = steps.earlier(h0, outputs)?;
    let back = recurrent.swap_axes(0, 1)?;
    let (from_gates, from_candidate) = (back.narrow(0, 0, 2 * units)?, back.narrow(0, 2 * units, 3 * units)?);
    let mut dh = g_h.clone();
    // Gradients of the projected input, of the recurrent products, and what was multiplied into the candidate's.
    let (mut to_input, mut to_inner, mut factors) = (vec![], vec![], vec![]);
    for t in (0..steps.count).rev() {
        dh = (dh + steps.output(t, &g_outputs.index(1, t)?)?)?;
        let [z, r, candidate, inner] = parts(&gates.index(1, t)?, units)?;
        let h = &earlier[t];
        let gate = |y: &Tensor, g: Tensor| activation_backward(rnn.recurrent_activation, y, &g);
        let dz = gate(&z, (&dh * (h - &candidate)?)?)?;
        let dc = activation_backward(rnn.activation, &candidate, &(&dh * (1.0 - &z)?)?)?;
        let kept = (&dh * &z)?;
        let (dr, d_inner, before) = if reset_after {
            let dr = gate(&r, (&dc * inner)?)?;
            let d_inner = Tensor::concatenate(&[dz.clone(), dr.clone(), (&dc * &r)?], -1)?;
            let before = (kept + d_inner.matmul(&back)?)?;
            factors.push(h.clone());
            (dr, d_inner, before)
        } else {
            let through = dc.matmul(&from_candidate)?;
            let dr = gate(&r, (&through * h)?)?;
            let to_gates = Tensor::concatenate(&[dz.clone(), dr.clone()], -1)?;
            let before = ((kept + (through * &r)?)? + to_gates.matmul(&from_gates)?)?;
            factors.push((r * h)?);
            (dr, Tensor::concatenate(&[to_gates, dc.clone()], -1)?, before)
        };
        let d_input = Tensor::concatenate(&[dz, dr, dc], -1)?;
        dh = steps.pick(t, before, &dh)?;
        to_input.push(steps.pick(t, d_input.clone(), &nothing(&d_input)?)?);
        to_inner.push(steps.pick(t, d_inner.clone(), &nothing(&d_inner)?)?);
    }
    for list in [&mut to_input, &mut to_inner, &mut factors] {
        list.reverse();
    }
    let to_inner = steps.together(&to_inner, x, 3 * units)?;
    let factors = steps.together(&factors, x, units)?;
    let to_recurrent = if steps.count == 0 {
        zeros(recurrent.shape(), x.dtype(), x)?
    } else {
        let (to_gates, to_candidate) =
            (to_inner.narrow(2, 0, 2 * units)?, to_inner.narrow(2, 2 * units, 3 * units)?);
        let states = Tensor::stack(&earlier, 1)?;
        Tensor::concatenate(&[outer(&states, &to_gates)?, outer(&factors, &to_candidate)?], 1)?
    };
    let to_input = steps.as_input(steps.together(&to_input, x, 3 * units)?)?;
    let input_bias = to_input.sum(&[0, 1], false)?;
    let to_bias = match reset_after {
        true => Tensor::stack(&[input_bias, to_inner.sum(&[0, 1], false)?], 0)?,
        false => input_bias,
    };
    let to_x = to_input.matmul(&kernel.swap_axes(0, 1)?)?;
    Ok(smallvec![to_x, outer(x, &to_input)?, to_recurrent, to_bias, dh])
}
