//! Gradients of fused operations.

use smallvec::{SmallVec, smallvec};

use super::{Gradients, Saves, rows, sum_to, zeros};
use crate::compose::{self, per_channel, per_row};
use crate::error::Result;
use crate::fused::{Activ, Fused};
use crate::op::Op;
use crate::scope;
use crate::tape::{GradientOptions, Saved, gradients_with, no_gradients};
use crate::tensor::Tensor;

type Cotangents = SmallVec<[Option<Tensor>; 1]>;

pub(crate) fn saves(op: &Fused, wanted: &[bool]) -> Saves {
    let wants = |i: usize| wanted.get(i).copied().unwrap_or(false);
    let product = Saves::operands([1]).only_if(wants(0)).and(Saves::operands([0]).only_if(wants(1)));
    match op {
        Fused::Dense { activation } | Fused::ConvBias { activation, .. } => {
            product.and(Saves::RESULT.only_if(*activation != Activ::Linear))
        }
        Fused::ConvBackwardInput { .. } | Fused::ConvBackwardFilter { .. } => product,
        Fused::AvgPool(_) | Fused::AvgPoolBackward { .. } => Saves::NOTHING,
        Fused::Softmax { .. } | Fused::LogSoftmax { .. } => Saves::RESULT,
        Fused::BatchNorm { .. } | Fused::LayerNorm { .. } => {
            Saves::operands([0, 1]).and(Saves::results([1, 2]))
        }
        Fused::Embedding => Saves::operands([1]),
        Fused::ScaledDotProductAttention(_) => Saves::EVERY_OPERAND.and(Saves::results([0, 1])),
        Fused::SoftmaxCrossEntropy { .. } => Saves::EVERY_OPERAND,
        Fused::Lstm(_) => Saves::EVERY_OPERAND.and(Saves::results([0, 3, 4])),
        Fused::Gru { .. } => Saves::EVERY_OPERAND.and(Saves::results([0, 2])),
        Fused::ActivationBackward { .. }
        | Fused::SoftmaxBackward { .. }
        | Fused::LogSoftmaxBackward { .. }
        | Fused::BatchNormBackward { .. }
        | Fused::LayerNormBackward { .. }
        | Fused::LstmBackward(_)
        | Fused::GruBackward { .. }
        | Fused::EmbeddingBackward { .. }
        | Fused::ScaledDotProductAttentionBackward(_)
        | Fused::SoftmaxCrossEntropyBackward { .. }
        | Fused::Sgd { .. }
        | Fused::SgdMomentum { .. }
        | Fused::Adam { .. }
        | Fused::RmsProp { .. } => Saves::EVERY_OPERAND,
    }
}

