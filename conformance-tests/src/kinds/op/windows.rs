//! Convolution and pooling as `keras.ops` has them, channels-last.

use keras_spec::{ConvSpec, Dims, Fused, Op, ReduceOp, Shape, Tensor, WindowSpec};

use super::super::{Result, mismatch};
use super::arguments::Arguments;

impl Arguments<'_> {
    pub(super) fn conv(&self) -> Result<Tensor> {
        self.convolve(self.tensor(1)?, 1)
    }

    /// The kernel `(window…, in, multiplier)` as a filter `(window…, 1, in · multiplier)` of as many groups as channels.
    pub(super) fn depthwise_conv(&self) -> Result<Tensor> {
        let kernel = self.tensor(1)?;
        let Some((window, &[channels, multiplier])) = kernel.shape().split_last_chunk() else {
            return mismatch("a kernel without channels");
        };
        let shape: Shape = window.iter().copied().chain([1, channels * multiplier]).collect();
        self.convolve(&kernel.reshape(shape)?, channels)
    }

    fn convolve(&self, filter: &Tensor, groups: usize) -> Result<Tensor> {
        let n = self.tensor(0)?.rank().saturating_sub(2);
        let (strides, dilation) = (self.each("strides", n, 1)?, self.each("dilation_rate", n, 1)?);
        let spans: Dims =
            filter.shape().iter().zip(&dilation).map(|(&k, &d)| k.saturating_sub(1) * d + 1).collect();
        let around = self.around(&spans, &strides)?;
        let spec = ConvSpec {
            padding: around.iter().map(|&(low, high)| (low as isize, high as isize)).collect(),
            strides,
            filter_dilation: dilation,
            groups,
            ..ConvSpec::new(n)
        };
        Ok(self.tensor(0)?.convolution(filter, spec)?)
    }

    /// The convolution whose gradient this is, for a kernel `(window…, out, in)`.
    pub(super) fn conv_transpose(&self) -> Result<Tensor> {
        let (x, kernel) = (self.tensor(0)?, self.tensor(1)?);
        let n = x.rank().saturating_sub(2);
        let (strides, dilation) = (self.each("strides", n, 1)?, self.each("dilation_rate", n, 1)?);
        let more = match self.value(usize::MAX, "output_padding") {
            None => None,
            Some(_) => Some(self.each("output_padding", n, 0)?),
        };
        let same = self.or("padding", "valid".to_owned())? == "same";
        let around = |i: usize| {
            let span = (kernel.shape()[i] - 1) * dilation[i] + 1;
            let more = more.as_ref().map(|m| m[i]);
            // `spec/README.md` says how long the result is.
            let total = match (same, more) {
                (true, None) => strides[i] + span - 2,
                (true, Some(more)) => span + span % 2 + more - 2,
                (false, more) => 2 * (span - 1) + more.unwrap_or(strides[i].saturating_sub(span)),
            };
            let low = if same { total.div_ceil(2).min(span - 1) } else { span - 1 };
            (low as isize, (total - low) as isize)
        };
        let spec = ConvSpec {
            padding: (0..n).map(around).collect(),
            input_dilation: strides.clone(),
            filter_dilation: dilation.clone(),
            ..ConvSpec::new(n)
        };
        let spatial: Vec<isize> = (0..n as isize).collect();
        Ok(x.convolution(&kernel.flip(&spatial)?.swap_axes(-2, -1)?, spec)?)
    }

    pub(super) fn max_pool(&self) -> Result<Tensor> {
        Ok(self.tensor(0)?.reduce_window(ReduceOp::Max, self.pool()?)?)
    }

    pub(super) fn average_pool(&self) -> Result<Tensor> {
        Ok(Tensor::apply1(Op::Fused(Fused::AvgPool(self.pool()?)), [self.tensor(0)?.clone()])?)
    }

    fn pool(&self) -> Result<WindowSpec> {
        let n = self.tensor(0)?.rank().saturating_sub(2);
        let (size, strides) = (self.each("pool_size", n, 1)?, self.each("strides", n, 1)?);
        let padding = self.around(&size, &strides)?.into();
        Ok(WindowSpec { size, strides, padding })
    }

    /// What `padding` puts before and after each spatial axis, for windows that span so much.
    fn around(&self, spans: &[usize], strides: &[usize]) -> Result<Vec<(usize, usize)>> {
        let same = self.or("padding", "valid".to_owned())? == "same";
        let lengths = self.tensor(0)?.shape().iter().skip(1);
        let amount = |((&n, &span), &stride): ((&usize, &usize), &usize)| {
            let total = (n.div_ceil(stride).max(1) - 1) * stride + span;
            let total = if same { total.saturating_sub(n) } else { 0 };
            (total / 2, total - total / 2)
        };
        Ok(lengths.zip(spans).zip(strides).map(amount).collect())
    }
}
