//! Reductions over windows and their gradients.

use keras_spec::{DType, ReduceOp, Shape, WindowSpec};
use tch::{Kind, Tensor};

use crate::buffer::{Buffer, Done, filled, is_half, limits, sizes, unsupported};
use crate::contract::{channels_first, channels_last};
use crate::movement::cast;
use crate::reduce::reduce;

/// A channels-last tensor with `value` around its spatial axes; negative amounts crop.
pub(crate) fn outside(x: &Tensor, around: &[(i64, i64)], value: f64) -> Done {
    if around.iter().all(|&amount| amount == (0, 0)) {
        return Ok(x.shallow_clone());
    }
    let mut inside = x.shallow_clone();
    let mut shape = x.size();
    for (i, &(low, high)) in around.iter().enumerate() {
        let n = shape[i + 1];
        inside = inside.f_slice(i as i64 + 1, (-low).clamp(0, n), (n + high.min(0)).max(0), 1)?;
        shape[i + 1] = (n + low + high).max(0);
    }
    if around.iter().all(|&(low, high)| low <= 0 && high <= 0) {
        return Ok(inside);
    }
    let out = Tensor::f_full(&shape, value, (x.f_kind()?, x.device()))?;
    let mut place = out.shallow_clone();
    for (i, &(low, _)) in around.iter().enumerate() {
        place = place.f_narrow(i as i64 + 1, low.max(0), inside.size()[i + 1])?;
    }
    place.f_copy_(&inside)?;
    Ok(out)
}

/// Every window of the spatial axes of `(batch, spatial…, channels)`: a view `(batch, steps…, channels, window…)`.
pub(crate) fn windows(x: &Tensor, size: &[i64], strides: &[usize], dilation: &[usize]) -> Done {
    let mut seen = x.shallow_clone();
    for (i, &k) in size.iter().enumerate() {
        let reach = (k - 1) * dilation[i] as i64 + 1;
        seen = seen.f_unfold(i as i64 + 1, reach, strides[i] as i64)?;
        seen = seen.f_slice(-1, None, None, dilation[i] as i64)?;
    }
    Ok(seen)
}

/// How libtorch is asked for a pooling: in two or three spatial dimensions, with padding that is the same on both sides and
/// at most half of the window.
struct Pool {
    size: Vec<i64>,
    strides: Vec<i64>,
    padding: Vec<i64>,
    /// What is put around beforehand.
    around: Vec<(i64, i64)>,
    /// Whether there is one spatial dimension only.
    line: bool,
}

impl Pool {
    fn new(window: &WindowSpec) -> Option<Pool> {
        let n = window.size.len();
        if !(1..=3).contains(&n) {
            return None;
        }
        let (mut size, mut strides) = (sizes(&window.size), sizes(&window.strides));
        let (mut padding, mut around) = (vec![], vec![]);
        for (i, &(low, high)) in window.padding.iter().enumerate() {
            let fits = low == high && 2 * low <= window.size[i];
            padding.push(if fits { low as i64 } else { 0 });
            around.push(if fits { (0, 0) } else { (low as i64, high as i64) });
        }
        let line = n == 1;
        if line {
            size.insert(0, 1);
            strides.insert(0, 1);
            padding.insert(0, 0);
        }
        Some(Pool { size, strides, padding, around, line })
    }

    /// The operand as libtorch has it.
    fn enter(&self, x: &Tensor) -> Done {
        if self.line { channels_first(&x.f_unsqueeze(1)?) } else { channels_first(x) }
    }

    /// The way back from [`enter`](Pool::enter).
    fn leave(&self, y: &Tensor) -> Done {
        let y = channels_last(y)?;
        if self.line { Ok(y.f_squeeze_dim(1)?) } else { Ok(y) }
    }

    fn maximum(&self, x: &Tensor) -> Done<(Tensor, Tensor)> {
        let ones = vec![1; self.size.len()];
        Ok(match self.size.len() {
            2 => x.f_max_pool2d_with_indices(&self.size, &self.strides, &self.padding, &ones, false)?,
            _ => x.f_max_pool3d_with_indices(&self.size, &self.strides, &self.padding, &ones, false)?,
        })
    }

    fn maximum_backward(&self, x: &Tensor, g: &Tensor, places: &Tensor) -> Done {
        let (k, s, p, ones) = (&self.size, &self.strides, &self.padding, vec![1; self.size.len()]);
        Ok(match self.size.len() {
            2 => x.f_max_pool2d_with_indices_backward(g, k, s, p, &ones, false, places)?,
            _ => x.f_max_pool3d_with_indices_backward(g, k, s, p, &ones, false, places)?,
        })
    }

