//! LSTM and GRU over whole sequences.
//!
//! The kernels keep what they save in the order of the input, the contract in the order of computation. Turning the
//! input round beforehand makes both the same.

use keras_kernels::math::Real;
use keras_kernels::rnn::{Gru, GruSaved, Lstm, LstmSaved, Sequence};
use keras_spec::{Result, RnnSpec};
use ndarray::Axis;

use crate::buffer::{Buffer, Item, Shared, array, rows, standard};
use crate::fused::{Operands, failed, kernel, known, results};

pub(crate) fn fuses(rnn: &RnnSpec) -> bool {
    kernel(rnn.activation).is_some() && kernel(rnn.recurrent_activation).is_some()
}

/// The axis of steps turned round, if the recurrence runs backwards.
fn turned<T: Item>(mut x: Shared<T>, rnn: &RnnSpec) -> Shared<T> {
    if rnn.reverse {
        x.invert_axis(Axis(1));
    }
    x
}

fn next_mask(rnn: &RnnSpec, o: &mut Operands) -> Result<Option<Shared<bool>>> {
    if !rnn.mask {
        return Ok(None);
    }
    Ok(Some(standard(turned(o.next()?, rnn))))
}

/// Sizes from `(batch, steps, features)` and `(units, gates · units)`.
fn sequence<'a>(
    rnn: &RnnSpec,
    x: &[usize],
    recurrent_kernel: &[usize],
    mask: &'a Option<Shared<bool>>,
) -> Result<Sequence<'a>> {
    Ok(Sequence {
        batch: x[0],
        steps: x[1],
        features: x[2],
        units: recurrent_kernel[0],
        mask: mask.as_ref().map(rows).transpose()?,
        zero_output_for_mask: rnn.zero_output_for_mask,
        go_backwards: false,
    })
}

pub(crate) fn lstm<T: Item + Real>(rnn: &RnnSpec, o: &mut Operands) -> Result<Vec<Buffer>> {
    let x = standard(turned(o.next::<T>()?, rnn));
    let (kernel, recurrent_kernel, bias) = (o.next()?, o.next()?, o.next()?);
    let (h0, c0, mask) = (o.next()?, o.next()?, next_mask(rnn, o)?);
    let sequence = sequence(rnn, x.shape(), recurrent_kernel.shape(), &mask)?;
    let cell = Lstm {
        sequence,
        kernel: rows(&kernel)?,
        recurrent_kernel: rows(&recurrent_kernel)?,
        bias: Some(rows(&bias)?),
        activation: known(rnn.activation)?,
        recurrent_activation: known(rnn.recurrent_activation)?,
        h0: Some(rows(&h0)?),
        c0: Some(rows(&c0)?),
    };
    let y = cell.forward(rows(&x)?).map_err(failed("lstm"))?;
    let (b, t, u) = (sequence.batch, sequence.steps, sequence.units);
    results(
        "lstm",
        [
            (&[b, t, u][..], y.outputs),
            (&[b, u], y.h),
            (&[b, u], y.c),
            (&[b, t, 4 * u], y.gates),
            (&[b, t, u], y.cells),
        ],
    )
}

