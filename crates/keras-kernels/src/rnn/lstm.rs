//! Long short-term memory.

use super::{Activation, COST, Sequence, add, column_sums, copy_or_zeros, transposed};
use crate::gemm::{Gemm, Layout, gemm};
use crate::math::{MulAdd, Real};
use crate::{Error, Result, output, par};

/// An LSTM as `keras.layers.LSTM` 3.15.1 computes it; the gates are in the order input, forget, candidate, output.
#[derive(Debug, Clone, Copy)]
pub struct Lstm<'a, T> {
    /// Sizes, mask and direction.
    pub sequence: Sequence<'a>,
    /// `(features, 4 · units)`
    pub kernel: &'a [T],
    /// `(units, 4 · units)`
    pub recurrent_kernel: &'a [T],
    /// `(4 · units)`
    pub bias: Option<&'a [T]>,
    /// Of the candidate and of the cell state.
    pub activation: Activation,
    /// Of the gates.
    pub recurrent_activation: Activation,
    /// Initial output, `(batch, units)`; zeros if absent.
    pub h0: Option<&'a [T]>,
    /// Initial cell state, `(batch, units)`; zeros if absent.
    pub c0: Option<&'a [T]>,
}

/// What [`Lstm::forward`] gives. The last three are kept for [`Lstm::backward`]; their steps are in the order of the
/// input.
#[derive(Debug, Clone)]
pub struct LstmOutput<T> {
    /// Outputs in the order of processing, `(batch, steps, units)`.
    pub outputs: Vec<T>,
    /// Final output, `(batch, units)`.
    pub h: Vec<T>,
    /// Final cell state, `(batch, units)`.
    pub c: Vec<T>,
    /// Activated gates, `(batch, steps, 4 · units)`.
    pub gates: Vec<T>,
    /// Output state after each step, `(batch, steps, units)`, where the outputs are not those.
    pub hidden: Option<Vec<T>>,
    /// Cell state after each step, `(batch, steps, units)`.
    pub cells: Vec<T>,
}

impl<T> LstmOutput<T> {
    /// What [`Lstm::backward`] needs of it.
    pub fn saved(&self) -> LstmSaved<'_, T> {
        LstmSaved {
            gates: &self.gates,
            hidden: self.hidden.as_deref().unwrap_or(&self.outputs),
            cells: &self.cells,
        }
    }
}

/// What [`Lstm::backward`] needs of an [`LstmOutput`].
#[derive(Debug, Clone, Copy)]
pub struct LstmSaved<'a, T> {
    /// Activated gates, `(batch, steps, 4 · units)`.
    pub gates: &'a [T],
    /// Output state after each step, `(batch, steps, units)`.
    pub hidden: &'a [T],
    /// Cell state after each step, `(batch, steps, units)`.
    pub cells: &'a [T],
}

/// What [`Lstm::backward`] gives: one for each array of the same name.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the gradient of what it is named after")]
pub struct LstmGradients<T> {
    pub x: Vec<T>,
    pub kernel: Vec<T>,
    pub recurrent_kernel: Vec<T>,
    pub bias: Vec<T>,
    pub h0: Vec<T>,
    pub c0: Vec<T>,
}

/// Activates the gates of one sequence and moves its state.
#[inline(always)]
fn advance<T: Real>(
    activation: Activation,
    recurrent_activation: Activation,
    gates: &mut [T],
    h: &mut [T],
    c: &mut [T],
    m: impl MulAdd,
) {
    let units = h.len();
    let (input_forget, rest) = gates.split_at_mut(2 * units);
    let (candidate, output) = rest.split_at_mut(units);
    recurrent_activation.apply(input_forget, m);
    activation.apply(candidate, m);
    recurrent_activation.apply(output, m);
    let (input, forget) = input_forget.split_at(units);
    for ((c, h), ((&i, &f), &g)) in c.iter_mut().zip(&mut *h).zip(input.iter().zip(forget).zip(&*candidate)) {
        *c = f * *c + i * g;
        *h = *c;
    }
    activation.apply(h, m);
    h.iter_mut().zip(&*output).for_each(|(h, &o)| *h *= o);
}