pub(super) fn vjp(op: &Fused, saved: &Saved, cotangents: Cotangents, wanted: &[bool]) -> Result<Gradients> {
    let run =
        |op: Fused, operands: &[&Tensor]| Tensor::apply1(Op::Fused(op), operands.iter().map(|&t| t.clone()));
    let first = || cotangents.first().cloned().flatten();
    let Some(c) = first() else {
        return match op {
            Fused::BatchNorm { .. } | Fused::LayerNorm { .. } => {
                normalization(op, saved, &cotangents, wanted)
            }
            _ if cotangents.iter().all(Option::is_none) => Ok(no_gradients(wanted.len())),
            Fused::Lstm(_) | Fused::Gru { .. } => recurrent(op, saved, cotangents, wanted),
            Fused::ScaledDotProductAttention(_) => Ok(no_gradients(wanted.len())),
            _ => through_composition(op, saved, cotangents, wanted),
        };
    };
    Ok(match op {
        Fused::Dense { activation } => {
            let c = activated(*activation, saved, c)?;
            let x = || c.matmul(&saved.operand(1)?.swap_axes(0, 1)?);
            let kernel = || rows(saved.operand(0)?)?.swap_axes(0, 1)?.matmul(&rows(&c)?);
            let x = wanted[0].then(x).transpose()?;
            let kernel = wanted[1].then(kernel).transpose()?;
            smallvec![x, kernel, bias(c, saved, wanted)?]
        }
        Fused::ConvBias { spec, activation } => {
            let c = activated(*activation, saved, c)?;
            let x = || {
                let op = Fused::ConvBackwardInput { spec: spec.clone(), input: saved.spec(0)?.0.clone() };
                run(op, &[&c, saved.operand(1)?])
            };
            let filter = || {
                let op = Fused::ConvBackwardFilter { spec: spec.clone(), filter: saved.spec(1)?.0.clone() };
                run(op, &[saved.operand(0)?, &c])
            };
            let x = wanted[0].then(x).transpose()?;
            let filter = wanted[1].then(filter).transpose()?;
            smallvec![x, filter, bias(c, saved, wanted)?]
        }
        Fused::ConvBackwardInput { spec, .. } => {
            let g = || c.convolution(saved.operand(1)?, spec.clone());
            let filter = || {
                let op = Fused::ConvBackwardFilter { spec: spec.clone(), filter: saved.spec(1)?.0.clone() };
                run(op, &[&c, saved.operand(0)?])
            };
            smallvec![wanted[0].then(g).transpose()?, wanted[1].then(filter).transpose()?]
        }
        Fused::ConvBackwardFilter { spec, .. } => {
            let x = || {
                let op = Fused::ConvBackwardInput { spec: spec.clone(), input: saved.spec(0)?.0.clone() };
                run(op, &[saved.operand(1)?, &c])
            };
            let g = || saved.operand(0)?.convolution(&c, spec.clone());
            smallvec![wanted[0].then(x).transpose()?, wanted[1].then(g).transpose()?]
        }
        Fused::AvgPool(window) => {
            let op = Fused::AvgPoolBackward { window: window.clone(), input: saved.spec(0)?.0.clone() };
            smallvec![Some(run(op, &[&c])?)]
        }
        Fused::AvgPoolBackward { window, .. } => smallvec![Some(run(Fused::AvgPool(window.clone()), &[&c])?)],
        Fused::Softmax { axis } => {
            smallvec![Some(run(Fused::SoftmaxBackward { axis: *axis }, &[saved.result(0)?, &c])?)]
        }
        Fused::LogSoftmax { axis } => {
            smallvec![Some(run(Fused::LogSoftmaxBackward { axis: *axis }, &[saved.result(0)?, &c])?)]
        }
        Fused::BatchNorm { .. } | Fused::LayerNorm { .. } => normalization(op, saved, &cotangents, wanted)?,
        Fused::Lstm(_) | Fused::Gru { .. } => recurrent(op, saved, cotangents, wanted)?,
        Fused::Embedding => {
            let op = Fused::EmbeddingBackward { rows: saved.spec(0)?.0[0] };
            smallvec![Some(run(op, &[&c, saved.operand(1)?])?), None]
        }
        Fused::ScaledDotProductAttention(spec) => {
            let [query, key, value] = [0, 1, 2].map(|i| saved.operand(i));
            let [y, log_sums] = [0, 1].map(|i| saved.result(i));
            let mask = saved.operand(3).ok().filter(|_| spec.mask);
            let operands = [query?, key?, value?, y?, log_sums?, &c].into_iter().chain(mask).cloned();
            let op = Op::Fused(Fused::ScaledDotProductAttentionBackward(*spec));
            keep(Tensor::apply(op, operands)?, wanted)
        }
        Fused::SoftmaxCrossEntropy { sparse } => {
            let (logits, labels) = (saved.operand(0)?, saved.operand(1)?);
            let op = Fused::SoftmaxCrossEntropyBackward { sparse: *sparse };
            let to_logits = || run(op, &[logits, labels, &c]);
            let to_labels = || (-logits.log_softmax(-1)?)? * c.expand_dims(-1)?;
            let to_logits = wanted[0].then(to_logits).transpose()?;
            smallvec![to_logits, (wanted[1] && !sparse).then(to_labels).transpose()?]
        }
        Fused::ActivationBackward { .. }
        | Fused::SoftmaxBackward { .. }
        | Fused::LogSoftmaxBackward { .. }
        | Fused::BatchNormBackward { .. }
        | Fused::LayerNormBackward { .. }
        | Fused::LstmBackward(_)
        | Fused::GruBackward { .. }
        | Fused::EmbeddingBackward { .. }
        | Fused::ScaledDotProductAttentionBackward(_)
        | Fused::SoftmaxCrossEntropyBackward { .. }
        | Fused::Sgd { .. }
        | Fused::SgdMomentum { .. }
        | Fused::Adam { .. }
        | Fused::RmsProp { .. } => through_composition(op, saved, cotangents, wanted)?,
    })
}

fn activated(activation: Activ, saved: &Saved, c: Tensor) -> Result<Tensor> {
    match activation {
        Activ::Linear => Ok(c),
        _ => {
            Tensor::apply1(Op::Fused(Fused::ActivationBackward { activation }), [saved.result(0)?.clone(), c])
        }
    }
}

fn bias(c: Tensor, saved: &Saved, wanted: &[bool]) -> Result<Option<Tensor>> {
    wanted[2].then(|| sum_to(c, saved.spec(2)?.0)).transpose()
}

