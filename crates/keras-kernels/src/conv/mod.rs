//! Convolution over one to three spatial axes, channels last, with both backward passes.
//!
//! The operands are `x` of shape `(batch, spatial…, c_in)`, the filter `w` of shape
//! `(window…, c_in / groups, c_out)` and `y` of shape `(batch, out…, c_out)`; parameters mean what they mean in XLA's
//! `conv_general_dilated`. As everywhere in neural networks, the filter is not flipped.
//!
//! A tile of output pixels becomes a matrix with what each pixel sees in one row (*columns*, "im2col"), small enough
//! for the cache, and is multiplied by the filter. The backward pass to the input is the same computation on the
//! transposed geometry (see `window`) with the filter transposed, or, where that is cheaper, the one in `spread`. A
//! depthwise convolution skips the matrices.

mod filter;
mod forward;
mod spread;
mod tile;

use std::borrow::Cow;

pub(crate) use self::filter::block_len;
use crate::window::{AXES, Axis, Plan};
use crate::{Error, Num, Output, Result, depthwise, par};

/// Parameters of a convolution: one entry per spatial axis in each list.
#[derive(Debug, Clone, Copy)]
pub struct ConvParams<'a> {
    /// Steps of the window.
    pub strides: &'a [usize],
    /// Zeros before and after each axis; negative numbers crop.
    pub padding: &'a [(isize, isize)],
    /// Distance between the elements of the input on the grid that the window slides over (the strides of a
    /// transposed convolution).
    pub lhs_dilation: &'a [usize],
    /// Distance between the elements of the filter on that grid (Keras's `dilation_rate`).
    pub rhs_dilation: &'a [usize],
    /// Number of groups of channels that do not see each other.
    pub groups: usize,
}

/// A function that changes pixels in place, on any thread.
pub type Activation<'a, A> = &'a (dyn Fn(&mut [A]) + Sync);

/// What happens to the outputs of a convolution while they are in the cache: first the bias, then the activation.
pub struct Epilogue<'a, T: Num> {
    /// One number per output channel, added to each pixel.
    pub bias: Option<&'a [T]>,
    /// Called with whole pixels, once for each output.
    pub activation: Option<Activation<'a, T::Acc>>,
}

impl<T: Num> Epilogue<'_, T> {
    /// Leaves the outputs as they are.
    pub const NONE: Self = Self { bias: None, activation: None };

    /// Finishes `y`, whose rows are pixels.
    pub(crate) fn finish(&self, y: &mut [T::Acc]) {
        if let Some(bias) = self.bias
            && !bias.is_empty()
        {
            par::simd!({
                for row in y.chunks_exact_mut(bias.len()) {
                    row.iter_mut().zip(bias).for_each(|(y, b)| *y = y.plus(b.widen()));
                }
            });
        }
        if let Some(activation) = self.activation {
            activation(y);
        }
    }
}

/// A checked convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) axes: [Axis; AXES],
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) groups: usize,
}

impl Geometry {
    fn new(x: &[usize], w: &[usize], params: &ConvParams) -> Result<Self> {
        let rank = params.strides.len();
        if !(1..=AXES).contains(&rank) {
            return Err(Error::parameter(
                "strides",
                format!("expected 1 to {AXES} spatial axes, found {rank}"),
            ));
        }
        for (name, len) in [
            ("padding", params.padding.len()),
            ("lhs_dilation", params.lhs_dilation.len()),
            ("rhs_dilation", params.rhs_dilation.len()),
        ] {
            if len != rank {
                return Err(Error::parameter(name, format!("expected {rank} entries, found {len}")));
            }
        }
        let (&[batch, ref source @ .., c_in], &[ref window @ .., group_in, c_out]) = (x, w) else {
            return Err(Error::shape(format!(
                "expected rank {}, found input {x:?} and filter {w:?}",
                rank + 2
            )));
        };
        if source.len() != rank || window.len() != rank {
            return Err(Error::shape(format!(
                "expected rank {}, found input {x:?} and filter {w:?}",
                rank + 2
            )));
        }
        let groups = params.groups;
        if groups == 0 || group_in.checked_mul(groups) != Some(c_in) || c_out % groups != 0 {
            return Err(Error::shape(format!(
                "{c_in} input channels do not fit a filter of shape {w:?} in {groups} groups"
            )));
        }
        let mut axes = [Axis::TRIVIAL; AXES];
        for (i, axis) in axes[AXES - rank..].iter_mut().enumerate() {
            *axis = Axis::new(
                source[i],
                window[i],
                params.strides[i],
                params.padding[i],
                params.lhs_dilation[i],
                params.rhs_dilation[i],
            )?;
        }
        Ok(Self { batch, axes, c_in, c_out, groups })
    }

