//! Convolutions with kernels that are operands.

use keras_spec::{ConvSpec, Dims, Result, Tensor};

use super::Run;
use crate::layers::window::span;
use crate::layers::{DataFormat, Padding};

/// The arguments that convolutions have in common, for as many spatial axes as the input has.
struct Window {
    strides: Vec<usize>,
    dilation: Vec<usize>,
    padding: Padding,
    format: DataFormat,
}

impl Window {
    fn new(run: &Run, x: &Tensor, kernel: &Tensor) -> Result<Self> {
        let axes = x.rank().saturating_sub(2);
        if axes == 0 || kernel.rank() != x.rank() {
            let found = format!("{} with {}", x.shape(), kernel.shape());
            return Err(run.wrong("kernel", "as many axes as the inputs have, at least 3", found));
        }
        Ok(Window {
            strides: numbers(run, axes, "strides", 1)?,
            dilation: numbers(run, axes, "dilation_rate", 1)?,
            padding: word(run, "padding")?,
            format: word(run, "data_format")?,
        })
    }

    /// The convolution of `x`, whose channels are last.
    fn convolve(&self, x: &Tensor, kernel: &Tensor, groups: usize) -> Result<Tensor> {
        let amounts = (0..self.strides.len()).map(|i| {
            let span = span(kernel.shape()[i], self.dilation[i]);
            let (low, high) = self.padding.amounts(x.shape()[i + 1], span, self.strides[i]);
            (low as isize, high as isize)
        });
        let spec = ConvSpec {
            strides: Dims::from_slice(&self.strides),
            padding: amounts.collect(),
            filter_dilation: Dims::from_slice(&self.dilation),
            groups,
            ..ConvSpec::new(self.strides.len())
        };
        self.format.restore_channels(&x.convolution(kernel, spec)?)
    }
}

/// An argument that is a number of at least `least`, or as many as there are spatial axes.
fn numbers(run: &Run, axes: usize, name: &str, least: usize) -> Result<Vec<usize>> {
    let given = run.integers(name)?.unwrap_or_else(|| vec![1]);
    let given = if given.len() == 1 { vec![given[0]; axes] } else { given };
    let fitting: Option<Vec<usize>> =
        given.iter().map(|n| usize::try_from(*n).ok().filter(|n| *n >= least)).collect();
    let expected = || format!("{axes} numbers of at least {least}");
    fitting.filter(|n| n.len() == axes).ok_or_else(|| run.wrong(name, &expected(), format!("{given:?}")))
}

/// An argument that is one of some words; by default, the first of them.
fn word<T: serde::de::DeserializeOwned + Default>(run: &Run, name: &str) -> Result<T> {
    let Some(value) = run.argument(name) else { return Ok(T::default()) };
    serde_json::from_value(value.clone()).map_err(|e| run.wrong(name, "one of Keras's words", e))
}

/// Input, kernel and arguments; the channels of the input are last.
fn operands(run: &Run) -> Result<(Tensor, Tensor, Window)> {
    let (x, kernel) = (run.float(0)?, run.float(1)?);
    let window = Window::new(run, &x, &kernel)?;
    let x = window.format.to_channels_last(&x.into_dtype(kernel.dtype())?)?;
    Ok((x, kernel, window))
}

pub(super) fn conv(run: &Run) -> Result<Vec<Tensor>> {
    let (x, kernel, window) = operands(run)?;
    let (channels, each) = (x.shape()[x.rank() - 1], kernel.shape()[kernel.rank() - 2]);
    let groups = channels.checked_div(each).filter(|groups| groups * each == channels);
    let groups =
        groups.ok_or_else(|| run.wrong("kernel", &format!("a divisor of {channels} channels"), each))?;
    Ok(vec![window.convolve(&x, &kernel, groups)?])
}

