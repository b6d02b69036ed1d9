//! Gated recurrent unit.

use std::iter;

use super::{Activation, COST, Sequence, add, column_sums, copy_or_zeros, transposed};
use crate::gemm::{Gemm, Layout, gemm};
use crate::math::{MulAdd, Real};
use crate::output::{self, Output};
use crate::{Error, Result, par};

/// A GRU as `keras.layers.GRU` 3.15.1 computes it; the gates are in the order update, reset, candidate.
#[derive(Debug, Clone, Copy)]
pub struct Gru<'a, T> {
    /// Sizes, mask and direction.
    pub sequence: Sequence<'a>,
    /// `(features, 3 · units)`
    pub kernel: &'a [T],
    /// `(units, 3 · units)`
    pub recurrent_kernel: &'a [T],
    /// `(3 · units)`, or with `reset_after` `(2, 3 · units)`: of the inputs and of the state.
    pub bias: Option<&'a [T]>,
    /// Of the candidate.
    pub activation: Activation,
    /// Of the gates.
    pub recurrent_activation: Activation,
    /// Whether the reset gate acts after the product with the recurrent weights, or on the state before it.
    pub reset_after: bool,
    /// Initial state, `(batch, units)`; zeros if absent.
    pub h0: Option<&'a [T]>,
}

/// What [`Gru::forward`] gives. The last two are kept for [`Gru::backward`]; their steps are in the order of the
/// input.
#[derive(Debug, Clone)]
pub struct GruOutput<T> {
    /// Outputs in the order of processing, `(batch, steps, units)`.
    pub outputs: Vec<T>,
    /// Final state, `(batch, units)`.
    pub h: Vec<T>,
    /// Activated gates, the candidate, and with `reset_after` what the reset gate multiplies (else zeros):
    /// `(batch, steps, 4 · units)`.
    pub gates: Vec<T>,
    /// State after each step, `(batch, steps, units)`, where the outputs are not those.
    pub hidden: Option<Vec<T>>,
}

impl<T> GruOutput<T> {
    /// What [`Gru::backward`] needs of it.
    pub fn saved(&self) -> GruSaved<'_, T> {
        GruSaved { gates: &self.gates, hidden: self.hidden.as_deref().unwrap_or(&self.outputs) }
    }
}

/// What [`Gru::backward`] needs of a [`GruOutput`].
#[derive(Debug, Clone, Copy)]
pub struct GruSaved<'a, T> {
    /// As in [`GruOutput::gates`].
    pub gates: &'a [T],
    /// State after each step, `(batch, steps, units)`.
    pub hidden: &'a [T],
}

/// What [`Gru::backward`] gives: one for each array of the same name.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the gradient of what it is named after")]
pub struct GruGradients<T> {
    pub x: Vec<T>,
    pub kernel: Vec<T>,
    pub recurrent_kernel: Vec<T>,
    pub bias: Vec<T>,
    pub h0: Vec<T>,
}

/// Activates the gates of one sequence, keeps what the reset gate multiplies behind them, and moves the state.
#[inline(always)]
fn advance<T: Real>(
    activation: Activation,
    recurrent_activation: Activation,
    gates: &mut [T],
    inner: &[T],
    h: &mut [T],
    m: impl MulAdd,
) {
    let units = h.len();
    let (gates, reset) = gates.split_at_mut(3 * units);
    let (both, candidate) = gates.split_at_mut(2 * units);
    both.iter_mut().zip(inner).for_each(|(gate, &inner)| *gate += inner);
    recurrent_activation.apply(both, m);
    reset.copy_from_slice(&inner[2 * units..]);
    for ((g, &r), &inner) in candidate.iter_mut().zip(&both[units..]).zip(&*reset) {
        *g += r * inner;
    }
    activation.apply(candidate, m);
    mix(&both[..units], candidate, h);
}

