//! LSTM and GRU over whole sequences.
//!
//! libtorch's own have other gates' order and keep what their gradients need to themselves, so the steps are taken here: one
//! matrix product for the inputs of all steps, one for each step's state, and everything else in place. Tensors are
//! `(steps, batch, …)`, so that each step is one piece of memory, in the order of computation.

use keras_spec::{Activ, DType, RnnSpec};
use tch::Tensor;

use crate::buffer::{Buffer, Done, broken};

pub(crate) fn fuses(rnn: &RnnSpec) -> bool {
    rnn.activation == Activ::Tanh && rnn.recurrent_activation == Activ::Sigmoid
}

/// The operands of one run.
struct Operands {
    op: &'static str,
    rest: std::vec::IntoIter<Buffer>,
}

impl Operands {
    fn next(&mut self) -> Done {
        match self.rest.next() {
            Some(x) => Ok(x.tensor().shallow_clone()),
            None => Err(broken(self.op, "an operand is missing").into()),
        }
    }

    /// The next operand, `(batch, steps, …)` in the order of computation, as `(steps, batch, …)`.
    fn steps(&mut self) -> Done {
        Ok(self.next()?.f_transpose(0, 1)?)
    }

    /// The next operand, `(batch, steps, …)` in the order of the input, as `(steps, batch, …)` in that of computation.
    fn inputs(&mut self, rnn: &RnnSpec) -> Done {
        turned(self.steps()?, rnn)
    }

    /// Whether each step counts, `(steps, batch, 1)`.
    fn mask(&mut self, rnn: &RnnSpec) -> Done<Option<Tensor>> {
        if !rnn.mask {
            return Ok(None);
        }
        Ok(Some(self.inputs(rnn)?.f_unsqueeze(-1)?))
    }
}

/// The steps in the order of computation, or back.
fn turned(x: Tensor, rnn: &RnnSpec) -> Done {
    if rnn.reverse { Ok(x.f_flip([0i64].as_slice())?) } else { Ok(x) }
}

/// `x · kernel + bias` for all steps.
fn projected(x: &Tensor, kernel: &Tensor, bias: &Tensor) -> Done {
    let size = x.size();
    let rows = x.f_reshape([size[0] * size[1], size[2]].as_slice())?;
    Ok(bias.f_addmm(&rows, kernel)?.f_reshape([size[0], size[1], kernel.size()[1]].as_slice())?)
}

/// `aᵀ · b`, summed over steps and batch.
fn outer(a: &Tensor, b: &Tensor) -> Done {
    Ok(rows(a)?.f_transpose(0, 1)?.f_matmul(&rows(b)?)?)
}

fn rows(x: &Tensor) -> Done {
    Ok(x.f_reshape([x.size()[0] * x.size()[1], x.size()[2]].as_slice())?)
}

/// The sum over steps and batch.
fn total(x: &Tensor) -> Done {
    Ok(x.f_sum_dim_intlist([0i64, 1].as_slice(), false, None)?)
}

/// Part `i` of `count` of the last axis.
fn part(x: &Tensor, i: i64, count: i64, units: i64) -> Done {
    Ok(x.f_narrow(-1, i * units, count * units)?)
}

/// The derivative of the sigmoid where it is `y`.
fn sigmoid_slope(y: &Tensor) -> Done {
    Ok(y.f_sub(&y.f_square()?)?)
}

/// The derivative of tanh where it is `y`.
fn tanh_slope(y: &Tensor) -> Done {
    Ok(y.f_square()?.f_neg()?.f_add_scalar_(1.0)?)
}

/// Puts the state that was there before back where a step does not count, and gives the output.
fn held(new: &mut Tensor, old: &Tensor, mask: &Tensor, rnn: &RnnSpec) -> Done {
    let state = new.f_where_self(mask, old)?;
    new.f_copy_(&state)?;
    if rnn.zero_output_for_mask { Ok(state.f_mul(&mask.f_to_kind(state.f_kind()?)?)?) } else { Ok(state) }
}

