//! Fused operations on the kernels, for `float32` and `float64`.

use keras_kernels::conv::{self, Epilogue};
use keras_kernels::embedding::{embedding, embedding_backward};
use keras_kernels::norm::{BatchNorm, RowNorm, moments};
use keras_kernels::optim::{Adam, RmsProp, Sgd};
use keras_kernels::pool::Reducer;
use keras_kernels::rnn::Activation;
use keras_kernels::softmax::{
    cross_entropy, cross_entropy_backward, log_softmax, log_softmax_backward, softmax, softmax_backward,
    sparse_cross_entropy, sparse_cross_entropy_backward,
};
use keras_kernels::{Num, Output, math::Real, output, par};
use keras_spec::{Activ, DType, Fused, Result};
use ndarray::Axis;

use crate::buffer::{Buffer, Item, SPATIAL, Shared, array, broken, rows, standard, unsupported};
use crate::contract::{convolution, params, product};
use crate::elementwise::{in_pieces, in_pieces_beside};
use crate::reduce::around;
use crate::{attention, movement, recurrent, window};

pub(crate) fn fuses(op: &Fused, dtype: DType) -> bool {
    let known = match op {
        Fused::Dense { activation }
        | Fused::ActivationBackward { activation }
        | Fused::ConvBias { activation, .. } => kernel(*activation).is_some(),
        Fused::Lstm(rnn) | Fused::LstmBackward(rnn) => recurrent::fuses(rnn),
        Fused::Gru { rnn, .. } | Fused::GruBackward { rnn, .. } => recurrent::fuses(rnn),
        Fused::ConvBackwardInput { .. } | Fused::ConvBackwardFilter { .. } => true,
        Fused::AvgPool(_) | Fused::AvgPoolBackward { .. } => true,
        Fused::Softmax { .. } | Fused::SoftmaxBackward { .. } => true,
        Fused::LogSoftmax { .. } | Fused::LogSoftmaxBackward { .. } => true,
        Fused::BatchNorm { .. } | Fused::BatchNormBackward { .. } => true,
        Fused::LayerNorm { .. } | Fused::LayerNormBackward { .. } => true,
        Fused::Embedding | Fused::EmbeddingBackward { .. } => true,
        Fused::ScaledDotProductAttention(_) | Fused::ScaledDotProductAttentionBackward(_) => true,
        Fused::SoftmaxCrossEntropy { .. } | Fused::SoftmaxCrossEntropyBackward { .. } => true,
        Fused::Sgd { .. } | Fused::SgdMomentum { .. } | Fused::Adam { .. } | Fused::RmsProp { .. } => true,
        _ => false,
    };
    let axes = match op {
        Fused::ConvBias { spec, .. }
        | Fused::ConvBackwardInput { spec, .. }
        | Fused::ConvBackwardFilter { spec, .. } => spec.strides.len(),
        Fused::AvgPool(window) | Fused::AvgPoolBackward { window, .. } => window.size.len(),
        _ => 0,
    };
    known && axes <= SPATIAL && matches!(dtype, DType::F32 | DType::F64)
}

pub(crate) fn fused(op: &Fused, operands: Vec<Buffer>) -> Result<Vec<Buffer>> {
    if op.is_update() {
        let mut operands = operands;
        update(op, &mut operands)?;
        operands.remove(1);
        return Ok(operands);
    }
    match operands.first() {
        Some(Buffer::F32(_)) => run::<f32>(op, operands),
        Some(Buffer::F64(_)) => run::<f64>(op, operands),
        other => unsupported(op.name(), other.map_or(DType::F32, Buffer::dtype)),
    }
}

/// Runs an optimizer step in place.
pub(crate) fn update(op: &Fused, operands: &mut [Buffer]) -> Result<()> {
    match operands.first() {
        Some(Buffer::F32(_)) => step::<f32>(op, operands),
        Some(Buffer::F64(_)) => step::<f64>(op, operands),
        other => unsupported(op.name(), other.map_or(DType::F32, Buffer::dtype)),
    }
}