impl<T: Real> Gru<'_, T> {
    fn check(&self, x: &[T]) -> Result<()> {
        self.sequence.check(3, x, self.kernel, self.recurrent_kernel)?;
        self.sequence.check_units("bias", if self.reset_after { 6 } else { 3 }, self.bias)?;
        self.sequence.check_units("h0", self.sequence.batch, self.h0)
    }

    /// Biases of the inputs and of the state.
    fn biases(&self) -> (Option<&[T]>, Option<&[T]>) {
        match self.bias {
            Some(bias) if self.reset_after => {
                let (input, state) = bias.split_at(bias.len() / 2);
                (Some(input), Some(state))
            }
            bias => (bias, None),
        }
    }

    /// Runs the cell over `x`, `(batch, steps, features)`.
    ///
    /// # Errors
    /// If a length contradicts the sizes.
    pub fn forward(&self, x: &[T]) -> Result<GruOutput<T>> {
        self.check(x)?;
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let row = 4 * units;
        let mut gates = sequence.project(x, self.kernel, 3 * units, row)?;
        let mut h = copy_or_zeros(self.h0, batch * units);
        let rows = sequence.part_rows();
        let piece = |size: usize| (rows * size).max(1);
        let hidden = output::collect(batch * steps * units, |hidden| {
            let parts = gates.chunks_mut(piece(steps * row)).zip(h.chunks_mut(piece(units)));
            let parts = parts.zip(hidden.pieces(piece(steps * units))).enumerate();
            par::map(parts, sequence.work(3), |(i, ((gates, h), hidden))| {
                Self { sequence: sequence.part(i * rows, rows), ..*self }.walk(gates, h, hidden.get())
            })
            .into_iter()
            .collect::<Result<()>>()
        })?;
        let (outputs, hidden) = sequence.outputs(hidden);
        Ok(GruOutput { outputs, h, gates, hidden })
    }

    /// All steps, from the inputs' part of the gates and the initial state.
    fn walk(&self, gates: &mut [T], h: &mut [T], hidden: &mut [T]) -> Result<()> {
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let (width, row) = (3 * units, 4 * units);
        let (narrow, wide) = (Layout::row_major(units), Layout::row_major(width));
        let (input_bias, state_bias) = self.biases();
        let mut inner = vec![T::ZERO; batch * if self.reset_after { width } else { units }];
        for i in 0..steps {
            let t = sequence.time(i);
            let step = Layout { offset: t * row, row: (steps * row) as isize, col: 1, batch: &[] };
            let work = batch * width * COST;
            if self.reset_after {
                let dims = Gemm::new(batch, width, units);
                gemm(&dims, h, narrow, self.recurrent_kernel, wide, &mut inner, wide)?;
                let rows =
                    gates.chunks_mut(steps * row).zip(inner.chunks_mut(width).zip(h.chunks_mut(units)));
                par::for_each(rows.enumerate(), work, |(b, (gates, (inner, h)))| {
                    if !sequence.takes_part(b, t) {
                        return;
                    }
                    par::simd!(|m| {
                        let gates = &mut gates[t * row..][..row];
                        add(gates, input_bias);
                        add(inner, state_bias);
                        advance(self.activation, self.recurrent_activation, gates, inner, h, m);
                    });
                });
            } else {
                let dims = Gemm::new(batch, 2 * units, units).accumulate();
                gemm(&dims, h, narrow, self.recurrent_kernel, wide, gates, step)?;
                let rows = gates.chunks_mut(steps * row).zip(inner.chunks_mut(units).zip(h.chunks(units)));
                par::for_each(rows, work, |(gates, (inner, h))| {
                    par::simd!(|m| {
                        let gates = &mut gates[t * row..][..width];
                        add(gates, input_bias);
                        self.recurrent_activation.apply(&mut gates[..2 * units], m);
                        for ((inner, &r), &h) in inner.iter_mut().zip(&gates[units..]).zip(h) {
                            *inner = r * h;
                        }
                    });
                });
                let dims = Gemm::new(batch, units, units).accumulate();
                let at = step.at(step.offset + 2 * units);
                gemm(&dims, &inner, narrow, self.recurrent_kernel, wide.at(2 * units), gates, at)?;
                let rows = gates.chunks_mut(steps * row).zip(h.chunks_mut(units));
                par::for_each(rows.enumerate(), work, |(b, (gates, h))| {
                    if !sequence.takes_part(b, t) {
                        return;
                    }
                    par::simd!(|m| {
                        let (both, candidate) = gates[t * row..][..width].split_at_mut(2 * units);
                        self.activation.apply(candidate, m);
                        mix(&both[..units], candidate, h);
                    });
                });
            }
            for (hidden, h) in hidden.chunks_mut(steps * units).zip(h.chunks(units)) {
                hidden[t * units..][..units].copy_from_slice(h);
            }
        }
        Ok(())
    }

    /// Gradients from those of the outputs (in the order of processing) and of the final state; absent ones are zero.
    ///
    /// # Errors
    /// If a length contradicts the sizes.
    pub fn backward(
        &self,
        x: &[T],
        saved: GruSaved<'_, T>,
        doutputs: Option<&[T]>,
        dh: Option<&[T]>,
    ) -> Result<GruGradients<T>> {
        self.check(x)?;
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let (width, row) = (3 * units, 4 * units);
        Error::check_len("gates", batch * steps * row, saved.gates.len())?;
        sequence.check_units("hidden", batch * steps, Some(saved.hidden))?;
        sequence.check_units("gradient of outputs", batch * steps, doutputs)?;
        sequence.check_units("gradient of h", batch, dh)?;
        let (narrow, wide) = (Layout::row_major(units), Layout::row_major(width));
        let mut dh = copy_or_zeros(dh, batch * units);
        let before = sequence.shifted(saved.hidden, self.h0);
        let back = transposed(self.recurrent_kernel, width)?;
        let rows = sequence.part_rows();
        let piece = |size: usize| (rows * size).max(1);
        // Of the projected inputs, and of the projected state; they differ in the candidate's part.
        let mut dz = Vec::new();
        let dstate_size = if self.reset_after { batch * steps * width } else { 0 };
        let dstate = output::collect(dstate_size, |dstate| {
            dz = output::collect(batch * steps * width, |dz| {
                let dstate = dstate.pieces(piece(steps * width)).map(Some).chain(iter::repeat_with(|| None));
                let parts = dz.pieces(piece(steps * width)).zip(dstate);
                let parts = parts.zip(dh.chunks_mut(piece(units))).enumerate();
                par::map(parts, sequence.work(3), |(i, ((dz, dstate), dh))| {
                    let (from, sequence) = (i * rows, sequence.part(i * rows, rows));
                    let range = |size: usize| from * size..(from + sequence.batch) * size;
                    let saved = [&saved.gates[range(steps * row)], &before[range(steps * units)]];
                    let doutputs = doutputs.map(|d| &d[range(steps * units)]);
                    let dstate = dstate.map_or_else(Default::default, Output::get);
                    Self { sequence, ..*self }.walk_back(saved, doutputs, &back, (dz.get(), dstate), dh)
                })
                .into_iter()
                .collect()
            })?;
            Ok::<_, Error>(())
        })?;
        let (dx, dkernel) = sequence.project_backward(x, self.kernel, &dz, width)?;
        let mut drecurrent = vec![T::ZERO; units * width];
        let rows = batch * steps;
        let mut bias = column_sums(&dz, width)?;
        if self.reset_after {
            let dims = Gemm::new(units, width, rows);
            gemm(&dims, &before, narrow.transposed(), &dstate, wide, &mut drecurrent, wide)?;
            bias.extend(column_sums(&dstate, width)?);
        } else {
            let dims = Gemm::new(units, 2 * units, rows);
            gemm(&dims, &before, narrow.transposed(), &dz, wide, &mut drecurrent, wide)?;
            let mut product = before;
            for (at, product) in product.chunks_mut(units.max(1)).enumerate() {
                let reset = &saved.gates[at * row + units..][..units];
                product.iter_mut().zip(reset).for_each(|(h, &r)| *h *= r);
            }
            let (dims, at) = (Gemm::new(units, units, rows), wide.at(2 * units));
            gemm(&dims, &product, narrow.transposed(), &dz, at, &mut drecurrent, at)?;
        }
        Ok(GruGradients { x: dx, kernel: dkernel, recurrent_kernel: drecurrent, bias, h0: dh })
    }

    /// All steps, the last first: gradients of the gates and of the initial state.
    fn walk_back(
        &self,
        [gates, before]: [&[T]; 2],
        doutputs: Option<&[T]>,
        back: &[T],
        (dz, dstate): (&mut [T], &mut [T]),
        dh: &mut [T],
    ) -> Result<()> {
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let (width, row) = (3 * units, 4 * units);
        let narrow = Layout::row_major(units);
        let mut scratch = vec![T::ZERO; if self.reset_after { 0 } else { batch * units }];
        for i in (0..steps).rev() {
            let t = sequence.time(i);
            let step = Layout { offset: t * width, row: (steps * width) as isize, col: 1, batch: &[] };
            let work = batch * width * COST;
            let rows = dz.chunks_mut(steps * width).zip(dh.chunks_mut(units)).enumerate();
            par::for_each(rows, work, |(b, (dz, dh))| {
                let takes_part = sequence.takes_part(b, t);
                par::simd!(|m| {
                    if let Some(doutputs) = doutputs.filter(|_| takes_part || !sequence.zero_output_for_mask)
                    {
                        let doutput = &doutputs[(b * steps + i) * units..][..units];
                        dh.iter_mut().zip(doutput).for_each(|(dh, &d)| *dh += d);
                    }
                    if !takes_part {
                        return;
                    }
                    let at = b * steps + t;
                    let gates = &gates[at * row..][..width];
                    let before = &before[at * units..][..units];
                    let (update, candidate) = (&gates[..units], &gates[2 * units..]);
                    let (dupdate, rest) = dz[t * width..][..width].split_at_mut(units);
                    let dcandidate = &mut rest[units..];
                    for u in 0..units {
                        dupdate[u] = dh[u] * (before[u] - candidate[u]);
                        dcandidate[u] = dh[u] * (T::ONE - update[u]);
                        dh[u] *= update[u];
                    }
                    self.recurrent_activation.backward(update, dupdate, m);
                    self.activation.backward(candidate, dcandidate, m);
                });
            });
            if self.reset_after {
                let rows = dz.chunks_mut(steps * width).zip(dstate.chunks_mut(steps * width)).enumerate();
                par::for_each(rows, work, |(b, (dz, dstate))| {
                    if !sequence.takes_part(b, t) {
                        return;
                    }
                    let at = b * steps + t;
                    let gates = &gates[at * row..][..row];
                    let (reset, inner) = (&gates[units..2 * units], &gates[width..]);
                    par::simd!(|m| {
                        let (both, dcandidate) = dz[t * width..][..width].split_at_mut(2 * units);
                        let dreset = &mut both[units..];
                        for ((d, &dcandidate), &inner) in dreset.iter_mut().zip(&*dcandidate).zip(inner) {
                            *d = dcandidate * inner;
                        }
                        self.recurrent_activation.backward(reset, dreset, m);
                        let (dboth, dinner) = dstate[t * width..][..width].split_at_mut(2 * units);
                        dboth.copy_from_slice(both);
                        for ((d, &dcandidate), &r) in dinner.iter_mut().zip(&*dcandidate).zip(reset) {
                            *d = dcandidate * r;
                        }
                    });
                });
                let dims = Gemm::new(batch, units, width).accumulate();
                gemm(&dims, dstate, step, back, narrow, dh, narrow)?;
            } else {
                let dims = Gemm::new(batch, units, units);
                let (weights, from) = (narrow.at(2 * units * units), step.at(step.offset + 2 * units));
                gemm(&dims, dz, from, back, weights, &mut scratch, narrow)?;
                let rows = dz.chunks_mut(steps * width).zip(dh.chunks_mut(units).zip(scratch.chunks(units)));
                par::for_each(rows.enumerate(), work, |(b, (dz, (dh, dproduct)))| {
                    if !sequence.takes_part(b, t) {
                        return;
                    }
                    let at = b * steps + t;
                    let reset = &gates[at * row + units..][..units];
                    let before = &before[at * units..][..units];
                    par::simd!(|m| {
                        let dreset = &mut dz[t * width + units..][..units];
                        for u in 0..units {
                            dreset[u] = dproduct[u] * before[u];
                            dh[u] += dproduct[u] * reset[u];
                        }
                        self.recurrent_activation.backward(reset, dreset, m);
                    });
                });
                let dims = Gemm::new(batch, units, 2 * units).accumulate();
                gemm(&dims, dz, step, back, narrow, dh, narrow)?;
            }
        }
        Ok(())
    }
}

/// `h = update · h + (1 - update) · candidate`
#[inline(always)]
fn mix<T: Real>(update: &[T], candidate: &[T], h: &mut [T]) {
    for ((h, &z), &candidate) in h.iter_mut().zip(update).zip(candidate) {
        *h = z * *h + (T::ONE - z) * candidate;
    }
}
