//! Fused operations on libtorch's own, for `float32` and `float64`.

use keras_spec::{Activ, DType, Fused};
use tch::{Device, Tensor};

use crate::buffer::{Buffer, Done, broken, sizes, unsupported};
use crate::contract::Plan;
use crate::{attention, indexed, recurrent, window};

/// Whether [`fused`] does `op`.
pub(crate) fn fuses(op: &Fused, dtype: DType, device: Device) -> bool {
    let known = match op {
        Fused::Dense { activation } => applies(*activation),
        Fused::ActivationBackward { activation } => {
            matches!(activation, Activ::Linear | Activ::Relu | Activ::Sigmoid | Activ::Tanh)
        }
        Fused::ConvBias { spec, activation } => applies(*activation) && plans(spec),
        Fused::ConvBackwardInput { spec, .. } | Fused::ConvBackwardFilter { spec, .. } => {
            cfg!(feature = "shim") && plans(spec)
        }
        Fused::AvgPool(window) | Fused::AvgPoolBackward { window, .. } => window::fuses_mean(window),
        Fused::Softmax { .. } | Fused::SoftmaxBackward { .. } => true,
        Fused::LogSoftmax { .. } | Fused::LogSoftmaxBackward { .. } => true,
        Fused::BatchNorm { .. } | Fused::LayerNorm { .. } => true,
        Fused::BatchNormBackward { .. } | Fused::LayerNormBackward { .. } => cfg!(feature = "shim"),
        #[cfg(feature = "shim")]
        Fused::Lstm(rnn)
        | Fused::LstmBackward(rnn)
        | Fused::Gru { rnn, .. }
        | Fused::GruBackward { rnn, .. }
            if device == Device::Cpu =>
        {
            crate::cells::fuses(rnn)
        }
        Fused::Lstm(rnn) | Fused::LstmBackward(rnn) => recurrent::fuses(rnn),
        Fused::Gru { rnn, reset_after } | Fused::GruBackward { rnn, reset_after } => {
            *reset_after && recurrent::fuses(rnn)
        }
        Fused::Embedding | Fused::EmbeddingBackward { .. } => true,
        Fused::ScaledDotProductAttention(_) | Fused::ScaledDotProductAttentionBackward(_) => {
            attention::fuses(device)
        }
        Fused::SoftmaxCrossEntropy { .. } | Fused::SoftmaxCrossEntropyBackward { .. } => true,
        op => op.is_update() && cfg!(feature = "shim"),
    };
    known && matches!(dtype, DType::F32 | DType::F64)
}

/// Whether there is a plan, which does not depend on the size of the filter.
fn plans(spec: &keras_spec::ConvSpec) -> bool {
    Plan::new(spec, &vec![1; spec.strides.len()]).is_some()
}

fn applies(activation: Activ) -> bool {
    use Activ::{HardSigmoid, Linear, Relu, Sigmoid, Tanh};
    matches!(activation, Linear | Relu | Sigmoid | Tanh | HardSigmoid)
}

/// The activation of a tensor that nobody else sees.
fn activated(mut y: Tensor, activation: Activ) -> Done {
    let _ = match activation {
        Activ::Linear => return Ok(y),
        Activ::Relu => y.f_relu_()?,
        Activ::Sigmoid => y.f_sigmoid_()?,
        Activ::Tanh => y.f_tanh_()?,
        Activ::HardSigmoid => y.f_hardsigmoid_()?,
        other => return Err(broken("activation", format_args!("{other:?} is not known")).into()),
    };
    Ok(y)
}

/// The first operands, as many as a pattern asks for.
pub(crate) fn first<const N: usize>(op: &str, operands: Vec<Buffer>) -> Done<[Buffer; N]> {
    let found = operands.len();
    let Ok(all) = operands.try_into() else {
        return Err(broken(op, format_args!("{N} operands are needed, {found} were given")).into());
    };
    Ok(all)
}