/// The states before each step, `(steps, batch, units)`.
fn earlier(h0: &Tensor, outputs: &Tensor, mask: Option<&Tensor>, rnn: &RnnSpec) -> Done {
    let steps = outputs.size()[0];
    if steps == 0 {
        return Ok(outputs.shallow_clone());
    }
    let first = h0.f_unsqueeze(0)?;
    let Some(mask) = mask.filter(|_| rnn.zero_output_for_mask) else {
        return Ok(Tensor::f_cat(&[first, outputs.f_narrow(0, 0, steps - 1)?], 0)?);
    };
    // A masked step's output is zero where the state stayed.
    let mut states = vec![h0.shallow_clone()];
    for t in 0..steps - 1 {
        let state = outputs.f_select(0, t)?.f_where_self(&mask.f_select(0, t)?, &states[t as usize])?;
        states.push(state);
    }
    Ok(Tensor::f_stack(&states, 0)?)
}

/// Results, `(steps, batch, …)` as `(batch, steps, …)`, in the order of the operation's documentation.
fn results<const N: usize>(tensors: [Tensor; N], like: DType) -> Done<Vec<Buffer>> {
    let turn = |tensor: Tensor| -> Done<Buffer> {
        let tensor = if tensor.dim() == 3 { tensor.f_transpose(0, 1)? } else { tensor };
        Ok(Buffer::new(tensor, like))
    };
    tensors.into_iter().map(turn).collect()
}

fn start(op: &'static str, operands: Vec<Buffer>) -> Done<(Operands, DType)> {
    let Some(dtype) = operands.first().map(Buffer::dtype) else {
        return Err(broken(op, "no operands").into());
    };
    Ok((Operands { op, rest: operands.into_iter() }, dtype))
}

pub(crate) fn lstm(rnn: &RnnSpec, operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let (mut o, dtype) = start("lstm", operands)?;
    let x = o.inputs(rnn)?;
    let (kernel, recurrent, bias) = (o.next()?, o.next()?, o.next()?);
    let (mut h, mut c) = (o.next()?, o.next()?);
    let mask = o.mask(rnn)?;
    let (steps, batch, units) = (x.size()[0], x.size()[1], recurrent.size()[0]);
    let gates = projected(&x, &kernel, &bias)?;
    let options = (x.f_kind()?, x.device());
    let cells = Tensor::f_empty([steps, batch, units].as_slice(), options)?;
    let states = cells.f_empty_like()?;
    // Outputs are the states, unless masked steps output zeros.
    let outputs = match &mask {
        Some(_) if rnn.zero_output_for_mask => cells.f_empty_like()?,
        _ => states.shallow_clone(),
    };
    for t in 0..steps {
        let mut z = gates.f_select(0, t)?;
        let _ = z.f_addmm_(&h, &recurrent)?;
        let (i, f) = (part(&z, 0, 1, units)?, part(&z, 1, 1, units)?);
        let (mut g, mut o) = (part(&z, 2, 1, units)?, part(&z, 3, 1, units)?);
        let _ = (part(&z, 0, 2, units)?.f_sigmoid_()?, g.f_tanh_()?, o.f_sigmoid_()?);
        let mut cell = cells.f_select(0, t)?;
        let _ = (f.f_mul_out(&cell, &c)?, cell.f_addcmul_(&i, &g)?);
        let mut state = states.f_select(0, t)?;
        let _ = o.f_mul_out(&state, &cell.f_tanh()?)?;
        if let Some(mask) = &mask {
            let mask = mask.f_select(0, t)?;
            let _ = held(&mut cell, &c, &mask, rnn)?;
            outputs.f_select(0, t)?.f_copy_(&held(&mut state, &h, &mask, rnn)?)?;
        }
        (h, c) = (state, cell);
    }
    let (h, c) = (crate::buffer::copy(&h)?, crate::buffer::copy(&c)?);
    results([outputs, h, c, gates, cells], dtype)
}

