//! The default of every fused operation: its composition of required ones.

mod attention;
mod convolution;
mod indexed;
mod normalization;
mod optimizer;
mod recurrent;

use smallvec::smallvec;

use crate::error::{Error, Result};
use crate::fused::{Activ, Fused};
use crate::op::CompareOp;
use crate::shape::Shape;
use crate::tensor::{Results, Tensor};

/// Runs `op` as a composition. The operands have been checked.
pub(crate) fn compose(op: &Fused, operands: &[Tensor]) -> Result<Results> {
    let o = |i: usize| operands.get(i).ok_or_else(|| Error::shape(op.name(), "an operand is missing", []));
    let one = |t: Tensor| -> Result<Results> { Ok(smallvec![t]) };
    match op {
        Fused::Dense { activation } => one(activate(*activation, (o(0)?.matmul(o(1)?)? + o(2)?)?)?),
        Fused::ActivationBackward { activation } => one(activation_backward(*activation, o(0)?, o(1)?)?),
        Fused::ConvBias { spec, activation } => {
            one(activate(*activation, (o(0)?.convolution(o(1)?, spec.clone())? + o(2)?)?)?)
        }
        Fused::ConvBackwardInput { spec, input } => {
            one(convolution::backward_input(spec, input, o(0)?, o(1)?)?)
        }
        Fused::ConvBackwardFilter { spec, filter } => {
            one(convolution::backward_filter(spec, filter, o(0)?, o(1)?)?)
        }
        Fused::AvgPool(window) => one(convolution::avg_pool(window, o(0)?)?),
        Fused::AvgPoolBackward { window, input } => {
            one(convolution::avg_pool_backward(window, input, o(0)?)?)
        }
        Fused::Softmax { axis } => {
            let e = less_max(o(0)?, *axis)?.exp()?;
            let sum = e.sum(&[*axis as isize], true)?;
            one((e / sum)?)
        }
        Fused::SoftmaxBackward { axis } => {
            let (y, g) = (o(0)?, o(1)?);
            one((y * (g - (y * g)?.sum(&[*axis as isize], true)?)?)?)
        }
        Fused::LogSoftmax { axis } => {
            let shifted = less_max(o(0)?, *axis)?;
            let log_sum = shifted.exp()?.sum(&[*axis as isize], true)?.log()?;
            one((shifted - log_sum)?)
        }
        Fused::LogSoftmaxBackward { axis } => {
            let (y, g) = (o(0)?, o(1)?);
            one((g - (y.exp()? * g.sum(&[*axis as isize], true)?)?)?)
        }
        Fused::BatchNorm { axis, epsilon } => normalization::batch_norm(*axis, *epsilon, o(0)?, o(1)?, o(2)?),
        Fused::BatchNormBackward { axis, epsilon } => {
            normalization::batch_norm_backward(*axis, *epsilon, [o(0)?, o(1)?, o(2)?, o(3)?, o(4)?])
        }
        Fused::LayerNorm { features, epsilon } => {
            normalization::layer_norm(*features, *epsilon, o(0)?, o(1)?, o(2)?)
        }
        Fused::LayerNormBackward { features } => {
            normalization::layer_norm_backward(*features, [o(0)?, o(1)?, o(2)?, o(3)?, o(4)?])
        }
        Fused::Lstm(rnn) => recurrent::lstm(rnn, operands),
        Fused::LstmBackward(rnn) => recurrent::lstm_backward(rnn, operands),
        Fused::Gru { rnn, reset_after } => recurrent::gru(rnn, *reset_after, operands),
        Fused::GruBackward { rnn, reset_after } => recurrent::gru_backward(rnn, *reset_after, operands),
        Fused::Embedding => one(indexed::embedding(o(0)?, o(1)?)?),
        Fused::EmbeddingBackward { rows } => one(indexed::embedding_backward(*rows, o(0)?, o(1)?)?),
        Fused::ScaledDotProductAttention(spec) => {
            attention::forward(spec, [o(0)?, o(1)?, o(2)?], operands.get(3))
        }
        Fused::ScaledDotProductAttentionBackward(spec) => {
            attention::backward(spec, [o(0)?, o(1)?, o(2)?], o(5)?, operands.get(6))
        }
        Fused::SoftmaxCrossEntropy { sparse } => one(indexed::cross_entropy(*sparse, o(0)?, o(1)?)?),
        Fused::SoftmaxCrossEntropyBackward { sparse } => {
            one(indexed::cross_entropy_backward(*sparse, o(0)?, o(1)?, o(2)?)?)
        }
        Fused::Sgd { .. } | Fused::SgdMomentum { .. } | Fused::Adam { .. } | Fused::RmsProp { .. } => {
            optimizer::step(op, operands)
        }
    }
}

/// 0 of the dtype of `like`.
fn nothing(like: &Tensor) -> Result<Tensor> {
    Tensor::full([], like.dtype(), 0.0, like.device())
}

/// `x` minus its maximum along an axis, which changes nothing but the range.
fn less_max(x: &Tensor, axis: usize) -> Result<Tensor> {
    x - x.stop_gradient().max(&[axis as isize], true)?
}

/// An activation of the kernels.
pub(crate) fn activate(activation: Activ, x: Tensor) -> Result<Tensor> {
    match activation {
        Activ::Linear => Ok(x),
        Activ::Relu => x.relu(),
        Activ::Sigmoid => x.sigmoid(),
        Activ::Tanh => x.tanh(),
        Activ::HardSigmoid => within_one(&((x / 6.0)? + 0.5)?),
        Activ::LegacyHardSigmoid => within_one(&((x * 0.2)? + 0.5)?),
    }
}

/// Elements moved into `0..=1`, with the gradient 0 at both ends, where that of [`Tensor::clip`] is half.
fn within_one(x: &Tensor) -> Result<Tensor> {
    let one = Tensor::full([], x.dtype(), 1.0, x.device())?;
    x.compare_with(CompareOp::Ge, 1.0)?.select(&one, &x.relu()?)
}

/// The gradient of an activation's operand from its result `y` and the gradient `g` of that.
pub(crate) fn activation_backward(activation: Activ, y: &Tensor, g: &Tensor) -> Result<Tensor> {
    match activation {
        Activ::Linear => Ok(g.clone()),
        Activ::Relu => y.compare_with(CompareOp::Gt, 0.0)?.select(g, &nothing(g)?),
        Activ::Sigmoid => g * (y * (1.0 - y)?)?,
        Activ::Tanh => g * ((1.0 - y)? * (y + 1.0)?)?,
        Activ::HardSigmoid | Activ::LegacyHardSigmoid => {
            let rate = if activation == Activ::HardSigmoid { 1.0 / 6.0 } else { 0.2 };
            let slope = y.compare_with(CompareOp::Gt, 0.0)?.and(&y.compare_with(CompareOp::Lt, 1.0)?)?;
            slope.select(&(g * rate)?, &nothing(g)?)
        }
    }
}

/// `(channels,)` shaped to broadcast along `axis` of a tensor of rank `rank`.
pub(crate) fn per_channel(t: &Tensor, rank: usize, axis: usize) -> Result<Tensor> {
    let mut shape = Shape::from(vec![1; rank]);
    shape.dims_mut()[axis] = t.shape().size();
    t.reshape(shape)
}

/// `(rows…)` with axes of length 1 behind, up to rank `rank`.
pub(crate) fn per_row(t: &Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = t.shape().clone();
    while shape.rank() < rank {
        shape.push(1);
    }
    t.reshape(shape)
}
