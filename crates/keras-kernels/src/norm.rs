//! Batch normalisation and normalisation of rows (layer and RMS), forward and backward.
//!
//! Formulas and the order of rounding are Keras's: the variance is the mean of the squared distances from the mean,
//! and `y = x · s + (beta - mean · s)` with `s = gamma / sqrt(variance + epsilon)`. Parameters and statistics are in the
//! type of computation (`f32` for half precisions).

use crate::math::Real;
use crate::reduce::fold_row;
use crate::{Error, Num, Output, Result, par};

/// Rows that are summed one after the other before their sum is added to the others'.
const DEPTH: usize = 32;

/// Runs an expression for blocks of channels whose number `N` the compiler knows, so that they are whole vectors.
macro_rules! in_blocks {
    ($channels:expr, |$first:ident, $n:ident| $op:expr) => {
        let mut $first = 0;
        in_blocks!($first, $channels, $n = 32, $op);
        in_blocks!($first, $channels, $n = 8, $op);
        in_blocks!($first, $channels, $n = 1, $op);
    };
    ($first:ident, $channels:expr, $n:ident = $size:literal, $op:expr) => {
        while $channels - $first >= $size {
            const $n: usize = $size;
            $op;
            $first += $size;
        }
    };
}

/// Adds the sums of `term` over rows, of the `N` channels from `first` on.
#[inline(always)]
fn column_sums<const N: usize, T: Num<Acc: Real>, const K: usize>(
    x: &[T],
    y: &[T],
    first: usize,
    parameter: &[T::Acc],
    sums: &mut [Vec<T::Acc>; K],
    term: impl Fn(T::Acc, T::Acc, T::Acc) -> [T::Acc; K],
) {
    let channels = parameter.len();
    let mut block = [[T::Acc::ZERO; N]; K];
    let parameter = &parameter[first..][..N];
    for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
        let (x, y) = (&x[first..][..N], &y[first..][..N]);
        for c in 0..N {
            let new = term(x[c].widen(), y[c].widen(), parameter[c]);
            for k in 0..K {
                block[k][c] += new[k];
            }
        }
    }
    for (sums, block) in sums.iter_mut().zip(&block) {
        sums[first..].iter_mut().zip(block).for_each(|(sum, &block)| *sum += block);
    }
}

/// Folds `term(x, y, parameter)` over all axes but the channels of `(outer, channels, inner)`.
fn channel_sums<T: Num<Acc: Real>, const K: usize>(
    x: &[T],
    y: &[T],
    [outer, channels, inner]: [usize; 3],
    parameter: &[T::Acc],
    term: impl Fn(T::Acc, T::Acc, T::Acc) -> [T::Acc; K] + Copy + Send + Sync,
) -> [Vec<T::Acc>; K] {
    let zeros = || -> [Vec<T::Acc>; K] { std::array::from_fn(|_| vec![T::Acc::ZERO; channels]) };
    let size = channels * inner;
    if size == 0 {
        return zeros();
    }
    let group = size * (par::CHUNK / size).max(if inner == 1 { DEPTH } else { 1 });
    let sums = par::map(x.chunks(group).zip(y.chunks(group)), 2 * outer * size, |(x, y)| {
        let mut sums = zeros();
        par::simd!({
            if inner > 1 {
                for (row, (x, y)) in x.chunks(inner).zip(y.chunks(inner)).enumerate() {
                    let p = parameter[row % channels];
                    for (k, sums) in sums.iter_mut().enumerate() {
                        let map = |x: T, y: T| term(x.widen(), y.widen(), p)[k];
                        sums[row % channels] += fold_row(x, y, T::Acc::ZERO, map, T::Acc::plus);
                    }
                }
                return;
            }
            for (x, y) in x.chunks(DEPTH * channels).zip(y.chunks(DEPTH * channels)) {
                in_blocks!(channels, |first, N| column_sums::<N, T, K>(
                    x, y, first, parameter, &mut sums, term
                ));
            }
        });
        sums
    });
    let total = par::tree_reduce(sums, |mut a, b| {
        for (a, b) in a.iter_mut().zip(b) {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
        a
    });
    total.unwrap_or_else(zeros)
}

/// Elements that a loop over channels goes through at least: of few channels several pixels are taken as one.
const MIN_ROW: usize = 512;

/// Writes `op(x, y, parameters of the channel)` for every element of `(outer, channels, inner)`.
fn channel_map<T: Num<Acc: Real>, const P: usize>(
    x: &[T],
    y: &[T],
    [_, channels, inner]: [usize; 3],
    parameters: [&[T::Acc]; P],
    out: Output<T>,
    op: impl Fn(T::Acc, T::Acc, [T::Acc; P]) -> T::Acc + Copy + Send + Sync,
) {
    let size = channels * inner;
    if size == 0 {
        return;
    }
    let row = if inner == 1 { channels * MIN_ROW.div_ceil(channels) } else { inner };
    let repeated = parameters.map(|p| if inner == 1 { p.repeat(row / channels) } else { Vec::new() });
    // Of whole rows of pixels, or of whole sets of channels.
    let unit = if inner == 1 { row } else { size };
    let group = unit * (par::CHUNK / unit).max(1);
    let work = 2 * out.len();
    par::for_each(out.pieces(group).zip(x.chunks(group).zip(y.chunks(group))), work, |(out, (x, y))| {
        let out = out.get();
        par::simd!({
            let rows = out.chunks_mut(row).zip(x.chunks(row).zip(y.chunks(row)));
            for (i, (out, (x, y))) in rows.enumerate() {
                if inner > 1 {
                    let p = parameters.map(|p| p[i % channels]);
                    for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
                        *out = T::narrow(op(x.widen(), y.widen(), p));
                    }
                    continue;
                }
                let n = out.len();
                let (x, y, p) = (&x[..n], &y[..n], repeated.each_ref().map(|p| &p[..n]));
                for c in 0..n {
                    out[c] = T::narrow(op(x[c].widen(), y[c].widen(), p.map(|p| p[c])));
                }
            }
        });
    });
}