pub(crate) fn lstm_backward(rnn: &RnnSpec, operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let (mut o, dtype) = start("lstm_backward", operands)?;
    let x = o.inputs(rnn)?;
    let (kernel, recurrent, h0, c0) = (o.next()?, o.next()?, o.next()?, o.next()?);
    let (outputs, gates, cells) = (o.steps()?, o.steps()?, o.steps()?);
    let (g_outputs, g_h, g_c) = (o.steps()?, o.next()?, o.next()?);
    let mask = o.mask(rnn)?;
    let (steps, units) = (x.size()[0], recurrent.size()[0]);
    let kept = mask.as_ref().map(|m| m.f_to_kind(x.f_kind()?)).transpose()?;
    let [i, f, g, out] = [0, 1, 2, 3].map(|n| part(&gates, n, 1, units));
    let (i, f, g, out) = (i?, f?, g?, out?);
    let active = cells.f_tanh()?;
    let before = match steps {
        0 => cells.shallow_clone(),
        _ => Tensor::f_cat(&[c0.f_unsqueeze(0)?, cells.f_narrow(0, 0, steps - 1)?], 0)?,
    };
    // What the gradients of the cell and of the output are multiplied with: only these depend on later steps.
    let mut to_z = Tensor::f_cat(
        &[
            g.f_mul(&sigmoid_slope(&i)?)?,
            before.f_mul(&sigmoid_slope(&f)?)?,
            i.f_mul(&tanh_slope(&g)?)?,
            active.f_mul(&sigmoid_slope(&out)?)?,
        ],
        -1,
    )?;
    let mut to_cell = out.f_mul(&tanh_slope(&active)?)?;
    let mut forget = f;
    let mut g_outputs = g_outputs;
    if let Some(kept) = &kept {
        let _ = (to_z.f_mul_(kept)?, to_cell.f_mul_(kept)?);
        // A step that does not count hands the gradient of the cell on.
        forget = forget.f_mul(kept)?.f_sub(&kept.f_sub_scalar(1.0)?)?;
        if rnn.zero_output_for_mask {
            g_outputs = g_outputs.f_mul(kept)?;
        }
    }
    let back = recurrent.f_transpose(0, 1)?;
    let (mut dh, mut dc) = (crate::buffer::copy(&g_h)?, crate::buffer::copy(&g_c)?);
    for t in (0..steps).rev() {
        let _ = dh.f_add_(&g_outputs.f_select(0, t)?)?;
        let _ = dc.f_addcmul_(&dh, &to_cell.f_select(0, t)?)?;
        let dz = to_z.f_select(0, t)?;
        let mut gates = part(&dz, 0, 3, units)?.f_unflatten(-1, [3, units].as_slice())?;
        let _ = gates.f_mul_(&dc.f_unsqueeze(1)?)?;
        let _ = part(&dz, 3, 1, units)?.f_mul_(&dh)?;
        let _ = dc.f_mul_(&forget.f_select(0, t)?)?;
        let through = dz.f_matmul(&back)?;
        dh = match &kept {
            Some(kept) => {
                let kept = kept.f_select(0, t)?;
                // A step that does not count hands the gradient of the state on.
                dh.f_mul(&kept.f_neg()?.f_add_scalar(1.0)?)?.f_add(&through)?
            }
            None => through,
        };
    }
    let dx = turned(to_z.f_matmul(&kernel.f_transpose(0, 1)?)?, rnn)?;
    let earlier = earlier(&h0, &outputs, mask.as_ref(), rnn)?;
    results([dx, outer(&x, &to_z)?, outer(&earlier, &to_z)?, total(&to_z)?, dh, dc], dtype)
}

pub(crate) fn gru(rnn: &RnnSpec, operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let (mut o, dtype) = start("gru", operands)?;
    let x = o.inputs(rnn)?;
    let (kernel, recurrent, bias, mut h) = (o.next()?, o.next()?, o.next()?, o.next()?);
    let mask = o.mask(rnn)?;
    let (steps, batch, units) = (x.size()[0], x.size()[1], recurrent.size()[0]);
    let options = (x.f_kind()?, x.device());
    let gates = Tensor::f_empty([steps, batch, 4 * units].as_slice(), options)?;
    part(&gates, 0, 3, units)?.f_copy_(&projected(&x, &kernel, &bias.f_select(0, 0)?)?)?;
    let recurrent_bias = bias.f_select(0, 1)?;
    let states = Tensor::f_empty([steps, batch, units].as_slice(), options)?;
    let outputs = match &mask {
        Some(_) if rnn.zero_output_for_mask => states.f_empty_like()?,
        _ => states.shallow_clone(),
    };
    for t in 0..steps {
        let gate = gates.f_select(0, t)?;
        let own = recurrent_bias.f_addmm(&h, &recurrent)?;
        let mut update_reset = part(&gate, 0, 2, units)?;
        let _ = (update_reset.f_add_(&part(&own, 0, 2, units)?)?, update_reset.f_sigmoid_()?);
        let candidate_own = part(&own, 2, 1, units)?;
        part(&gate, 3, 1, units)?.f_copy_(&candidate_own)?;
        let mut candidate = part(&gate, 2, 1, units)?;
        let _ = candidate.f_addcmul_(&part(&gate, 1, 1, units)?, &candidate_own)?;
        let _ = candidate.f_tanh_()?;
        let mut state = states.f_select(0, t)?;
        let _ = candidate.f_lerp_tensor_out(&state, &h, &part(&gate, 0, 1, units)?)?;
        if let Some(mask) = &mask {
            let mask = mask.f_select(0, t)?;
            outputs.f_select(0, t)?.f_copy_(&held(&mut state, &h, &mask, rnn)?)?;
        }
        h = state;
    }
    results([outputs, crate::buffer::copy(&h)?, gates], dtype)
}