pub(crate) fn fused(op: &Fused, operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let name = op.name();
    let Some(dtype) = operands.first().map(Buffer::dtype) else {
        return Err(broken(name, "no operands").into());
    };
    #[cfg(feature = "shim")]
    if let Fused::Lstm(_) | Fused::LstmBackward(_) | Fused::Gru { .. } | Fused::GruBackward { .. } = op
        && crate::cells::reach(&operands)
    {
        return crate::cells::fused(op, &operands);
    }
    let one = |tensor: Tensor| Ok(vec![Buffer::new(tensor, dtype)]);
    match op {
        Fused::Dense { activation } => {
            let [x, kernel, bias] = first(name, operands)?;
            one(dense(x.tensor(), kernel.tensor(), bias.tensor(), *activation)?)
        }
        Fused::ActivationBackward { activation } => {
            let [y, g] = first(name, operands)?;
            match activation {
                Activ::Linear => Ok(vec![g]),
                Activ::Relu => one(y.tensor().f_threshold_backward(g.tensor(), 0.0)?),
                Activ::Sigmoid => one(Tensor::f_sigmoid_backward(g.tensor(), y.tensor())?),
                Activ::Tanh => one(Tensor::f_tanh_backward(g.tensor(), y.tensor())?),
                _ => unsupported(name, dtype),
            }
        }
        Fused::ConvBias { spec, activation } => {
            let [x, filter, bias] = first(name, operands)?;
            match Plan::new(spec, &sizes(filter.shape())) {
                Some(plan) => {
                    let y = plan.forward(x.tensor(), filter.tensor(), Some(bias.tensor()))?;
                    one(activated(y, *activation)?)
                }
                None => unsupported(name, dtype),
            }
        }
        Fused::AvgPool(window) => {
            let [x] = first(name, operands)?;
            Ok(vec![window::mean(&x, window)?])
        }
        Fused::AvgPoolBackward { window, input } => {
            let [g] = first(name, operands)?;
            Ok(vec![window::mean_backward(&g, window, input)?])
        }
        Fused::Softmax { axis } => {
            let [x] = first(name, operands)?;
            one(x.tensor().f_softmax(*axis as i64, None)?)
        }
        Fused::LogSoftmax { axis } => {
            let [x] = first(name, operands)?;
            one(x.tensor().f_log_softmax(*axis as i64, None)?)
        }
        Fused::SoftmaxBackward { axis } => {
            let [y, g] = first(name, operands)?;
            let kind = y.tensor().f_kind()?;
            one(Tensor::f_internal_softmax_backward_data(g.tensor(), y.tensor(), *axis as i64, kind)?)
        }
        Fused::LogSoftmaxBackward { axis } => {
            let [y, g] = first(name, operands)?;
            let kind = y.tensor().f_kind()?;
            one(Tensor::f_internal_log_softmax_backward_data(g.tensor(), y.tensor(), *axis as i64, kind)?)
        }
        Fused::BatchNorm { axis, epsilon } => batch_norm(first(name, operands)?, *axis, *epsilon),
        Fused::LayerNorm { features, epsilon } => layer_norm(first(name, operands)?, *features, *epsilon),
        Fused::Lstm(rnn) => recurrent::lstm(rnn, operands),
        Fused::LstmBackward(rnn) => recurrent::lstm_backward(rnn, operands),
        Fused::Gru { rnn, .. } => recurrent::gru(rnn, operands),
        Fused::GruBackward { rnn, .. } => recurrent::gru_backward(rnn, operands),
        Fused::Embedding => Ok(vec![indexed::embedding(first(name, operands)?)?]),
        Fused::EmbeddingBackward { rows } => {
            Ok(vec![indexed::embedding_backward(first(name, operands)?, *rows)?])
        }
        Fused::ScaledDotProductAttention(spec) => attention::forward(spec, operands),
        Fused::ScaledDotProductAttentionBackward(spec) => attention::backward(spec, operands),
        Fused::SoftmaxCrossEntropy { sparse } => {
            Ok(vec![indexed::cross_entropy(first(name, operands)?, *sparse)?])
        }
        Fused::SoftmaxCrossEntropyBackward { sparse } => {
            Ok(vec![indexed::cross_entropy_backward(first(name, operands)?, *sparse)?])
        }
        #[cfg(feature = "shim")]
        _ => with_shim::fused(op, operands, dtype),
        #[cfg(not(feature = "shim"))]
        _ => unsupported(name, dtype),
    }
}

/// A step of an optimizer in place.
pub(crate) fn update(op: &Fused, operands: &mut [Buffer]) -> Done<()> {
    #[cfg(feature = "shim")]
    return with_shim::update(op, operands);
    #[cfg(not(feature = "shim"))]
    unsupported(op.name(), operands.first().map_or(DType::F32, Buffer::dtype))
}

fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor, activation: Activ) -> Done {
    let mut shape = x.size();
    if let [_, _] = shape[..] {
        #[cfg(feature = "shim")]
        if let Some(activation) = crate::cells::kernel(activation)
            && let Some(y) = crate::kernels::product(x, kernel, Some(bias), activation)
                .or_else(|| crate::kernels::large_product(x, kernel, bias, activation))
        {
            return y;
        }
        return activated(bias.f_addmm(x, kernel)?, activation);
    }
    let inputs = shape.pop().unwrap_or(1);
    let rows: i64 = shape.iter().product();
    shape.extend(bias.size());
    Ok(dense(&x.f_reshape([rows, inputs].as_slice())?, kernel, bias, activation)?.f_reshape(&shape)?)
}

/// The tensor with the axis of the channels where libtorch has it.
fn channels_second(x: &Tensor, axis: usize) -> Done {
    Ok(match (x.dim(), axis) {
        (1, _) => x.f_unsqueeze(0)?,
        (_, 1) => x.shallow_clone(),
        _ => x.f_movedim(axis as i64, 1)?,
    })
}

/// The way back from [`channels_second`].
fn channels_back(y: &Tensor, axis: usize, rank: usize) -> Done {
    Ok(match (rank, axis) {
        (1, _) => y.f_squeeze_dim(0)?,
        (_, 1) => y.shallow_clone(),
        _ => y.f_movedim(1, axis as i64)?,
    })
}

fn batch_norm([x, gamma, beta]: [Buffer; 3], axis: usize, epsilon: f64) -> Done<Vec<Buffer>> {
    let dtype = x.dtype();
    let rank = x.shape().len();
    let options = (x.tensor().f_kind()?, x.tensor().device());
    let channels = sizes(&[x.shape()[axis]]);
    let count = x.shape().size() / x.shape()[axis].max(1);
    let moved = channels_second(x.tensor(), axis)?;
    // libtorch reads what there is one of for each channel without asking how it lies.
    let (gamma, beta) = (gamma.tensor().f_contiguous()?, beta.tensor().f_contiguous()?);
    let (mean, variance, y) = if count > 1 && x.shape().size() > 0 {
        // With a momentum of 1 the running statistics are those of this batch, the variance the unbiased one.
        let mean = Tensor::f_zeros(&channels, options)?;
        let mut variance = mean.f_zeros_like()?;
        let (y, _, _) = moved.f_native_batch_norm(
            Some(&gamma),
            Some(&beta),
            Some(&mean),
            Some(&variance),
            true,
            1.0,
            epsilon,
        )?;
        let _ = variance.f_mul_scalar_((count - 1) as f64 / count as f64)?;
        (mean, variance, channels_back(&y, axis, rank)?)
    } else {
        // Of one element the mean is that element; of none there is none.
        let others: Vec<i64> = (0..rank).filter(|&i| i != axis).map(|i| i as i64).collect();
        let mean = match others[..] {
            [] => crate::buffer::copy(x.tensor())?,
            _ => x.tensor().f_mean_dim(&others[..], false, None)?,
        };
        let variance = mean.f_sub(&mean)?;
        let mut aligned = vec![1; rank];
        aligned[axis] = channels[0];
        let y = x.tensor().f_mul_scalar(0.0)?.f_add(&beta.f_reshape(&aligned)?)?;
        (mean, variance, y)
    };
    Ok([y, mean, variance].map(|tensor| Buffer::new(tensor, dtype)).into())
}

fn layer_norm([x, gamma, beta]: [Buffer; 3], features: usize, epsilon: f64) -> Done<Vec<Buffer>> {
    let dtype = x.dtype();
    let (rows, last) = x.shape().split_at(x.shape().len() - features);
    let (y, mean, rstd) = if gamma.shape().size() == 0 {
        // Of no elements there is no mean.
        let nan = Tensor::f_full(sizes(rows), f64::NAN, (x.tensor().f_kind()?, x.tensor().device()))?;
        (crate::buffer::copy(x.tensor())?, crate::buffer::copy(&nan)?, nan)
    } else {
        let (gamma, beta) = (gamma.tensor().f_contiguous()?, beta.tensor().f_contiguous()?);
        let (g, b) = (Some(&gamma), Some(&beta));
        let (y, mean, rstd) = x.tensor().f_native_layer_norm(sizes(last), g, b, epsilon)?;
        (y, mean.f_reshape(sizes(rows))?, rstd.f_reshape(sizes(rows))?)
    };
    Ok([y, mean, rstd].map(|tensor| Buffer::new(tensor, dtype)).into())
}

