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