pub(super) fn depthwise_conv(run: &Run) -> Result<Vec<Tensor>> {
    let (x, kernel, window) = operands(run)?;
    let mut shape = kernel.shape().to_vec();
    let each = shape.pop().unwrap_or(1);
    let channels = shape.pop().unwrap_or(1);
    shape.extend([1, channels.saturating_mul(each)]);
    Ok(vec![window.convolve(&x, &kernel.reshape(shape)?, channels)?])
}

pub(super) fn conv_transpose(run: &Run) -> Result<Vec<Tensor>> {
    let (x, kernel, window) = operands(run)?;
    let axes = window.strides.len();
    let more = match run.argument("output_padding") {
        None => None,
        Some(_) => Some(numbers(run, axes, "output_padding", 0)?),
    };
    let amounts = (0..axes).map(|i| {
        let (stride, span) = (window.strides[i], span(kernel.shape()[i], window.dilation[i]));
        window.padding.transposed_amounts(span, stride, more.as_ref().map(|more| more[i]))
    });
    let spec = ConvSpec {
        padding: amounts.collect(),
        input_dilation: Dims::from_slice(&window.strides),
        filter_dilation: Dims::from_slice(&window.dilation),
        ..ConvSpec::new(axes)
    };
    let spatial: Vec<isize> = (0..axes as isize).collect();
    let kernel = kernel.flip(&spatial)?.swap_axes(-2, -1)?;
    Ok(vec![window.format.restore_channels(&x.convolution(&kernel, spec)?)?])
}

/// The product of sums over axes of two tensors: the last ones of the first with the first ones of the second, or those that
/// are named.
pub(super) fn tensordot(run: &Run) -> Result<Vec<Tensor>> {
    let (a, b) = run.pair()?;
    let wrong =
        |found: &dyn std::fmt::Display| run.wrong("axes", "a number of axes, or two lists of them", found);
    let listed = |i: usize, x: &Tensor| -> Result<Option<Vec<usize>>> {
        let Some(axes) = run.argument("axes").and_then(|v| v.get(i)) else { return Ok(None) };
        let axes = axes.as_array().cloned().unwrap_or_else(|| vec![axes.clone()]);
        let axes = axes.iter().map(|v| x.shape().axis(run.integer("axes", v)?));
        axes.collect::<Result<_>>().map(Some)
    };
    let (left, right) = match (listed(0, &a)?, listed(1, &b)?) {
        (Some(left), Some(right)) => (left, right),
        _ => {
            let count = usize::try_from(run.whole("axes")?.unwrap_or(2)).unwrap_or(usize::MAX);
            let first = a.rank().checked_sub(count).ok_or_else(|| wrong(&count))?;
            ((first..a.rank()).collect(), (0..count).collect())
        }
    };
    let sizes = |x: &Tensor, axes: &[usize]| -> Option<Vec<usize>> {
        axes.iter().map(|i| x.shape().get(*i).copied()).collect()
    };
    if sizes(&a, &left).is_none() || sizes(&a, &left) != sizes(&b, &right) {
        return Err(wrong(&format!("{left:?} of {} and {right:?} of {}", a.shape(), b.shape())));
    }
    let rest =
        |x: &Tensor, axes: &[usize]| -> Vec<usize> { (0..x.rank()).filter(|i| !axes.contains(i)).collect() };
    let (a_rest, b_rest) = (rest(&a, &left), rest(&b, &right));
    let lengths = |x: &Tensor, axes: &[usize]| axes.iter().map(|i| x.shape()[*i]).collect::<Vec<_>>();
    let inner: usize = lengths(&a, &left).iter().product();
    let shape = [lengths(&a, &a_rest), lengths(&b, &b_rest)].concat();
    let rows = a.permute(&[a_rest.clone(), left].concat())?;
    let columns = b.permute(&[right, b_rest.clone()].concat())?;
    let rows = rows.reshape([lengths(&a, &a_rest).iter().product(), inner])?;
    let columns = columns.reshape([inner, lengths(&b, &b_rest).iter().product()])?;
    Ok(vec![rows.matmul(&columns)?.reshape(shape)?])
}