impl<T: Real> Lstm<'_, T> {
    fn check(&self, x: &[T]) -> Result<()> {
        self.sequence.check(4, x, self.kernel, self.recurrent_kernel)?;
        self.sequence.check_units("bias", 4, self.bias)?;
        self.sequence.check_units("h0", self.sequence.batch, self.h0)?;
        self.sequence.check_units("c0", self.sequence.batch, self.c0)
    }

    /// Runs the cell over `x`, `(batch, steps, features)`.
    ///
    /// # Errors
    /// If a length contradicts the sizes.
    pub fn forward(&self, x: &[T]) -> Result<LstmOutput<T>> {
        self.check(x)?;
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let width = 4 * units;
        let mut gates = sequence.project(x, self.kernel, width, width)?;
        let (mut h, mut c) = (copy_or_zeros(self.h0, batch * units), copy_or_zeros(self.c0, batch * units));
        let rows = sequence.part_rows();
        let piece = |size: usize| (rows * size).max(1);
        let mut hidden = Vec::new();
        let cells = output::collect(batch * steps * units, |cells| {
            hidden = output::collect(batch * steps * units, |hidden| {
                let states = h.chunks_mut(piece(units)).zip(c.chunks_mut(piece(units)));
                let kept = hidden.pieces(piece(steps * units)).zip(cells.pieces(piece(steps * units)));
                let parts = gates.chunks_mut(piece(steps * width)).zip(states).zip(kept).enumerate();
                par::map(parts, sequence.work(4), |(i, ((gates, (h, c)), (hidden, cells)))| {
                    let part = Self { sequence: sequence.part(i * rows, rows), ..*self };
                    part.walk(gates, h, c, (hidden.get(), cells.get()))
                })
                .into_iter()
                .collect()
            })?;
            Ok::<_, Error>(())
        })?;
        let (outputs, hidden) = sequence.outputs(hidden);
        Ok(LstmOutput { outputs, h, c, gates, hidden, cells })
    }

    /// All steps, from the inputs' part of the gates and the initial states.
    fn walk(
        &self,
        gates: &mut [T],
        h: &mut [T],
        c: &mut [T],
        (hidden, cells): (&mut [T], &mut [T]),
    ) -> Result<()> {
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let width = 4 * units;
        let dims = Gemm::new(batch, width, units).accumulate();
        for i in 0..steps {
            let t = sequence.time(i);
            let step = Layout { offset: t * width, row: (steps * width) as isize, col: 1, batch: &[] };
            let (narrow, wide) = (Layout::row_major(units), Layout::row_major(width));
            gemm(&dims, h, narrow, self.recurrent_kernel, wide, gates, step)?;
            let states = h.chunks_mut(units).zip(c.chunks_mut(units));
            let kept = hidden.chunks_mut(steps * units).zip(cells.chunks_mut(steps * units));
            let rows = gates.chunks_mut(steps * width).zip(states).zip(kept).enumerate();
            par::for_each(rows, batch * width * COST, |(b, ((gates, (h, c)), (hidden, cells)))| {
                par::simd!(|m| {
                    if sequence.takes_part(b, t) {
                        let gates = &mut gates[t * width..][..width];
                        add(gates, self.bias);
                        advance(self.activation, self.recurrent_activation, gates, h, c, m);
                    }
                    hidden[t * units..][..units].copy_from_slice(h);
                    cells[t * units..][..units].copy_from_slice(c);
                });
            });
        }
        Ok(())
    }

    /// Gradients from those of the outputs (in the order of processing) and of the final states; absent ones are zero.
    ///
    /// # Errors
    /// If a length contradicts the sizes.
    pub fn backward(
        &self,
        x: &[T],
        saved: LstmSaved<'_, T>,
        doutputs: Option<&[T]>,
        dh: Option<&[T]>,
        dc: Option<&[T]>,
    ) -> Result<LstmGradients<T>> {
        self.check(x)?;
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let width = 4 * units;
        Error::check_len("gates", batch * steps * width, saved.gates.len())?;
        sequence.check_units("hidden", batch * steps, Some(saved.hidden))?;
        sequence.check_units("cells", batch * steps, Some(saved.cells))?;
        sequence.check_units("gradient of outputs", batch * steps, doutputs)?;
        sequence.check_units("gradient of h", batch, dh)?;
        sequence.check_units("gradient of c", batch, dc)?;
        let (mut dh, mut dc) = (copy_or_zeros(dh, batch * units), copy_or_zeros(dc, batch * units));
        let before = sequence.shifted(saved.cells, self.c0);
        let back = transposed(self.recurrent_kernel, width)?;
        let rows = sequence.part_rows();
        let piece = |size: usize| (rows * size).max(1);
        let dz = output::collect(batch * steps * width, |dz| {
            let states = dh.chunks_mut(piece(units)).zip(dc.chunks_mut(piece(units)));
            let parts = dz.pieces(piece(steps * width)).zip(states).enumerate();
            par::map(parts, sequence.work(4), |(i, (dz, (dh, dc)))| {
                let (from, sequence) = (i * rows, sequence.part(i * rows, rows));
                let range = |size: usize| from * size..(from + sequence.batch) * size;
                let saved = [
                    &saved.gates[range(steps * width)],
                    &saved.cells[range(steps * units)],
                    &before[range(steps * units)],
                ];
                let doutputs = doutputs.map(|d| &d[range(steps * units)]);
                Self { sequence, ..*self }.walk_back(saved, doutputs, &back, dz.get(), (dh, dc))
            })
            .into_iter()
            .collect::<Result<()>>()
        })?;
        let (dx, dkernel) = sequence.project_backward(x, self.kernel, &dz, width)?;
        let before = sequence.shifted(saved.hidden, self.h0);
        let mut drecurrent = vec![T::ZERO; units * width];
        let (narrow, wide) = (Layout::row_major(units), Layout::row_major(width));
        let dims = Gemm::new(units, width, batch * steps);
        gemm(&dims, &before, narrow.transposed(), &dz, wide, &mut drecurrent, wide)?;
        let bias = column_sums(&dz, width)?;
        Ok(LstmGradients { x: dx, kernel: dkernel, recurrent_kernel: drecurrent, bias, h0: dh, c0: dc })
    }

    /// All steps, the last first: gradients of the gates and of the initial states.
    fn walk_back(
        &self,
        [gates, cells, before]: [&[T]; 3],
        doutputs: Option<&[T]>,
        back: &[T],
        dz: &mut [T],
        (dh, dc): (&mut [T], &mut [T]),
    ) -> Result<()> {
        let sequence = &self.sequence;
        let Sequence { batch, steps, units, .. } = *sequence;
        let width = 4 * units;
        let dims = Gemm::new(batch, units, width).accumulate();
        for i in (0..steps).rev() {
            let t = sequence.time(i);
            let rows =
                dz.chunks_mut(steps * width).zip(dh.chunks_mut(units).zip(dc.chunks_mut(units))).enumerate();
            par::for_each(rows, batch * width * COST, |(b, (dz, (dh, dc)))| {
                let takes_part = sequence.takes_part(b, t);
                par::simd!(|m| {
                    if let Some(doutputs) = doutputs.filter(|_| takes_part || !sequence.zero_output_for_mask)
                    {
                        let doutput = &doutputs[(b * steps + i) * units..][..units];
                        dh.iter_mut().zip(doutput).for_each(|(dh, &d)| *dh += d);
                    }
                    if takes_part {
                        let at = b * steps + t;
                        let saved = [
                            &gates[at * width..][..width],
                            &cells[at * units..][..units],
                            &before[at * units..][..units],
                        ];
                        self.step_backward(saved, &mut dz[t * width..][..width], (dh, dc), m);
                    }
                });
            });
            let step = Layout { offset: t * width, row: (steps * width) as isize, col: 1, batch: &[] };
            let narrow = Layout::row_major(units);
            gemm(&dims, dz, step, back, narrow, dh, narrow)?;
        }
        Ok(())
    }

    /// Gradients of the gates before activation, of one sequence; takes `dh` away and moves `dc` to the step before.
    #[inline(always)]
    fn step_backward(
        &self,
        [gates, cells, before]: [&[T]; 3],
        dz: &mut [T],
        (dh, dc): (&mut [T], &mut [T]),
        m: impl MulAdd,
    ) {
        let units = dh.len();
        let (input_forget, rest) = gates.split_at(2 * units);
        let (candidate, output) = rest.split_at(units);
        let (input, forget) = input_forget.split_at(units);
        // The slots serve as scratch first: the activated cell, and the gradient that reaches it.
        let (dinput_forget, drest) = dz.split_at_mut(2 * units);
        let (dinput, dforget) = dinput_forget.split_at_mut(units);
        let (dcandidate, doutput) = drest.split_at_mut(units);
        doutput.copy_from_slice(cells);
        self.activation.apply(doutput, m);
        for ((d, dh), &o) in dinput.iter_mut().zip(&*dh).zip(output) {
            *d = *dh * o;
        }
        self.activation.backward(doutput, dinput, m);
        for u in 0..units {
            doutput[u] *= dh[u];
            let d = dc[u] + dinput[u];
            dinput[u] = d * candidate[u];
            dforget[u] = d * before[u];
            dcandidate[u] = d * input[u];
            dc[u] = d * forget[u];
        }
        self.recurrent_activation.backward(input, dinput, m);
        self.recurrent_activation.backward(forget, dforget, m);
        self.activation.backward(candidate, dcandidate, m);
        self.recurrent_activation.backward(output, doutput, m);
        dh.fill(T::ZERO);
    }
}