/// The kernels' name of an activation.
pub(crate) fn kernel(activation: Activ) -> Option<Activation> {
    Some(match activation {
        Activ::Linear => Activation::Linear,
        Activ::Relu => Activation::Relu,
        Activ::Sigmoid => Activation::Sigmoid,
        Activ::Tanh => Activation::Tanh,
        Activ::HardSigmoid => Activation::HardSigmoid,
        Activ::LegacyHardSigmoid => Activation::LegacyHardSigmoid,
        _ => return None,
    })
}

/// [`kernel`], or the error for those that [`fuses`] does not promise.
pub(crate) fn known(activation: Activ) -> Result<Activation> {
    kernel(activation).ok_or_else(|| broken("activation", format_args!("{activation:?} is not known")))
}

/// What an activation costs in units of a multiplication.
fn cost(activation: Activation) -> usize {
    match activation {
        Activation::Sigmoid | Activation::Tanh => 16,
        _ => 1,
    }
}

/// Operands in their order.
pub(crate) struct Operands {
    op: &'static str,
    rest: std::vec::IntoIter<Buffer>,
}

impl Operands {
    /// The next array, as it is.
    fn any<T: Item>(&mut self) -> Result<Shared<T>> {
        T::unwrap(self.rest.next().ok_or_else(|| broken(self.op, "an operand is missing"))?)
    }

    /// The next array, in row-major order.
    pub(crate) fn next<T: Item>(&mut self) -> Result<Shared<T>> {
        self.any().map(standard)
    }
}

/// The error of a kernel in `op`.
pub(crate) fn failed(op: &'static str) -> impl Fn(keras_kernels::Error) -> keras_spec::Error + Copy {
    move |why| broken(op, why)
}