    /// The spatial sizes of the output, without those added to fill up to [`AXES`].
    fn output(&self, rank: usize) -> impl Iterator<Item = usize> {
        self.axes[AXES - rank..].iter().map(|axis| axis.output)
    }

    fn check_len(
        &self,
        operand: &'static str,
        sizes: impl IntoIterator<Item = usize>,
        found: usize,
    ) -> Result<()> {
        let expected = sizes.into_iter().try_fold(1usize, usize::checked_mul);
        let expected =
            expected.ok_or_else(|| Error::shape(format!("{operand} exceeds the address space")))?;
        Error::check_len(operand, expected, found)
    }

    fn check_operands(&self, x: usize, w: usize, y: usize) -> Result<()> {
        let axes = || self.axes.iter();
        self.check_len("x", axes().map(|a| a.source).chain([self.batch, self.c_in]), x)?;
        self.check_len("w", axes().map(|a| a.window).chain([self.group_in(), self.c_out]), w)?;
        self.check_len("y", axes().map(|a| a.output).chain([self.batch, self.c_out]), y)
    }

    /// Input channels of one group.
    pub(crate) fn group_in(&self) -> usize {
        self.c_in / self.groups
    }

    /// Output channels of one group.
    pub(crate) fn group_out(&self) -> usize {
        self.c_out / self.groups
    }

    /// Whether each input channel has outputs of its own.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_in() == 1
    }
}

/// The shape of the output, `(batch, out…, c_out)`, for an input of shape `x` and a filter of shape `w`.
///
/// # Errors
/// If the shapes and parameters do not fit together.
pub fn output_shape(x: &[usize], w: &[usize], params: &ConvParams) -> Result<Vec<usize>> {
    let geometry = Geometry::new(x, w, params)?;
    let spatial = geometry.output(params.strides.len());
    Ok([geometry.batch].into_iter().chain(spatial).chain([geometry.c_out]).collect())
}

/// Computes `y` from `x` of shape `x_shape` and the filter `w` of shape `w_shape`, for every dtype.
///
/// # Errors
/// If shapes, parameters and slices do not fit together; `y` is then as before.
pub fn forward<'a, T: Num + 'a>(
    x: &[T],
    x_shape: &[usize],
    w: &[T],
    w_shape: &[usize],
    params: &ConvParams,
    epilogue: &Epilogue<T>,
    y: impl Into<Output<'a, T>>,
) -> Result<()> {
    let y = y.into();
    let geometry = Geometry::new(x_shape, w_shape, params)?;
    geometry.check_operands(x.len(), w.len(), y.len())?;
    if let Some(bias) = epilogue.bias {
        Error::check_len("bias", geometry.c_out, bias.len())?;
    }
    if y.is_empty() {
        return Ok(());
    }
    let plan = Plan::new(geometry.axes);
    if geometry.is_depthwise() {
        depthwise::forward(&geometry, &plan, x, w, epilogue, y);
        return Ok(());
    }
    let w = forward::pack(&geometry, &plan, w);
    forward::correlate(&geometry, &plan, x, &w, epilogue, y)
}