/// Writes the mean and the variance (divided by the count) of each channel of `x`, an array
/// `(outer, channels, inner)`. Of no elements they are NaN.
///
/// # Errors
/// If a length contradicts the shape.
pub fn moments<T: Num<Acc: Real>>(
    x: &[T],
    shape: [usize; 3],
    mean: &mut [T::Acc],
    variance: &mut [T::Acc],
) -> Result<()> {
    let [outer, channels, inner] = shape;
    Error::check_len("x", shape.iter().product(), x.len())?;
    Error::check_len("mean", channels, mean.len())?;
    Error::check_len("variance", channels, variance.len())?;
    let count = T::Acc::from_usize(outer * inner);
    variance.fill(T::Acc::ZERO);
    let [sums] = channel_sums(x, x, shape, variance, |x, _, _| [x]);
    mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = sum / count);
    let [squares] = channel_sums(x, x, shape, mean, |x, _, mean| [(x - mean) * (x - mean)]);
    variance.iter_mut().zip(squares).for_each(|(variance, sum)| *variance = sum / count);
    Ok(())
}

/// Batch normalisation of arrays `(outer, channels, inner)`: `inner` is 1 for Keras's `channels_last`, `outer` is the
/// batch for `channels_first`. Everything but the arrays has one entry for each channel.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a, A> {
    /// Sizes.
    pub shape: [usize; 3],
    /// Mean to subtract: of the batch ([`moments`]) in training, else the moving one.
    pub mean: &'a [A],
    /// Variance to divide by, likewise.
    pub variance: &'a [A],
    /// Factor of the normalised values.
    pub gamma: Option<&'a [A]>,
    /// Added at the end.
    pub beta: Option<&'a [A]>,
    /// Added to the variance.
    pub epsilon: A,
}