fn run<T: Item + Real>(op: &Fused, operands: Vec<Buffer>) -> Result<Vec<Buffer>> {
    let name = op.name();
    let failed = failed(name);
    let mut o = Operands { op: name, rest: operands.into_iter() };
    match op {
        Fused::Dense { activation } => {
            let (x, kernel, bias) = (o.any()?, o.any()?, o.next()?);
            Ok(vec![dense::<T>(x, kernel, &bias, known(*activation)?)?])
        }
        Fused::ActivationBackward { activation } => {
            let (y, g) = (o.next::<T>()?, o.next()?);
            let activation = known(*activation)?;
            let backward = |g: &mut [T], y: &[T]| par::simd!(|m| activation.backward(y, g, m));
            Ok(vec![in_pieces_beside(g, &y, 1, &backward)?])
        }
        Fused::ConvBias { spec, activation } => {
            let (x, filter, bias) = (o.any::<T>()?, o.any::<T>()?, o.next()?);
            let activation = known(*activation)?;
            let apply = |y: &mut [T]| par::simd!(|m| activation.apply(y, m));
            let epilogue = Epilogue { bias: Some(rows(&bias)?), activation: Some(&apply) };
            Ok(vec![convolution(x, filter.into(), spec, &epilogue)?])
        }
        Fused::ConvBackwardInput { spec, input } => {
            let (dy, filter) = (o.next::<T>()?, o.next()?);
            let (g, w) = (rows(&dy)?, rows(&filter)?);
            let write = |dx: Output<T>| conv::backward_input(g, w, input, filter.shape(), &params(spec), dx);
            let dx = output::collect(input.size(), write).map_err(failed)?;
            Ok(vec![array(name, input, dx)?.into()])
        }
        Fused::ConvBackwardFilter { spec, filter } => {
            let (x, dy) = (o.next::<T>()?, o.next()?);
            let mut dw = vec![T::ZERO; filter.size()];
            conv::backward_filter(rows(&x)?, rows(&dy)?, x.shape(), filter, &params(spec), &mut dw)
                .map_err(failed)?;
            Ok(vec![array(name, filter, dw)?.into()])
        }
        Fused::AvgPool(window) => Ok(vec![window::reduce::<T>(Reducer::Mean, o.any()?, window)?]),
        Fused::AvgPoolBackward { window, input } => {
            Ok(vec![window::mean_backward::<T>(o.any()?, window, input)?])
        }
        Fused::Softmax { axis } => map_axis::<T>(name, &mut o, *axis, |x, shape, y| softmax(x, shape, y)),
        Fused::LogSoftmax { axis } => {
            map_axis::<T>(name, &mut o, *axis, |x, shape, y| log_softmax(x, shape, y))
        }
        Fused::SoftmaxBackward { axis } => {
            map_axis_pair::<T>(name, &mut o, *axis, |y, g, shape, dx| softmax_backward(y, g, shape, dx))
        }
        Fused::LogSoftmaxBackward { axis } => {
            map_axis_pair::<T>(name, &mut o, *axis, |y, g, shape, dx| log_softmax_backward(y, g, shape, dx))
        }
        Fused::BatchNorm { axis, epsilon } => {
            let (x, gamma, beta) = (o.next::<T>()?, o.next()?, o.next()?);
            let shape = around(x.shape(), *axis);
            let (mut mean, mut variance) = (vec![T::ZERO; shape[1]], vec![T::ZERO; shape[1]]);
            moments(rows(&x)?, shape, &mut mean, &mut variance).map_err(failed)?;
            let norm = BatchNorm {
                shape,
                mean: &mean,
                variance: &variance,
                gamma: Some(rows(&gamma)?),
                beta: Some(rows(&beta)?),
                epsilon: Real::from_f64(*epsilon),
            };
            let input = rows(&x)?;
            let y = output::collect(x.len(), |y| norm.forward(input, y)).map_err(failed)?;
            let channels = [shape[1]];
            results(name, [(x.shape(), y), (&channels, mean), (&channels, variance)])
        }
        Fused::BatchNormBackward { axis, epsilon } => {
            let (x, gamma, mean, variance) = (o.next::<T>()?, o.next()?, o.next()?, o.next()?);
            let dy = o.next()?;
            let shape = around(x.shape(), *axis);
            let norm = BatchNorm {
                shape,
                mean: rows(&mean)?,
                variance: rows(&variance)?,
                gamma: Some(rows(&gamma)?),
                beta: None,
                epsilon: Real::from_f64(*epsilon),
            };
            let (mut dgamma, mut dbeta) = (vec![T::ZERO; shape[1]], vec![T::ZERO; shape[1]]);
            let (input, g) = (rows(&x)?, rows(&dy)?);
            let write = |dx: Output<T>| norm.backward(input, g, true, dx, &mut dgamma, &mut dbeta);
            let dx = output::collect(x.len(), write).map_err(failed)?;
            let channels = [shape[1]];
            results(name, [(x.shape(), dx), (&channels, dgamma), (&channels, dbeta)])
        }
        Fused::LayerNorm { features, epsilon } => {
            let (x, gamma, beta) = (o.next::<T>()?, o.next::<T>()?, o.next::<T>()?);
            let rows_shape = &x.shape()[..x.ndim() - features];
            let count = rows_shape.iter().product();
            let mut y = Vec::new();
            // Of no elements there is no mean.
            let nan: T = Real::from_f64(f64::NAN);
            let (mut mean, mut rstd) = (vec![nan; count], vec![nan; count]);
            if !gamma.is_empty() {
                let norm = RowNorm {
                    n: gamma.len(),
                    rms: false,
                    gamma: Some(rows(&gamma)?),
                    beta: Some(rows(&beta)?),
                    epsilon: Real::from_f64(*epsilon),
                };
                let input = rows(&x)?;
                let write = |y: Output<T>| norm.forward(input, y, &mut mean, &mut rstd);
                y = output::collect(x.len(), write).map_err(failed)?;
            }
            results(name, [(x.shape(), y), (rows_shape, mean), (rows_shape, rstd)])
        }
        Fused::LayerNormBackward { .. } => {
            let (x, gamma, mean, rstd) = (o.next::<T>()?, o.next::<T>()?, o.next()?, o.next()?);
            let dy = o.next()?;
            let mut dx = Vec::new();
            let (mut dgamma, mut dbeta) = (vec![T::ZERO; gamma.len()], vec![T::ZERO; gamma.len()]);
            if !gamma.is_empty() {
                let gamma = Some(rows(&gamma)?);
                let norm = RowNorm { n: dgamma.len(), rms: false, gamma, beta: None, epsilon: T::ZERO };
                let (input, g, mean, rstd) = (rows(&x)?, rows(&dy)?, rows(&mean)?, rows(&rstd)?);
                let write = |dx: Output<T>| norm.backward(input, g, mean, rstd, dx, &mut dgamma, &mut dbeta);
                dx = output::collect(x.len(), write).map_err(failed)?;
            }
            results(name, [(x.shape(), dx), (gamma.shape(), dgamma), (gamma.shape(), dbeta)])
        }
        Fused::Lstm(rnn) => recurrent::lstm::<T>(rnn, &mut o),
        Fused::LstmBackward(rnn) => recurrent::lstm_backward::<T>(rnn, &mut o),
        Fused::Gru { rnn, reset_after } => recurrent::gru::<T>(rnn, *reset_after, &mut o),
        Fused::GruBackward { rnn, reset_after } => recurrent::gru_backward::<T>(rnn, *reset_after, &mut o),
        Fused::Embedding => {
            let (table, indices) = (o.next::<T>()?, o.next::<i32>()?);
            let features = table.shape().last().copied().unwrap_or(0);
            let y = embedding(rows(&table)?, features, rows(&indices)?).map_err(failed)?;
            results(name, [(&[indices.shape(), &[features]].concat(), y)])
        }
        Fused::EmbeddingBackward { rows: count } => {
            let (dy, indices) = (o.next::<T>()?, o.next::<i32>()?);
            let features = dy.shape().last().copied().unwrap_or(0);
            let mut table = vec![T::ZERO; count * features];
            embedding_backward(rows(&dy)?, features, rows(&indices)?, &mut table).map_err(failed)?;
            results(name, [(&[*count, features], table)])
        }
        Fused::ScaledDotProductAttention(spec) => attention::forward::<T>(spec, &mut o),
        Fused::ScaledDotProductAttentionBackward(spec) => attention::backward::<T>(spec, &mut o),
        Fused::SoftmaxCrossEntropy { sparse } => {
            let logits = o.next::<T>()?;
            let (classes, lead) = logits.shape().split_last().map_or((1, &[][..]), |(n, lead)| (*n, lead));
            let mut loss = vec![T::ZERO; lead.iter().product()];
            match sparse {
                true => sparse_cross_entropy(rows(&logits)?, classes, rows(&o.next::<i32>()?)?, &mut loss),
                false => cross_entropy(rows(&logits)?, classes, rows(&o.next::<T>()?)?, &mut loss),
            }
            .map_err(failed)?;
            results(name, [(lead, loss)])
        }
        Fused::SoftmaxCrossEntropyBackward { sparse } => {
            let (logits, labels) = (o.next::<T>()?, o.rest.next());
            let labels = labels.ok_or_else(|| broken(name, "an operand is missing"))?;
            let dloss = o.next::<T>()?;
            let (x, n) = (rows(&logits)?, logits.shape().last().copied().unwrap_or(1));
            let dloss = rows(&dloss)?;
            let dx = match sparse {
                true => {
                    let labels = standard(i32::unwrap(labels)?);
                    let labels = rows(&labels)?;
                    output::collect(x.len(), |dx| sparse_cross_entropy_backward(x, n, labels, dloss, dx))
                }
                false => {
                    let labels = standard(T::unwrap(labels)?);
                    let labels = rows(&labels)?;
                    output::collect(x.len(), |dx| cross_entropy_backward(x, n, labels, dloss, dx))
                }
            }
            .map_err(failed)?;
            results(name, [(logits.shape(), dx)])
        }
        _ => unsupported(name, T::DTYPE),
    }
}

