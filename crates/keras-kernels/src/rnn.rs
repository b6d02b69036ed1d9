//! Recurrent cells over whole sequences: [`Lstm`] and [`Gru`], forward and backward, in `f32` and `f64`.
//!
//! Arrays are batch-major: `(batch, steps, features)`. The projections of all inputs are one matrix product; each step
//! then is one product with the recurrent weights and one pass over the gates. Backward, the steps make gradients of
//! gates only, and those of the weights are single large products.

mod gru;
mod lstm;

pub use gru::{Gru, GruGradients, GruOutput, GruSaved};
pub use lstm::{Lstm, LstmGradients, LstmOutput, LstmSaved};

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::elementwise::{Strided, copy_strided};
use crate::gemm::{Gemm, Layout, gemm, gemm_serial};
use crate::math::{MulAdd, Real};
use crate::reduce::{ReduceOp, reduce};
use crate::{Error, Result, par};

/// What a gate of one unit costs in units of a multiplication.
const COST: usize = 8;

/// Activation of a gate or a candidate, named as in Keras.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x / 6 + 1 / 2` between 0 and 1
    HardSigmoid,
    /// `0.2 · x + 1 / 2` between 0 and 1: Keras 1's and 2's
    LegacyHardSigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x`, or `exp(x) - 1` for a negative one
    Elu,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `exp(x)`
    Exponential,
}

impl Activation {
    /// Replaces every element by its activation.
    #[inline(always)]
    pub fn apply<T: Real>(self, x: &mut [T], m: impl MulAdd) {
        let x = x.iter_mut();
        match self {
            Self::Linear => {}
            Self::Relu => x.for_each(|x| *x = x.maximum(T::ZERO)),
            Self::Sigmoid => x.for_each(|x| *x = x.sigmoid(m)),
            Self::HardSigmoid => {
                let (three, six) = (T::from_f64(3.0), T::from_f64(6.0));
                x.for_each(|x| *x = (*x + three).maximum(T::ZERO).minimum(six) / six);
            }
            Self::LegacyHardSigmoid => {
                let (fifth, half) = (T::from_f64(0.2), T::from_f64(0.5));
                x.for_each(|x| *x = (*x * fifth + half).maximum(T::ZERO).minimum(T::ONE));
            }
            Self::Tanh => x.for_each(|x| *x = x.tanh(m)),
            Self::Elu => x.for_each(|x| *x = if *x > T::ZERO { *x } else { x.exp_m1(m) }),
            Self::Softplus => x.for_each(|x| *x = x.softplus(m)),
            Self::Softsign => x.for_each(|x| *x /= T::ONE + x.abs()),
            Self::Exponential => x.for_each(|x| *x = x.exp(m)),
        }
    }

    /// Multiplies every gradient by the derivative, told from the activation's value `y`.
    #[inline(always)]
    pub fn backward<T: Real>(self, y: &[T], gradient: &mut [T], m: impl MulAdd) {
        let pairs = gradient.iter_mut().zip(y);
        match self {
            Self::Linear => {}
            Self::Relu => pairs.for_each(|(g, &y)| *g = if y > T::ZERO { *g } else { T::ZERO }),
            Self::Sigmoid => pairs.for_each(|(g, &y)| *g *= y * (T::ONE - y)),
            Self::HardSigmoid | Self::LegacyHardSigmoid => {
                let rate = T::from_f64(if self == Self::HardSigmoid { 1.0 / 6.0 } else { 0.2 });
                pairs.for_each(|(g, &y)| *g = if y > T::ZERO && y < T::ONE { *g * rate } else { T::ZERO });
            }
            // Factored, for accuracy where the value is close to one.
            Self::Tanh => pairs.for_each(|(g, &y)| *g *= (T::ONE - y) * (T::ONE + y)),
            Self::Elu => pairs.for_each(|(g, &y)| *g = if y > T::ZERO { *g } else { *g * (y + T::ONE) }),
            Self::Softplus => pairs.for_each(|(g, &y)| *g *= -(-y).exp_m1(m)),
            Self::Softsign => pairs.for_each(|(g, &y)| *g *= (T::ONE - y.abs()) * (T::ONE - y.abs())),
            Self::Exponential => pairs.for_each(|(g, &y)| *g *= y),
        }
    }
}

/// Sizes of a sequence and how it is walked through.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Sequences.
    pub batch: usize,
    /// Steps of each.
    pub steps: usize,
    /// Inputs at each step.
    pub features: usize,
    /// Units of the cell.
    pub units: usize,
    /// `(batch, steps)`: at a step that is false the state stays, and the output is that of the step before (at
    /// first the initial state), as in Keras on JAX without `unroll`.
    pub mask: Option<&'a [bool]>,
    /// Whether the output at masked steps is zero instead.
    pub zero_output_for_mask: bool,
    /// Whether to start at the last step. Outputs are in the order of processing.
    pub go_backwards: bool,
}

impl Sequence<'_> {
    /// The state after each step, from the outputs, which are zero at masked steps with `zero_output_for_mask`.
    pub fn hidden<'a, T: Real>(&self, outputs: &'a [T], h0: &[T]) -> Cow<'a, [T]> {
        let Some(mask) = self.mask.filter(|_| self.zero_output_for_mask) else {
            return Cow::Borrowed(outputs);
        };
        let Self { steps, units, .. } = *self;
        let mut states = outputs.to_vec();
        for (at, _) in mask.iter().enumerate().filter(|(_, takes_part)| !**takes_part) {
            if at % steps == 0 {
                let b = at / steps;
                states[at * units..][..units].copy_from_slice(&h0[b * units..][..units]);
            } else {
                states.copy_within((at - 1) * units..at * units, at * units);
            }
        }
        Cow::Owned(states)
    }

    fn size(&self, sizes: &[usize]) -> Result<usize> {
        let product = sizes.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        product.ok_or_else(|| Error::shape("the sizes exceed the address space"))
    }

    /// Checks inputs, weights for `gates` gates, and the mask.
    fn check<T>(&self, gates: usize, x: &[T], kernel: &[T], recurrent: &[T]) -> Result<()> {
        let Self { batch, steps, features, units, .. } = *self;
        Error::check_len("x", self.size(&[batch, steps, features])?, x.len())?;
        Error::check_len("kernel", self.size(&[features, gates, units])?, kernel.len())?;
        Error::check_len("recurrent kernel", self.size(&[units, gates, units])?, recurrent.len())?;
        self.size(&[batch, steps, gates, units])?;
        Error::check_len("mask", batch * steps, self.mask.map_or(batch * steps, <[bool]>::len))
    }

    /// Checks an optional array of `rows` rows of units.
    fn check_units<T>(&self, operand: &'static str, rows: usize, x: Option<&[T]>) -> Result<()> {
        let size = self.size(&[rows, self.units])?;
        Error::check_len(operand, size, x.map_or(size, <[T]>::len))
    }

    /// Of how many sequences each part is that a thread walks through by itself: steps wait for each other, sequences do
    /// not.
    ///
    /// Narrower products than these would sum in another order.
    fn part_rows(&self) -> usize {
        const LEAST: usize = 8;
        let parts = if LEAST * self.units > 256 { par::threads().min(self.batch / LEAST) } else { 1 };
        let mut rows = self.batch.div_ceil(parts.max(1)).max(1);
        while rows > 1 && self.batch % rows == 1 {
            rows += 1;
        }
        rows
    }

    /// The sequences from `from` on, `rows` of them or what is left.
    fn part(&self, from: usize, rows: usize) -> Self {
        let batch = rows.min(self.batch - from);
        let mask = self.mask.map(|mask| &mask[from * self.steps..][..batch * self.steps]);
        Sequence { batch, mask, ..*self }
    }

    /// What walking through all steps costs with `gates` gates.
    fn work(&self, gates: usize) -> usize {
        let step = (gates * self.units).saturating_mul(self.units + COST);
        step.saturating_mul(self.batch * self.steps)
    }

    /// Which step of the input is processed as the `i`-th.
    fn time(&self, i: usize) -> usize {
        if self.go_backwards { self.steps - 1 - i } else { i }
    }

    /// Whether sequence `b` takes part in step `t`.
    fn takes_part(&self, b: usize, t: usize) -> bool {
        self.mask.is_none_or(|mask| mask[b * self.steps + t])
    }

    /// `c = x · kernel`, for all steps at once, in rows of `row` elements.
    fn project<T: Real>(&self, x: &[T], kernel: &[T], width: usize, row: usize) -> Result<Vec<T>> {
        let (k, rows) = (self.features, self.batch * self.steps);
        let [narrow, wide, layout] = [k, width, row].map(Layout::row_major);
        let rows_at_once = self.part_rows() * self.steps;
        if rows_at_once >= rows || row == 0 {
            let mut out = vec![T::ZERO; rows * row];
            gemm(&Gemm::new(rows, width, k), x, narrow, kernel, wide, &mut out, layout)?;
            return Ok(out);
        }
        // Each thread brings its own part of the result into its cache.
        let (work, failure) = ((rows * row).saturating_mul(k), OnceLock::new());
        let out = par::collect_pieces_of(rows_at_once * row, rows * row, work, |i, out| {
            let (rows, x) = (out.len() / row, &x[i * rows_at_once * k..]);
            if let Err(e) = gemm_serial(&Gemm::new(rows, width, k), x, narrow, kernel, wide, out, layout) {
                failure.get_or_init(|| e);
            }
        });
        failure.into_inner().map_or(Ok(out), Err)
    }

    /// The state before each step, `(batch, steps, units)`, from the states after each step.
    fn shifted<T: Real>(&self, after: &[T], initial: Option<&[T]>) -> Vec<T> {
        let Self { steps, units, .. } = *self;
        let zeros = vec![T::ZERO; units];
        let mut before = Vec::with_capacity(after.len());
        for (b, after) in after.chunks(usize::max(steps * units, 1)).enumerate() {
            let first = initial.map_or(zeros.as_slice(), |initial| &initial[b * units..][..units]);
            let (all_but_last, all_but_first) = (&after[..after.len() - units], &after[units..]);
            let parts = if self.go_backwards { [all_but_first, first] } else { [first, all_but_last] };
            parts.into_iter().for_each(|part| before.extend_from_slice(part));
        }
        before
    }

    /// The outputs in the order of processing, from the states after each step, and those states where they are not the
    /// outputs.
    fn outputs<T: Real>(&self, after: Vec<T>) -> (Vec<T>, Option<Vec<T>>) {
        let Self { batch, steps, units, .. } = *self;
        if !self.go_backwards && (self.mask.is_none() || !self.zero_output_for_mask) {
            return (after, None);
        }
        let mut out = vec![T::ZERO; after.len()];
        for b in 0..batch {
            for i in 0..steps {
                let t = self.time(i);
                if self.takes_part(b, t) || !self.zero_output_for_mask {
                    let from = &after[(b * steps + t) * units..][..units];
                    out[(b * steps + i) * units..][..units].copy_from_slice(from);
                }
            }
        }
        (out, Some(after))
    }

    /// Gradients of `x` and the kernel from that of the projections `dz`, `(batch, steps, width)`.
    fn project_backward<T: Real>(
        &self,
        x: &[T],
        kernel: &[T],
        dz: &[T],
        width: usize,
    ) -> Result<(Vec<T>, Vec<T>)> {
        let (rows, k) = (self.batch * self.steps, self.features);
        let mut dx = vec![T::ZERO; rows * k];
        let (wide, narrow) = (Layout::row_major(width), Layout::row_major(k));
        gemm(&Gemm::new(rows, k, width), dz, wide, kernel, wide.transposed(), &mut dx, narrow)?;
        let mut dkernel = vec![T::ZERO; k * width];
        gemm(&Gemm::new(k, width, rows), x, narrow.transposed(), dz, wide, &mut dkernel, wide)?;
        Ok((dx, dkernel))
    }
}

/// The columns of a matrix as rows. Each step goes back through the recurrent weights: products with their columns would bring
/// them in order once a step.
fn transposed<T: Real>(x: &[T], columns: usize) -> Result<Vec<T>> {
    let rows = x.len().checked_div(columns).unwrap_or(0);
    let (shape, strides) = ([columns, rows], [1, columns as isize]);
    let mut out = vec![T::ZERO; x.len()];
    copy_strided(&shape, Strided::new(x, 0, &shape, &strides)?, &mut out)?;
    Ok(out)
}

/// Sums of the columns of a matrix.
fn column_sums<T: Real>(x: &[T], width: usize) -> Result<Vec<T>> {
    let mut sums = vec![T::ZERO; width];
    let rows = x.len().checked_div(width).unwrap_or(0);
    reduce(ReduceOp::Sum, x, &[rows, width], &[0], &mut sums, |sum| sum)?;
    Ok(sums)
}

/// A copy, or zeros.
fn copy_or_zeros<T: Real>(x: Option<&[T]>, len: usize) -> Vec<T> {
    x.map_or_else(|| vec![T::ZERO; len], <[T]>::to_vec)
}

/// Adds a bias, if there is one, to a row.
#[inline(always)]
fn add<T: Real>(x: &mut [T], bias: Option<&[T]>) {
    if let Some(bias) = bias {
        x.iter_mut().zip(bias).for_each(|(x, &bias)| *x += bias);
    }
}