    /// Sums divided by `divisor`, or by the number of elements that are no padding.
    fn mean(&self, x: &Tensor, divisor: Option<i64>) -> Done {
        let (k, s, p) = (&self.size, &self.strides, &self.padding);
        Ok(match self.size.len() {
            2 => x.f_avg_pool2d(k, s, p, false, false, divisor)?,
            _ => x.f_avg_pool3d(k, s, p, false, false, divisor)?,
        })
    }

    fn mean_backward(&self, x: &Tensor, g: &Tensor) -> Done {
        let (k, s, p) = (&self.size, &self.strides, &self.padding);
        Ok(match self.size.len() {
            2 => x.f_avg_pool2d_backward(g, k, s, p, false, false, None)?,
            _ => x.f_avg_pool3d_backward(g, k, s, p, false, false, None)?,
        })
    }
}

fn around(window: &WindowSpec) -> Vec<(i64, i64)> {
    window.padding.iter().map(|&(low, high)| (low as i64, high as i64)).collect()
}

pub(crate) fn reduce_window(op: ReduceOp, x: Buffer, window: &WindowSpec) -> Done<Buffer> {
    let dtype = x.dtype();
    if dtype == DType::Bool && matches!(op, ReduceOp::Sum | ReduceOp::Prod) {
        return unsupported("reduce_window", dtype);
    }
    if is_half(dtype) {
        return cast(reduce_window(op, cast(x, DType::F32)?, window)?, dtype);
    }
    let shape = sizes(&window.output_shape(x.shape()));
    if shape.contains(&0) {
        return Ok(Buffer::new(filled(&shape, 0.0, dtype, x.tensor().device())?, dtype));
    }
    if let Some(pool) = Pool::new(window).filter(|_| dtype.is_float()) {
        let run = |x: &Tensor, neutral: f64| pool.enter(&outside(x, &pool.around, neutral)?);
        let y = match op {
            ReduceOp::Max => Some(pool.maximum(&run(x.tensor(), f64::NEG_INFINITY)?)?.0),
            ReduceOp::Min => Some(pool.maximum(&run(&x.tensor().f_neg()?, f64::NEG_INFINITY)?)?.0.f_neg()?),
            ReduceOp::Sum => Some(pool.mean(&run(x.tensor(), 0.0)?, Some(1))?),
            _ => None,
        };
        if let Some(y) = y {
            return Ok(Buffer::new(pool.leave(&y)?, dtype));
        }
    }
    let [least, most] = limits(dtype);
    let neutral = match op {
        ReduceOp::Sum => 0.0,
        ReduceOp::Prod => 1.0,
        ReduceOp::Max => least,
        _ => most,
    };
    let n = window.size.len();
    let seen = all_windows(&x, window, neutral)?;
    let axes: Vec<usize> = (n + 2..2 * n + 2).collect();
    reduce(op, x.view(seen), &axes)
}

/// [`windows`] of a buffer with padding of its dtype.
fn all_windows(x: &Buffer, window: &WindowSpec, neutral: f64) -> Done {
    let mut low = vec![0; x.shape().len()];
    let mut high = low.clone();
    for (i, &(l, h)) in window.padding.iter().enumerate() {
        (low[i + 1], high[i + 1]) = (l, h);
    }
    let none = vec![0; low.len()];
    let padded = crate::movement::pad(x.clone(), neutral, &low, &high, &none)?;
    windows(padded.tensor(), &sizes(&window.size), &window.strides, &vec![1; window.size.len()])
}

pub(crate) fn select_and_scatter(x: Buffer, g: Buffer, window: &WindowSpec) -> Done<Buffer> {
    let dtype = x.dtype();
    if dtype == DType::Bool {
        return unsupported("select_and_scatter", dtype);
    }
    if is_half(dtype) {
        let [x, g] = [x, g].map(|x| cast(x, DType::F32));
        return cast(select_and_scatter(x?, g?, window)?, dtype);
    }
    if g.shape().size() == 0 {
        return Ok(Buffer::new(x.tensor().f_zeros_like()?, dtype));
    }
    let Some(pool) = Pool::new(window).filter(|_| dtype.is_float()) else {
        return scattered(x, g, window);
    };
    let padded = pool.enter(&outside(x.tensor(), &pool.around, f64::NEG_INFINITY)?)?;
    let (_, places) = pool.maximum(&padded)?;
    let dx = pool.leave(&pool.maximum_backward(&padded, &pool.enter(g.tensor())?, &places)?)?;
    let cropped: Vec<(i64, i64)> = pool.around.iter().map(|&(low, high)| (-low, -high)).collect();
    Ok(Buffer::new(outside(&dx, &cropped, 0.0)?, dtype))
}