pub(crate) fn lstm_backward<T: Item + Real>(rnn: &RnnSpec, o: &mut Operands) -> Result<Vec<Buffer>> {
    let x = standard(turned(o.next::<T>()?, rnn));
    let (kernel, recurrent_kernel, h0, c0) = (o.next()?, o.next()?, o.next()?, o.next()?);
    let (outputs, gates, cells) = (o.next()?, o.next()?, o.next()?);
    let (doutputs, dh, dc, mask) = (o.next()?, o.next()?, o.next()?, next_mask(rnn, o)?);
    let sequence = sequence(rnn, x.shape(), recurrent_kernel.shape(), &mask)?;
    let cell = Lstm {
        sequence,
        kernel: rows(&kernel)?,
        recurrent_kernel: rows(&recurrent_kernel)?,
        bias: None,
        activation: known(rnn.activation)?,
        recurrent_activation: known(rnn.recurrent_activation)?,
        h0: Some(rows(&h0)?),
        c0: Some(rows(&c0)?),
    };
    let hidden = sequence.hidden(rows(&outputs)?, rows(&h0)?);
    let saved = LstmSaved { gates: rows(&gates)?, hidden: &hidden, cells: rows(&cells)? };
    let d = cell
        .backward(rows(&x)?, saved, Some(rows(&doutputs)?), Some(rows(&dh)?), Some(rows(&dc)?))
        .map_err(failed("lstm_backward"))?;
    let mut all = vec![turned(array("lstm_backward", x.shape(), d.x)?, rnn).into()];
    let (u, states) = (sequence.units, h0.shape());
    all.extend(results(
        "lstm_backward",
        [
            (kernel.shape(), d.kernel),
            (recurrent_kernel.shape(), d.recurrent_kernel),
            (&[4 * u], d.bias),
            (states, d.h0),
            (states, d.c0),
        ],
    )?);
    Ok(all)
}

pub(crate) fn gru<T: Item + Real>(rnn: &RnnSpec, reset_after: bool, o: &mut Operands) -> Result<Vec<Buffer>> {
    let x = standard(turned(o.next::<T>()?, rnn));
    let (kernel, recurrent_kernel, bias) = (o.next()?, o.next()?, o.next()?);
    let (h0, mask) = (o.next()?, next_mask(rnn, o)?);
    let sequence = sequence(rnn, x.shape(), recurrent_kernel.shape(), &mask)?;
    let cell = Gru {
        sequence,
        kernel: rows(&kernel)?,
        recurrent_kernel: rows(&recurrent_kernel)?,
        bias: Some(rows(&bias)?),
        activation: known(rnn.activation)?,
        recurrent_activation: known(rnn.recurrent_activation)?,
        reset_after,
        h0: Some(rows(&h0)?),
    };
    let y = cell.forward(rows(&x)?).map_err(failed("gru"))?;
    let (b, t, u) = (sequence.batch, sequence.steps, sequence.units);
    results("gru", [(&[b, t, u][..], y.outputs), (&[b, u], y.h), (&[b, t, 4 * u], y.gates)])
}

pub(crate) fn gru_backward<T: Item + Real>(
    rnn: &RnnSpec,
    reset_after: bool,
    o: &mut Operands,
) -> Result<Vec<Buffer>> {
    let x = standard(turned(o.next::<T>()?, rnn));
    let (kernel, recurrent_kernel, h0) = (o.next()?, o.next()?, o.next()?);
    let (outputs, gates) = (o.next()?, o.next()?);
    let (doutputs, dh, mask) = (o.next()?, o.next()?, next_mask(rnn, o)?);
    let sequence = sequence(rnn, x.shape(), recurrent_kernel.shape(), &mask)?;
    let cell = Gru {
        sequence,
        kernel: rows(&kernel)?,
        recurrent_kernel: rows(&recurrent_kernel)?,
        bias: None,
        activation: known(rnn.activation)?,
        recurrent_activation: known(rnn.recurrent_activation)?,
        reset_after,
        h0: Some(rows(&h0)?),
    };
    let u = sequence.units;
    let hidden = sequence.hidden(rows(&outputs)?, rows(&h0)?);
    let saved = GruSaved { gates: rows(&gates)?, hidden: &hidden };
    let d = cell
        .backward(rows(&x)?, saved, Some(rows(&doutputs)?), Some(rows(&dh)?))
        .map_err(failed("gru_backward"))?;
    let mut all = vec![turned(array("gru_backward", x.shape(), d.x)?, rnn).into()];
    let bias: &[usize] = if reset_after { &[2, 3 * u] } else { &[3 * u] };
    all.extend(results(
        "gru_backward",
        [
            (kernel.shape(), d.kernel),
            (recurrent_kernel.shape(), d.recurrent_kernel),
            (bias, d.bias),
            (h0.shape(), d.h0),
        ],
    )?);
    Ok(all)
}