/// Arrays of these shapes and elements.
pub(crate) fn results<T: Item, const N: usize>(
    name: &'static str,
    parts: [(&[usize], Vec<T>); N],
) -> Result<Vec<Buffer>> {
    parts.into_iter().map(|(shape, data)| array(name, shape, data).map(T::wrap)).collect()
}

fn dense<T: Item + Real>(
    mut x: Shared<T>,
    kernel: Shared<T>,
    bias: &Shared<T>,
    activation: Activation,
) -> Result<Buffer> {
    let vector = x.ndim() == 1;
    if vector {
        x = x.insert_axis(Axis(0));
    }
    let mut y = product(x, kernel, Some(rows(bias)?))?;
    if activation != Activation::Linear {
        let apply = |piece: &mut [T]| par::simd!(|m| activation.apply(piece, m));
        y = in_pieces(T::unwrap(y)?, cost(activation), &apply)?;
    }
    if vector {
        y = movement::reshape(T::unwrap(y)?, bias.shape())?.into();
    }
    Ok(y)
}

/// A kernel over one axis of one operand.
fn map_axis<T: Item + Num>(
    name: &'static str,
    o: &mut Operands,
    axis: usize,
    kernel: impl Fn(&[T], [usize; 3], Output<T>) -> keras_kernels::Result<()>,
) -> Result<Vec<Buffer>> {
    let x = o.next()?;
    let (elements, shape) = (rows(&x)?, around(x.shape(), axis));
    let y = output::collect(x.len(), |y| kernel(elements, shape, y)).map_err(failed(name))?;
    Ok(vec![array(name, x.shape(), y)?.into()])
}