impl<A: Real> BatchNorm<'_, A> {
    fn check(&self) -> Result<()> {
        let channels = self.shape[1];
        Error::check_len("mean", channels, self.mean.len())?;
        Error::check_len("variance", channels, self.variance.len())?;
        Error::check_len("gamma", channels, self.gamma.map_or(channels, <[A]>::len))?;
        Error::check_len("beta", channels, self.beta.map_or(channels, <[A]>::len))
    }

    /// `1 / sqrt(variance + epsilon)`, and that times `gamma`.
    fn scales(&self) -> (Vec<A>, Vec<A>) {
        let rstd: Vec<A> = self.variance.iter().map(|&v| (v + self.epsilon).rsqrt()).collect();
        let scale = match self.gamma {
            Some(gamma) => rstd.iter().zip(gamma).map(|(&rstd, &gamma)| rstd * gamma).collect(),
            None => rstd.clone(),
        };
        (rstd, scale)
    }

    /// Writes the normalised `x` to `out`.
    ///
    /// # Errors
    /// If a length contradicts the shape.
    pub fn forward<'a, T: Num<Acc = A> + 'a>(&self, x: &[T], out: impl Into<Output<'a, T>>) -> Result<()> {
        let out = out.into();
        self.check()?;
        Error::check_len("x", self.shape.iter().product(), x.len())?;
        Error::check_len("out", x.len(), out.len())?;
        let (_, scale) = self.scales();
        let mut shift: Vec<A> = self.mean.iter().zip(&scale).map(|(&mean, &scale)| -mean * scale).collect();
        if let Some(beta) = self.beta {
            shift.iter_mut().zip(beta).for_each(|(shift, &beta)| *shift += beta);
        }
        channel_map(x, x, self.shape, [&scale, &shift], out, |x, _, [scale, shift]| x * scale + shift);
        Ok(())
    }

    /// Writes the gradients of `x`, `gamma` and `beta`. In `training` mean and variance are those of `x` and depend
    /// on it; else they are constants.
    ///
    /// # Errors
    /// If a length contradicts the shape.
    pub fn backward<'a, T: Num<Acc = A> + 'a>(
        &self,
        x: &[T],
        dy: &[T],
        training: bool,
        dx: impl Into<Output<'a, T>>,
        dgamma: &mut [A],
        dbeta: &mut [A],
    ) -> Result<()> {
        self.check()?;
        let [outer, channels, inner] = self.shape;
        Error::check_len("x", self.shape.iter().product(), x.len())?;
        Error::check_len("dy", x.len(), dy.len())?;
        let dx = dx.into();
        Error::check_len("dx", x.len(), dx.len())?;
        Error::check_len("dgamma", channels, dgamma.len())?;
        Error::check_len("dbeta", channels, dbeta.len())?;
        let (rstd, scale) = self.scales();
        let [products, sums] =
            channel_sums(x, dy, self.shape, self.mean, |x, dy, mean| [dy * (x - mean), dy]);
        let count = A::from_usize(outer * inner);
        let (mut slope, mut shift) = (vec![A::ZERO; channels], vec![A::ZERO; channels]);
        for c in 0..channels {
            dgamma[c] = products[c] * rstd[c];
            dbeta[c] = sums[c];
            if training {
                slope[c] = scale[c] * rstd[c] * dgamma[c] / count;
                shift[c] = scale[c] * dbeta[c] / count;
            }
        }
        let parameters = [&scale, &slope, &shift, self.mean];
        channel_map(x, dy, self.shape, parameters, dx, |x, dy, [scale, slope, shift, mean]| {
            dy * scale - shift - (x - mean) * slope
        });
        Ok(())
    }
}

/// Normalisation of the rows of an array `(rows, n)`: Keras's `LayerNormalization` over trailing axes, and
/// `RMSNormalization`.
#[derive(Debug, Clone, Copy)]
pub struct RowNorm<'a, A> {
    /// Length of a row.
    pub n: usize,
    /// Divide by the root mean square instead of subtracting the mean and dividing by the standard deviation.
    pub rms: bool,
    /// Factor of the normalised values, `(n)`.
    pub gamma: Option<&'a [A]>,
    /// Added at the end, `(n)`.
    pub beta: Option<&'a [A]>,
    /// Added to the variance, or to the mean square.
    pub epsilon: A,
}