/// [`select_and_scatter`] by indices: of integers, and in more dimensions than libtorch pools in.
fn scattered(x: Buffer, g: Buffer, window: &WindowSpec) -> Done<Buffer> {
    let (dtype, n) = (x.dtype(), window.size.len());
    let device = x.tensor().device();
    let shape = sizes(x.shape());
    let (batch, channels) = (shape[0], shape[n + 1]);
    let spatial: i64 = shape[1..=n].iter().product();
    let steps = [&g.shape()[..], &[window.size.iter().product()]].concat();
    let seen = all_windows(&x, window, limits(dtype)[0])?.f_reshape(sizes(&steps))?;
    let greatest = reduce(ReduceOp::Max, x.view(seen.shallow_clone()), &[n + 2])?;
    // Where each element of a window comes from; padding from the extra place after the last one.
    let places = Tensor::f_arange(spatial, (Kind::Int64, device))?;
    let places = places.f_reshape([&[1], &shape[1..=n], &[1]].concat())?;
    let places = outside_with(&places, &around(window), spatial)?;
    let places = windows(&places, &sizes(&window.size), &window.strides, &vec![1; n])?;
    let places = places.f_reshape([&[1], &sizes(&g.shape()[1..=n])[..], &[1, -1]].concat())?;
    // The least value may stand in the padding too.
    let found = seen.f_eq_tensor(&greatest.tensor().f_unsqueeze(-1)?)?;
    let found = found.f_bitwise_and_tensor(&places.f_lt(spatial)?)?.f_to_kind(Kind::Uint8)?;
    let first = found.f_argmax(-1i64, true)?;
    let places = places.f_expand(sizes(&steps), false)?.f_gather(-1, &first, false)?;
    // (batch, steps, channels)
    let rows = [batch, -1, channels];
    let sums = Tensor::f_zeros([batch, spatial + 1, channels].as_slice(), (x.tensor().f_kind()?, device))?;
    let sums = sums.f_scatter_add(1, &places.f_reshape(&rows[..])?, &g.tensor().f_reshape(&rows[..])?)?;
    let dx = sums.f_narrow(1, 0, spatial)?.f_reshape(&shape)?;
    Ok(Buffer::new(crate::buffer::wrapped(dx, dtype)?, dtype))
}

/// [`outside`] with an integer.
fn outside_with(x: &Tensor, around: &[(i64, i64)], value: i64) -> Done {
    Ok(outside(&x.f_sub_scalar(value)?, around, 0.0)?.f_add_scalar(value)?)
}

/// Whether libtorch does the mean over windows: where no padding has to be put around beforehand, which it would count.
pub(crate) fn fuses_mean(window: &WindowSpec) -> bool {
    Pool::new(window).is_some_and(|pool| pool.around.iter().all(|&amount| amount == (0, 0)))
}

/// The mean over windows, without the padding.
pub(crate) fn mean(x: &Buffer, window: &WindowSpec) -> Done<Buffer> {
    let shape = sizes(&window.output_shape(x.shape()));
    let dtype = x.dtype();
    match Pool::new(window) {
        Some(_) if shape.contains(&0) => {
            Ok(Buffer::new(filled(&shape, 0.0, dtype, x.tensor().device())?, dtype))
        }
        Some(pool) => Ok(Buffer::new(pool.leave(&pool.mean(&pool.enter(x.tensor())?, None)?)?, dtype)),
        None => unsupported("avg_pool", dtype),
    }
}

/// The gradient of [`mean`].
pub(crate) fn mean_backward(g: &Buffer, window: &WindowSpec, input: &Shape) -> Done<Buffer> {
    let dtype = g.dtype();
    let options = (g.tensor().f_kind()?, g.tensor().device());
    match Pool::new(window) {
        Some(_) if g.shape().size() == 0 => Ok(Buffer::new(Tensor::f_zeros(sizes(input), options)?, dtype)),
        Some(pool) => {
            // Only its shape matters.
            let x = pool.enter(&Tensor::f_empty(sizes(input), options)?)?;
            Ok(Buffer::new(pool.leave(&pool.mean_backward(&x, &pool.enter(g.tensor())?)?)?, dtype))
        }
        None => unsupported("avg_pool_backward", dtype),
    }
}