/// A kernel over one axis of two operands.
fn map_axis_pair<T: Item + Num>(
    name: &'static str,
    o: &mut Operands,
    axis: usize,
    kernel: impl Fn(&[T], &[T], [usize; 3], Output<T>) -> keras_kernels::Result<()>,
) -> Result<Vec<Buffer>> {
    let (y, dy) = (o.next()?, o.next()?);
    let (elements, g, shape) = (rows(&y)?, rows(&dy)?, around(y.shape(), axis));
    let dx = output::collect(y.len(), |dx| kernel(elements, g, shape, dx)).map_err(failed(name))?;
    Ok(vec![array(name, y.shape(), dx)?.into()])
}

/// [`update`] for one dtype.
fn step<T: Item + Real>(op: &Fused, operands: &mut [Buffer]) -> Result<()> {
    let name = op.name();
    let failed = failed(name);
    let [w, g, state @ ..] = operands else { return Err(broken(name, "an operand is missing")) };
    let g = standard(T::unwrap(g.clone())?);
    let (w, g) = (own::<T>(w)?, rows(&g)?);
    let f = |x: &f64| <T as Real>::from_f64(*x);
    match (op, state) {
        (Fused::Sgd { learning_rate, decay }, []) => {
            let (learning_rate, decay) = (f(learning_rate), f(decay));
            Sgd { learning_rate, momentum: T::ZERO, nesterov: false, decay }.step(w, g, None)
        }
        (Fused::SgdMomentum { learning_rate, momentum, nesterov, decay }, [m]) => {
            let (learning_rate, momentum, decay) = (f(learning_rate), f(momentum), f(decay));
            Sgd { learning_rate, momentum, nesterov: *nesterov, decay }.step(w, g, Some(own(m)?))
        }
        (Fused::Adam { alpha, beta_1, beta_2, epsilon, decay, .. }, [m, v, largest @ ..]) => {
            let (beta_1, beta_2) = (*beta_1, *beta_2);
            let largest = largest.first_mut().map(own).transpose()?;
            let adam = Adam { alpha: f(alpha), beta_1, beta_2, epsilon: f(epsilon), decay: f(decay) };
            adam.step(w, g, own(m)?, own(v)?, largest)
        }
        (Fused::RmsProp { learning_rate, rho, momentum, epsilon, centered, decay }, [v, rest @ ..]) => {
            let (last, average) = rest.split_at_mut(usize::from(momentum.is_some()));
            let rms = RmsProp {
                learning_rate: f(learning_rate),
                rho: *rho,
                momentum: f(&momentum.unwrap_or(0.0)),
                epsilon: f(epsilon),
                decay: f(decay),
            };
            let last = last.first_mut().map(own).transpose()?;
            let average = average.first_mut().filter(|_| *centered).map(own).transpose()?;
            rms.step(w, g, own(v)?, last, average)
        }
        _ => return unsupported(name, T::DTYPE),
    }
    .map_err(failed)
}

/// The elements of an array in row-major order, to change: copied where somebody else holds them.
fn own<T: Item>(x: &mut Buffer) -> Result<&mut [T]> {
    let x = T::unwrap_mut(x)?;
    if !x.is_standard_layout() {
        *x = standard(x.clone());
    }
    Ok(x.as_slice_mut().unwrap_or_default())
}