/// Computes the gradient `dx` of shape `x_shape` from the gradient `dy` of the output and the filter `w`.
///
/// # Errors
/// As [`forward`].
pub fn backward_input<'a, T: Num + 'a>(
    dy: &[T],
    w: &[T],
    x_shape: &[usize],
    w_shape: &[usize],
    params: &ConvParams,
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    let dx = dx.into();
    let geometry = Geometry::new(x_shape, w_shape, params)?;
    geometry.check_operands(dx.len(), w.len(), dy.len())?;
    if dx.is_empty() {
        return Ok(());
    }
    let plan = Plan::transposed(geometry.axes);
    if geometry.is_depthwise() {
        depthwise::backward_input(&geometry, &plan, dy, w, dx);
        return Ok(());
    }
    if spread::is_cheaper(&geometry) {
        return spread::backward_input(&geometry, &plan, dy, w, dx);
    }
    forward::backward_input(&geometry, &plan, dy, w, dx)
}

/// Computes the gradient `dw` of shape `w_shape` from `x` of shape `x_shape` and the gradient `dy` of the output.
///
/// # Errors
/// As [`forward`].
pub fn backward_filter<T: Num>(
    x: &[T],
    dy: &[T],
    x_shape: &[usize],
    w_shape: &[usize],
    params: &ConvParams,
    dw: &mut [T],
) -> Result<()> {
    let geometry = Geometry::new(x_shape, w_shape, params)?;
    geometry.check_operands(x.len(), dw.len(), dy.len())?;
    if dw.is_empty() || dy.is_empty() {
        dw.fill(T::ZERO);
        return Ok(());
    }
    let plan = Plan::new(geometry.axes);
    if geometry.is_depthwise() {
        depthwise::backward_filter(&geometry, &plan, x, dy, dw);
        return Ok(());
    }
    filter::backward(&geometry, &plan, x, dy, dw)
}

/// Computes the gradient `db` of shape `(c_out,)` of the bias: the sum of all pixels of `dy`.
///
/// # Errors
/// If `dy` does not consist of whole pixels.
pub fn backward_bias<T: Num>(dy: &[T], db: &mut [T]) -> Result<()> {
    if db.is_empty() || !dy.len().is_multiple_of(db.len()) {
        return Err(Error::shape(format!("{} gradients are no pixels of {} channels", dy.len(), db.len())));
    }
    let block = (par::CHUNK / db.len()).max(1) * db.len();
    let sums = par::map(dy.chunks(block), dy.len(), |dy| {
        let mut sums = vec![T::Acc::ZERO; db.len()];
        par::simd!({
            for row in dy.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(s, v)| *s = s.plus(v.widen()));
            }
        });
        sums
    });
    let sums = par::tree_reduce(sums, add_all).unwrap_or_else(|| vec![T::Acc::ZERO; db.len()]);
    db.iter_mut().zip(sums).for_each(|(d, s)| *d = T::narrow(s));
    Ok(())
}

/// Adds element by element.
pub(crate) fn add_all<A: Num>(mut left: Vec<A>, right: Vec<A>) -> Vec<A> {
    par::simd!(left.iter_mut().zip(&right).for_each(|(l, r)| *l = l.plus(*r)));
    left
}

/// The slice in the type to compute in, copied only if that is another one.
pub(crate) fn widened<T: Num>(slice: &[T]) -> Cow<'_, [T::Acc]> {
    match T::as_acc(slice) {
        Some(same) => Cow::Borrowed(same),
        None => Cow::Owned(slice.iter().map(|v| v.widen()).collect()),
    }
}

/// Lets `op` write `out` in the type to compute in; `scratch` lends the memory if that is another one. What `op`
/// finds there is arbitrary.
pub(crate) fn write_widened<T: Num, R>(
    out: &mut [T],
    scratch: &mut Vec<T::Acc>,
    op: impl FnOnce(&mut [T::Acc]) -> R,
) -> R {
    if let Some(same) = T::as_acc_mut(out) {
        return op(same);
    }
    scratch.resize(out.len(), T::Acc::ZERO);
    let result = op(scratch);
    out.iter_mut().zip(scratch.iter()).for_each(|(o, s)| *o = T::narrow(*s));
    result
}

#[cfg(test)]
mod tests;