/// What only the C++ file gives access to.
#[cfg(feature = "shim")]
mod with_shim {
    use keras_spec::{DType, Fused};

    use super::{
        Buffer, Done, Plan, Tensor, broken, channels_back, channels_second, first, sizes, unsupported,
    };
    use crate::contract::Backward;
    use crate::{kernels, shim};

    pub(super) fn fused(op: &Fused, mut operands: Vec<Buffer>, dtype: DType) -> Done<Vec<Buffer>> {
        let name = op.name();
        let results = match op {
            Fused::ConvBackwardInput { spec, input } => {
                let [g, filter] = first(name, operands)?;
                let Some(plan) = Plan::new(spec, &sizes(filter.shape())) else {
                    return unsupported(name, dtype);
                };
                let wanted = Backward::Input { filter: filter.tensor(), input: &sizes(input) };
                vec![plan.backward(g.tensor(), wanted)?]
            }
            Fused::ConvBackwardFilter { spec, filter } => {
                let [x, g] = first(name, operands)?;
                let Some(plan) = Plan::new(spec, &sizes(filter)) else {
                    return unsupported(name, dtype);
                };
                let wanted = Backward::Filter { x: x.tensor(), filter: &sizes(filter) };
                vec![plan.backward(g.tensor(), wanted)?]
            }
            Fused::BatchNormBackward { axis, epsilon } => {
                batch_norm_backward(first(name, operands)?, *axis, *epsilon)?
            }
            Fused::LayerNormBackward { features } => layer_norm_backward(first(name, operands)?, *features)?,
            _ => {
                update(op, &mut operands)?;
                operands.remove(1);
                return Ok(operands);
            }
        };
        Ok(results.into_iter().map(|tensor| Buffer::new(tensor, dtype)).collect())
    }

    /// A step of an optimizer on the variable (operand 0) and its state (operands 2 and up), in place where nobody else sees
    /// their elements.
    pub(super) fn update(op: &Fused, operands: &mut [Buffer]) -> Done<()> {
        let [w, g, state @ ..] = operands else {
            return Err(broken(op.name(), "an operand is missing").into());
        };
        let (w, g) = (w.own()?, g.tensor());
        let mut state = state.iter_mut().map(Buffer::own).collect::<Done<Vec<_>>>()?;
        if let Some(done) = kernels::adam(op, w, g, &mut state) {
            return done;
        }
        shim::step(op, w, g, &state.iter().map(|state| &**state).collect::<Vec<_>>())
    }

    fn batch_norm_backward(
        [x, gamma, mean, variance, g]: [Buffer; 5],
        axis: usize,
        epsilon: f64,
    ) -> Done<Vec<Tensor>> {
        let rank = x.shape().len();
        let rstd = variance.tensor().f_add_scalar(epsilon)?.f_rsqrt()?;
        if x.shape().size() == 0 {
            let zeros = [x.tensor(), gamma.tensor(), gamma.tensor()].map(Tensor::f_zeros_like);
            return Ok(zeros.into_iter().collect::<Result<_, _>>()?);
        }
        let [dx, dgamma, dbeta] = shim::batch_norm_backward(
            &channels_second(g.tensor(), axis)?,
            &channels_second(x.tensor(), axis)?,
            &gamma.tensor().f_contiguous()?,
            &mean.tensor().f_contiguous()?,
            &rstd.f_contiguous()?,
            epsilon,
        )?;
        Ok(vec![channels_back(&dx, axis, rank)?, dgamma, dbeta])
    }

    fn layer_norm_backward([x, gamma, mean, rstd, g]: [Buffer; 5], features: usize) -> Done<Vec<Tensor>> {
        let (rows, last) = x.shape().split_at(x.shape().len() - features);
        if x.shape().size() == 0 {
            let zeros = [x.tensor(), gamma.tensor(), gamma.tensor()].map(Tensor::f_zeros_like);
            return Ok(zeros.into_iter().collect::<Result<_, _>>()?);
        }
        let statistics = sizes(&[rows, &vec![1; features]].concat());
        // libtorch reads these without asking how they lie.
        let [mean, rstd] = [mean, rstd].map(|x| x.tensor().f_reshape(&statistics)?.f_contiguous());
        let (g, x, gamma) =
            (g.tensor().f_contiguous()?, x.tensor().f_contiguous()?, gamma.tensor().f_contiguous()?);
        let gradients = shim::layer_norm_backward(&g, &x, &sizes(last), &mean?, &rstd?, &gamma)?;
        Ok(gradients.into())
    }
}