impl<A: Real> RowNorm<'_, A> {
    fn check(&self, x: usize, mean: usize, rstd: usize) -> Result<()> {
        let n = self.n;
        if n == 0 {
            return Err(Error::parameter("n", "a row to normalise needs an element"));
        }
        Error::check_len("gamma", n, self.gamma.map_or(n, <[A]>::len))?;
        Error::check_len("beta", n, self.beta.map_or(n, <[A]>::len))?;
        Error::check_len("mean", rstd, mean)?;
        Error::check_len("x", rstd.checked_mul(n).ok_or_else(|| Error::shape("too many rows"))?, x)
    }

    /// Rows that are worth a visit to another thread.
    fn group(&self) -> usize {
        (par::CHUNK / self.n).max(8)
    }

    /// Writes the normalised `x` to `out`, and each row's mean (0 for RMS) and `1 / sqrt(variance + epsilon)`, which
    /// [`backward`](Self::backward) needs.
    ///
    /// # Errors
    /// If a length contradicts the others.
    pub fn forward<'a, T: Num<Acc = A> + 'a>(
        &self,
        x: &[T],
        out: impl Into<Output<'a, T>>,
        mean: &mut [A],
        rstd: &mut [A],
    ) -> Result<()> {
        self.check(x.len(), mean.len(), rstd.len())?;
        let out = out.into();
        Error::check_len("out", x.len(), out.len())?;
        let (n, group) = (self.n, self.group());
        let count = A::from_usize(n);
        let statistics = mean.chunks_mut(group).zip(rstd.chunks_mut(group));
        let items = out.pieces(group * n).zip(x.chunks(group * n)).zip(statistics);
        par::for_each(items, 4 * x.len(), |((out, x), (mean, rstd))| {
            let out = out.get();
            par::simd!({
                let rows = out.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(mean.iter_mut().zip(rstd));
                for ((out, x), (mean, rstd)) in rows {
                    *mean = if self.rms {
                        A::ZERO
                    } else {
                        fold_row(x, x, A::ZERO, |x, _| x.widen(), A::plus) / count
                    };
                    let centre = *mean;
                    let square = |x: T, _| (x.widen() - centre) * (x.widen() - centre);
                    let squares = fold_row(x, x, A::ZERO, square, A::plus);
                    *rstd = (squares / count + self.epsilon).rsqrt();
                    let scale = *rstd;
                    match (self.gamma, self.beta) {
                        (None, None) => {
                            let shift = -centre * scale;
                            let values = out.iter_mut().zip(x);
                            values.for_each(|(out, &x)| *out = T::narrow(x.widen() * scale + shift));
                        }
                        (Some(gamma), None) => {
                            for ((out, &x), &gamma) in out.iter_mut().zip(x).zip(gamma) {
                                *out = T::narrow(x.widen() * (scale * gamma) + -centre * (scale * gamma));
                            }
                        }
                        (None, Some(beta)) => {
                            for ((out, &x), &beta) in out.iter_mut().zip(x).zip(beta) {
                                *out = T::narrow(x.widen() * scale + (-centre * scale + beta));
                            }
                        }
                        (Some(gamma), Some(beta)) => {
                            for ((out, &x), (&gamma, &beta)) in
                                out.iter_mut().zip(x).zip(gamma.iter().zip(beta))
                            {
                                let scale = scale * gamma;
                                *out = T::narrow(x.widen() * scale + (-centre * scale + beta));
                            }
                        }
                    }
                }
            });
        });
        Ok(())
    }

    /// Writes the gradients of `x`, `gamma` and `beta`, from what [`forward`](Self::forward) gave.
    ///
    /// # Errors
    /// If a length contradicts the others.
    #[expect(clippy::too_many_arguments, reason = "three inputs, two statistics, three gradients")]
    pub fn backward<'a, T: Num<Acc = A> + 'a>(
        &self,
        x: &[T],
        dy: &[T],
        mean: &[A],
        rstd: &[A],
        dx: impl Into<Output<'a, T>>,
        dgamma: &mut [A],
        dbeta: &mut [A],
    ) -> Result<()> {
        self.check(x.len(), mean.len(), rstd.len())?;
        let (n, group) = (self.n, self.group());
        Error::check_len("dy", x.len(), dy.len())?;
        let dx = dx.into();
        Error::check_len("dx", x.len(), dx.len())?;
        Error::check_len("dgamma", n, dgamma.len())?;
        Error::check_len("dbeta", n, dbeta.len())?;
        let count = A::from_usize(n);
        let statistics = mean.chunks(group).zip(rstd.chunks(group));
        let inputs = x.chunks(group * n).zip(dy.chunks(group * n));
        let items = dx.pieces(group * n).zip(inputs).zip(statistics);
        let parts = par::map(items, 6 * x.len(), |((dx, (x, dy)), (mean, rstd))| {
            let dx = dx.get();
            let (mut dgamma, mut dbeta, mut scaled) = (vec![A::ZERO; n], vec![A::ZERO; n], vec![A::ZERO; n]);
            par::simd!({
                let rows = dx.chunks_exact_mut(n).zip(x.chunks_exact(n).zip(dy.chunks_exact(n)));
                for ((dx, (x, dy)), (&mean, &rstd)) in rows.zip(mean.iter().zip(rstd)) {
                    let normalised = |x: T| (x.widen() - mean) * rstd;
                    for (((&x, &dy), dgamma), dbeta) in x.iter().zip(dy).zip(&mut dgamma).zip(&mut dbeta) {
                        *dgamma += dy.widen() * normalised(x);
                        *dbeta += dy.widen();
                    }
                    match self.gamma {
                        Some(gamma) => {
                            for ((scaled, &dy), &gamma) in scaled.iter_mut().zip(dy).zip(gamma) {
                                *scaled = dy.widen() * gamma;
                            }
                        }
                        None => scaled.iter_mut().zip(dy).for_each(|(scaled, &dy)| *scaled = dy.widen()),
                    }
                    let sum = || fold_row(&scaled, &scaled, A::ZERO, |dy, _| dy, A::plus);
                    let shift = if self.rms { A::ZERO } else { sum() / count };
                    let product = |x: T, dy: A| dy * normalised(x);
                    let slope = fold_row(x, &scaled, A::ZERO, product, A::plus) / count;
                    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(&scaled) {
                        *dx = T::narrow(rstd * (dy - shift - normalised(x) * slope));
                    }
                }
            });
            (dgamma, dbeta)
        });
        let add = |mut a: Vec<A>, b: Vec<A>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        let zeros = || vec![A::ZERO; n];
        let (gamma, beta) = par::tree_reduce(parts, |a, b| (add(a.0, b.0), add(a.1, b.1)))
            .unwrap_or_else(|| (zeros(), zeros()));
        dgamma.copy_from_slice(&gamma);
        dbeta.copy_from_slice(&beta);
        Ok(())
    }
}
