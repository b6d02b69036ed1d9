//! Generated instances of fused operations.

use keras_spec::{Activ, AttentionSpec, DType, Fused, HostTensor, RnnSpec, Shape};

use super::contraction::convolution;
use super::reduction::windows;
use super::with_axis;
use crate::properties::draw::Draw;
use crate::properties::values::{Pool, indices, shape, some_dim, tensor};

/// A fused operation with its operands.
pub(crate) struct FusedInstance {
    pub(crate) op: Fused,
    pub(crate) operands: Vec<HostTensor>,
    /// How many results are specified; those behind are what the backward operation reads.
    pub(crate) results: usize,
    /// The operations that its gradient may use.
    pub(crate) backward: Vec<Fused>,
}

/// A fused operation that is tested by itself.
pub(crate) struct FusedFamily {
    pub(crate) name: &'static str,
    /// Whether it has gradients of its own; steps of optimizers have not.
    pub(crate) differentiable: bool,
    pub(crate) make: fn(&mut Draw<'_>, DType) -> FusedInstance,
}

/// Every fused operation but the backward ones, which run as their gradients.
pub(crate) const FUSED: [FusedFamily; 16] = [
    FusedFamily { name: "dense", differentiable: true, make: dense },
    FusedFamily { name: "conv_bias", differentiable: true, make: conv_bias },
    FusedFamily { name: "avg_pool", differentiable: true, make: avg_pool },
    FusedFamily { name: "softmax", differentiable: true, make: softmax },
    FusedFamily { name: "log_softmax", differentiable: true, make: log_softmax },
    FusedFamily { name: "batch_norm", differentiable: true, make: batch_norm },
    FusedFamily { name: "layer_norm", differentiable: true, make: layer_norm },
    FusedFamily { name: "lstm", differentiable: true, make: lstm },
    FusedFamily { name: "gru", differentiable: true, make: gru },
    FusedFamily { name: "embedding", differentiable: true, make: embedding },
    FusedFamily { name: "scaled_dot_product_attention", differentiable: true, make: attention },
    FusedFamily { name: "softmax_cross_entropy", differentiable: true, make: cross_entropy },
    FusedFamily { name: "sgd", differentiable: false, make: sgd },
    FusedFamily { name: "sgd_momentum", differentiable: false, make: sgd_momentum },
    FusedFamily { name: "adam", differentiable: false, make: adam },
    FusedFamily { name: "rms_prop", differentiable: false, make: rms_prop },
];

fn unit(draw: &mut Draw<'_>, shape: impl Into<Shape>, dtype: DType) -> HostTensor {
    tensor(draw, &shape.into(), dtype, Pool::Unit)
}

fn bias(draw: &mut Draw<'_>, shape: impl Into<Shape>, dtype: DType) -> HostTensor {
    tensor(draw, &shape.into(), dtype, Pool::Between)
}

fn activation(draw: &mut Draw<'_>) -> Activ {
    use Activ::{HardSigmoid, LegacyHardSigmoid, Linear, Relu, Sigmoid, Tanh};
    draw.pick(&[Linear, Relu, Sigmoid, Tanh, HardSigmoid, LegacyHardSigmoid])
}

fn dense(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let lead = shape(draw, 0, 2);
    let (inputs, units) = (some_dim(draw), draw.pick(&[2, 1, 3, 5, 17]));
    let x: Shape = lead.iter().copied().chain([inputs]).collect();
    let operands = vec![unit(draw, x, dtype), unit(draw, [inputs, units], dtype), bias(draw, [units], dtype)];
    let activation = activation(draw);
    let backward = vec![Fused::ActivationBackward { activation }];
    FusedInstance { op: Fused::Dense { activation }, operands, results: 1, backward }
}

fn conv_bias(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (x, filter, spec) = convolution(draw);
    let operands = vec![
        unit(draw, x.clone(), dtype),
        unit(draw, filter.clone(), dtype),
        bias(draw, [filter[filter.rank() - 1]], dtype),
    ];
    let activation = activation(draw);
    let backward = vec![
        Fused::ActivationBackward { activation },
        Fused::ConvBackwardInput { spec: spec.clone(), input: x },
        Fused::ConvBackwardFilter { spec: spec.clone(), filter },
    ];
    FusedInstance { op: Fused::ConvBias { spec, activation }, operands, results: 1, backward }
}

fn avg_pool(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (x, window) = windows(draw);
    let operands = vec![unit(draw, x.clone(), dtype)];
    let backward = vec![Fused::AvgPoolBackward { window: window.clone(), input: x }];
    FusedInstance { op: Fused::AvgPool(window), operands, results: 1, backward }
}

fn softmax(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (x, axis) = with_axis(draw, 1, 4);
    let operands = vec![tensor(draw, &x, dtype, Pool::Finite)];
    let backward = vec![Fused::SoftmaxBackward { axis }];
    FusedInstance { op: Fused::Softmax { axis }, operands, results: 1, backward }
}

fn log_softmax(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (x, axis) = with_axis(draw, 1, 4);
    let operands = vec![tensor(draw, &x, dtype, Pool::Finite)];
    let backward = vec![Fused::LogSoftmaxBackward { axis }];
    FusedInstance { op: Fused::LogSoftmax { axis }, operands, results: 1, backward }
}

fn batch_norm(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let rank = 2 + draw.below(3);
    let x: Shape = (0..rank).map(|_| some_dim(draw)).collect();
    let axis = draw.below(rank);
    let operands =
        vec![unit(draw, x.clone(), dtype), unit(draw, [x[axis]], dtype), unit(draw, [x[axis]], dtype)];
    // A large epsilon: where the variance is 0, a small one makes rounding errors large.
    let epsilon = 0.125;
    let backward = vec![Fused::BatchNormBackward { axis, epsilon }];
    FusedInstance { op: Fused::BatchNorm { axis, epsilon }, operands, results: 3, backward }
}

fn layer_norm(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let rank = 1 + draw.below(4);
    let x: Shape = (0..rank).map(|_| some_dim(draw)).collect();
    let features = 1 + draw.below(rank);
    let per_feature = Shape::from(&x[rank - features..]);
    let operands = vec![
        unit(draw, x.clone(), dtype),
        unit(draw, per_feature.clone(), dtype),
        unit(draw, per_feature, dtype),
    ];
    let backward = vec![Fused::LayerNormBackward { features }];
    FusedInstance { op: Fused::LayerNorm { features, epsilon: 0.125 }, operands, results: 3, backward }
}

fn rnn(draw: &mut Draw<'_>) -> RnnSpec {
    RnnSpec {
        activation: draw.pick(&[Activ::Tanh, Activ::Linear, Activ::Relu, Activ::Sigmoid]),
        recurrent_activation: draw.pick(&[Activ::Sigmoid, Activ::HardSigmoid]),
        reverse: draw.chance(),
        mask: draw.chance(),
        zero_output_for_mask: draw.chance(),
    }
}

/// `x`, kernel, recurrent kernel, bias, states, mask.
fn recurrent(
    draw: &mut Draw<'_>,
    dtype: DType,
    gates: usize,
    rnn: RnnSpec,
    bias_of: impl Fn(usize) -> Shape,
    states: usize,
) -> Vec<HostTensor> {
    let [batch, steps, features] = [0; 3].map(|_| some_dim(draw));
    let units = draw.pick(&[2, 1, 3, 9]);
    let shapes = [
        Shape::from([batch, steps, features]),
        Shape::from([features, gates * units]),
        Shape::from([units, gates * units]),
    ];
    let mut operands: Vec<HostTensor> = shapes.into_iter().map(|s| unit(draw, s, dtype)).collect();
    operands.push(bias(draw, bias_of(units), dtype));
    for _ in 0..states {
        operands.push(unit(draw, [batch, units], dtype));
    }
    if rnn.mask {
        operands.push(unit(draw, [batch, steps], DType::Bool));
    }
    operands
}

fn lstm(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let rnn = rnn(draw);
    let operands = recurrent(draw, dtype, 4, rnn, |u| [4 * u].into(), 2);
    let backward = vec![Fused::LstmBackward(rnn)];
    FusedInstance { op: Fused::Lstm(rnn), operands, results: 3, backward }
}

fn gru(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (rnn, reset_after) = (rnn(draw), draw.chance());
    let bias = |u: usize| if reset_after { [2, 3 * u].into() } else { [3 * u].into() };
    let operands = recurrent(draw, dtype, 3, rnn, bias, 1);
    let backward = vec![Fused::GruBackward { rnn, reset_after }];
    FusedInstance { op: Fused::Gru { rnn, reset_after }, operands, results: 2, backward }
}

fn embedding(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (rows, features, places) = (some_dim(draw), some_dim(draw), shape(draw, 0, 2));
    // Some from the end, some that mean no row.
    let beyond = rows as i32 + 1;
    let operands = vec![unit(draw, [rows, features], dtype), indices(draw, &places, -beyond, beyond)];
    let backward = vec![Fused::EmbeddingBackward { rows }];
    FusedInstance { op: Fused::Embedding, operands, results: 1, backward }
}

fn attention(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let [batch, queries, heads, features, values] = [0; 5].map(|_| some_dim(draw));
    // More than the widest vector registers hold.
    let keys = draw.pick(&[2, 1, 3, 4, 37]);
    let spec = AttentionSpec { scale: 0.75, causal: draw.chance(), mask: draw.chance() };
    let mut operands = vec![
        unit(draw, [batch, queries, heads, features], dtype),
        unit(draw, [batch, keys, heads, features], dtype),
        unit(draw, [batch, keys, heads, values], dtype),
    ];
    if spec.mask {
        let length = |draw: &mut Draw<'_>, n: usize| if draw.chance() { n } else { 1 };
        let of_mask = [batch, heads, queries, keys].map(|n| length(draw, n));
        operands.push(unit(draw, of_mask, DType::Bool));
    }
    let backward = vec![Fused::ScaledDotProductAttentionBackward(spec)];
    FusedInstance { op: Fused::ScaledDotProductAttention(spec), operands, results: 1, backward }
}

fn cross_entropy(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (lead, classes, sparse) = (shape(draw, 0, 2), draw.pick(&[2, 1, 3, 37]), draw.chance());
    let of_logits: Shape = lead.iter().copied().chain([classes]).collect();
    let labels = match sparse {
        true => indices(draw, &lead, -1, classes as i32 + 1),
        false => unit(draw, of_logits.clone(), dtype),
    };
    let operands = vec![tensor(draw, &of_logits, dtype, Pool::Finite), labels];
    let backward = vec![Fused::SoftmaxCrossEntropyBackward { sparse }];
    FusedInstance { op: Fused::SoftmaxCrossEntropy { sparse }, operands, results: 1, backward }
}

/// `count` operands of one shape.
fn step(draw: &mut Draw<'_>, dtype: DType, count: usize) -> Vec<HostTensor> {
    let s = shape(draw, 0, 3);
    (0..count).map(|_| unit(draw, s.clone(), dtype)).collect()
}

/// No decay, or some.
fn decay(draw: &mut Draw<'_>) -> f64 {
    draw.pick(&[0.0, 0.0625])
}

/// `x²`
fn squared(x: &HostTensor) -> HostTensor {
    let squares = x.to_f64_vec().iter().map(|x| x * x).collect();
    HostTensor::new::<f64>(x.shape().clone(), squares).map_or_else(|_| x.clone(), |y| y.cast(x.dtype()))
}

fn sgd(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let op = Fused::Sgd { learning_rate: 0.125, decay: decay(draw) };
    FusedInstance { op, operands: step(draw, dtype, 2), results: 1, backward: vec![] }
}

fn sgd_momentum(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (nesterov, decay) = (draw.chance(), decay(draw));
    let op = Fused::SgdMomentum { learning_rate: 0.125, momentum: 0.75, nesterov, decay };
    FusedInstance { op, operands: step(draw, dtype, 3), results: 2, backward: vec![] }
}

fn adam(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (amsgrad, decay) = (draw.chance(), decay(draw));
    let op = Fused::Adam { alpha: 0.125, beta_1: 0.75, beta_2: 0.875, epsilon: 0.0625, amsgrad, decay };
    let mut operands = step(draw, dtype, 3 + usize::from(amsgrad));
    // Second moments are no less than zero.
    operands.insert(3, squared(&operands[1]));
    if let Some(largest) = operands.get_mut(4) {
        *largest = squared(largest);
    }
    FusedInstance { results: operands.len() - 1, op, operands, backward: vec![] }
}

fn rms_prop(draw: &mut Draw<'_>, dtype: DType) -> FusedInstance {
    let (momentum, centered, decay) = (draw.chance().then_some(0.75), draw.chance(), decay(draw));
    let op = Fused::RmsProp { learning_rate: 0.125, rho: 0.75, momentum, epsilon: 0.0625, centered, decay };
    let mut operands = step(draw, dtype, 2 + usize::from(momentum.is_some()) + usize::from(centered));
    // The mean square is no less than the square of the mean, which is the last operand if there is one.
    operands.insert(2, squared(&operands[operands.len() - 1]));
    FusedInstance { results: operands.len() - 1, op, operands, backward: vec![] }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keras_spec::layer::to_snake_case;

    use super::*;
    use crate::properties::draw::samples;
    use crate::properties::generate::families;

    /// The variants of an enum of the contracts.
    fn variants(source: &str, name: &str) -> BTreeSet<String> {
        let file = syn::parse_file(source).unwrap();
        let found = file.items.into_iter().find_map(|item| match item {
            syn::Item::Enum(e) if e.ident == name => Some(e.variants),
            _ => None,
        });
        found.unwrap().iter().map(|v| to_snake_case(&v.ident.to_string())).collect()
    }

    #[test]
    fn every_fused_operation_has_a_generator() {
        let mut made = BTreeSet::new();
        for family in FUSED {
            for instance in samples(family.name, 4, |draw| (family.make)(draw, DType::F32)) {
                assert_eq!(instance.op.name(), family.name);
                made.insert(instance.op.name().to_owned());
                made.extend(instance.backward.iter().map(|op| op.name().to_owned()));
            }
        }
        assert_eq!(made, variants(include_str!("../../../../crates/keras-spec/src/fused.rs"), "Fused"));
    }

    #[test]
    fn every_required_operation_has_a_generator() {
        let method = |name: &str| name.split('/').next().unwrap_or(name).to_owned();
        let mut made: BTreeSet<String> = families().iter().map(|f| method(&f.name)).collect();
        made.insert("fused".to_owned());
        let wanted = variants(include_str!("../../../../crates/keras-spec/src/op.rs"), "Op");
        let wanted = wanted.iter().map(|v| v.replace("mat_mul", "matmul").replace("arg_sort", "argsort"));
        assert_eq!(made, wanted.collect());
    }
}