pub(crate) fn gru_backward(rnn: &RnnSpec, operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let (mut o, dtype) = start("gru_backward", operands)?;
    let x = o.inputs(rnn)?;
    let (kernel, recurrent, h0) = (o.next()?, o.next()?, o.next()?);
    let (outputs, gates) = (o.steps()?, o.steps()?);
    let (mut g_outputs, g_h) = (o.steps()?, o.next()?);
    let mask = o.mask(rnn)?;
    let (steps, units) = (x.size()[0], recurrent.size()[0]);
    let kept = mask.as_ref().map(|m| m.f_to_kind(x.f_kind()?)).transpose()?;
    let [update, reset, candidate, own] = [0, 1, 2, 3].map(|n| part(&gates, n, 1, units));
    let (update, reset, candidate, own) = (update?, reset?, candidate?, own?);
    let before = earlier(&h0, &outputs, mask.as_ref(), rnn)?;
    // What the gradient of the state is multiplied with: only that depends on later steps.
    let to_update = before.f_sub(&candidate)?.f_mul(&sigmoid_slope(&update)?)?;
    let mut to_candidate = update.f_neg()?.f_add_scalar(1.0)?.f_mul(&tanh_slope(&candidate)?)?;
    if let Some(kept) = &kept {
        let _ = to_candidate.f_mul_(kept)?;
        if rnn.zero_output_for_mask {
            g_outputs = g_outputs.f_mul(kept)?;
        }
    }
    let to_reset = to_candidate.f_mul(&own)?.f_mul(&sigmoid_slope(&reset)?)?;
    let to_own = to_candidate.f_mul(&reset)?;
    let to_z = Tensor::f_cat(&[to_update, to_reset, to_own], -1)?;
    let mut stays = update;
    if let Some(kept) = &kept {
        let _ = part(&to_z, 0, 1, units)?.f_mul_(kept)?;
        // A step that does not count hands the gradient of the state on.
        stays = stays.f_mul(kept)?.f_sub(&kept.f_sub_scalar(1.0)?)?;
    }
    let back = recurrent.f_transpose(0, 1)?;
    let mut dh = crate::buffer::copy(&g_h)?;
    for t in (0..steps).rev() {
        let _ = dh.f_add_(&g_outputs.f_select(0, t)?)?;
        let dz = to_z.f_select(0, t)?;
        let _ = dz.f_unflatten(-1, [3, units].as_slice())?.f_mul_(&dh.f_unsqueeze(1)?)?;
        let _ = to_candidate.f_select(0, t)?.f_mul_(&dh)?;
        dh = dh.f_mul(&stays.f_select(0, t)?)?.f_addmm(&dz, &back)?;
    }
    // The candidate's part of the input is not multiplied with the reset gate, that of the state is.
    let of_input = Tensor::f_cat(&[part(&to_z, 0, 2, units)?, to_candidate], -1)?;
    let dx = turned(of_input.f_matmul(&kernel.f_transpose(0, 1)?)?, rnn)?;
    let bias = Tensor::f_stack(&[total(&of_input)?, total(&to_z)?], 0)?;
    results([dx, outer(&x, &of_input)?, outer(&before, &to_z)?, bias, dh], dtype)
}