/// Batch and layer normalisation, whose mean and variance (or `rstd`) may have gradients of their own.
fn normalization(op: &Fused, saved: &Saved, cotangents: &Cotangents, wanted: &[bool]) -> Result<Gradients> {
    let (x, gamma) = (saved.operand(0)?, saved.operand(1)?);
    let (mean, spread) = (saved.result(1)?, saved.result(2)?);
    let cotangent = |i: usize| cotangents.get(i).and_then(Option::as_ref);
    let mut gradients = no_gradients(3);
    if let Some(c) = cotangent(0) {
        let backward = match op {
            Fused::LayerNorm { features, .. } => Fused::LayerNormBackward { features: *features },
            Fused::BatchNorm { axis, epsilon } => Fused::BatchNormBackward { axis: *axis, epsilon: *epsilon },
            _ => return through_composition(op, saved, cotangents.clone(), wanted),
        };
        let operands = [x, gamma, mean, spread, c].map(Tensor::clone);
        gradients = keep(Tensor::apply(Op::Fused(backward), operands)?, wanted);
    }
    if !wanted[0] {
        return Ok(gradients);
    }
    let aligned = |t: &Tensor| match op {
        Fused::BatchNorm { axis, .. } => per_channel(t, x.rank(), *axis),
        _ => per_row(t, x.rank()),
    };
    let n = (x.shape().size() / mean.shape().size().max(1)) as f64;
    if let Some(c) = cotangent(1) {
        add(&mut gradients[0], (aligned(c)? / n)?.broadcast_to(x.shape())?)?;
    }
    if let Some(c) = cotangent(2) {
        // The derivative of the variance is 2 (x - mean) / n; `rstd` is its power -1/2.
        let weight = match op {
            Fused::BatchNorm { .. } => (c * (2.0 / n))?,
            _ => (c * ((spread.square()? * spread)? * (-1.0 / n))?)?,
        };
        add(&mut gradients[0], ((x - aligned(mean)?)? * aligned(&weight)?)?)?;
    }
    Ok(gradients)
}

fn add(sum: &mut Option<Tensor>, more: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => (sum + more)?,
        None => more,
    });
    Ok(())
}

fn keep(gradients: SmallVec<[Tensor; 1]>, wanted: &[bool]) -> Gradients {
    let mut gradients = gradients.into_iter();
    wanted.iter().map(|&w| gradients.next().filter(|_| w)).collect()
}

fn recurrent(op: &Fused, saved: &Saved, cotangents: Cotangents, wanted: &[bool]) -> Result<Gradients> {
    let (states, backward) = match op {
        Fused::Lstm(rnn) => (2, Fused::LstmBackward(*rnn)),
        Fused::Gru { rnn, reset_after } => (1, Fused::GruBackward { rnn: *rnn, reset_after: *reset_after }),
        _ => return through_composition(op, saved, cotangents, wanted),
    };
    // The saved gates have no history from which a second derivative could be taken.
    if scope::decomposes() || cotangents.iter().skip(1 + states).any(Option::is_some) {
        return through_composition(op, saved, cotangents, wanted);
    }
    let outputs = saved.result(0)?;
    let (first_state, mask) = (4, 4 + states);
    let mut operands: Vec<Tensor> = [0, 1, 2]
        .into_iter()
        .chain(first_state..first_state + states)
        .map(|i| saved.operand(i).cloned())
        .collect::<Result<_>>()?;
    operands.push(outputs.clone());
    for i in 1 + states..1 + 2 * states {
        operands.push(saved.result(i)?.clone());
    }
    for i in 0..1 + states {
        let shape = if i == 0 { outputs.shape() } else { saved.spec(first_state)?.0 };
        operands.push(match cotangents.get(i).cloned().flatten() {
            Some(c) => c,
            None => zeros(shape, outputs.dtype(), outputs)?,
        });
    }
    operands.extend(saved.operand(mask).ok().cloned());
    Ok(keep(Tensor::apply(Op::Fused(backward), operands)?, wanted))
}

/// Differentiates the composition of `op`, which is run once more.
fn through_composition(
    op: &Fused,
    saved: &Saved,
    cotangents: Cotangents,
    wanted: &[bool],
) -> Result<Gradients> {
    let create_graph = scope::records();
    let operands = (0..wanted.len()).map(|i| saved.operand(i).cloned()).collect::<Result<Vec<_>>>()?;
    let differentiable = |i: usize| wanted[i] && operands[i].dtype().is_float();
    let run = || {
        // Fresh copies with the operands' history behind them, because one operand may depend on another.
        let copy = |(i, t): (usize, &Tensor)| match differentiable(i) {
            true => Tensor::apply1(Op::Reshape(t.shape().clone()), [t.clone()]),
            false => Ok(t.stop_gradient()),
        };
        let copies = operands.iter().enumerate().map(copy).collect::<Result<Vec<_>>>()?;
        let results = compose::compose(op, &copies)?;
        let (targets, seeds): (Vec<&Tensor>, Vec<Tensor>) =
            results.iter().zip(cotangents).filter_map(|(t, c)| c.map(|c| (t, c))).unzip();
        let sources: Vec<&Tensor> =
            copies.iter().enumerate().filter(|(i, _)| differentiable(*i)).map(|(_, t)| t).collect();
        gradients_with(&targets, &sources, &GradientOptions { cotangents: Some(seeds), create_graph })
    };
    let mut found = scope::recorded(|| scope::decomposed(run))?.into_iter();
    Ok((0..wanted.len()).map(|i| if differentiable(i) { found.next().flatten() } else { None }).collect())
}
