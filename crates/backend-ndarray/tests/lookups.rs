//! Embeddings, attention and cross-entropy: values against an independent statement of the mathematics, derivatives
//! against finite differences, and the kernels against the composition.

#[allow(dead_code, reason = "shared by several tests")]
mod support;

use keras_spec::op::Op;
use keras_spec::{AttentionSpec, Fused, Result, Tensor, scope};
use support::{assert_close, check, random, tape};

/// The first result, which is the one that has a gradient.
fn first(op: &Fused) -> impl Fn(&[Tensor]) -> Result<Vec<Tensor>> {
    let op = op.clone();
    move |x| Ok(Tensor::apply(Op::Fused(op.clone()), x.iter().cloned())?.into_iter().take(1).collect())
}

fn agrees_with_composition(op: &Fused, operands: &[Tensor]) {
    let f = first(op);
    let composed = |x: &[Tensor]| scope::decomposed(|| f(x));
    let what = format!("{op:?}");
    assert_close(&what, &f(operands).unwrap()[0], &composed(operands).unwrap()[0], 1e-12);
    let (found, expected) = (tape(&f, operands, false).unwrap(), tape(&composed, operands, false).unwrap());
    for (k, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(&format!("{what}: gradient {k}"), found, expected, 1e-11);
    }
}

fn new(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::new(shape, values.to_vec()).unwrap()
}

fn numbers(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::new(shape, values.to_vec()).unwrap()
}

#[test]
fn embedding() {
    let table = new(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let y = first(&Fused::Embedding)(&[table.clone(), numbers(&[5], &[2, 0, -1, 3, -4])]).unwrap();
    let nan = f64::NAN;
    assert_close("rows", &y[0], &new(&[5, 2], &[5.0, 6.0, 1.0, 2.0, 5.0, 6.0, nan, nan, nan, nan]), 0.0);
    agrees_with_composition(
        &Fused::Embedding,
        &[table.clone(), numbers(&[2, 2], &[1, -1, i32::MAX, i32::MIN])],
    );
    check("embedding", &first(&Fused::Embedding), &[table, numbers(&[2, 2], &[1, -1, 1, 0])]);
    let backward = Fused::EmbeddingBackward { rows: 4 };
    let g = random(1, &[3, 2], -1.0, 1.0);
    check("embedding_backward", &first(&backward), &[g, numbers(&[3], &[1, -1, 7])]);
}

/// Attention by the definition, for one head of one batch entry.
fn attend(q: &[f64], k: &[f64], v: &[f64], scale: f64, visible: &dyn Fn(usize, usize) -> bool) -> Vec<f64> {
    let (queries, keys) = (q.len() / 2, k.len() / 2);
    let mut out = Vec::new();
    for i in 0..queries {
        let alone = !(0..keys).any(|j| visible(i, j));
        let weight = |j: usize| match visible(i, j) {
            _ if alone => 1.0,
            true => (scale * (q[2 * i] * k[2 * j] + q[2 * i + 1] * k[2 * j + 1])).exp(),
            false => 0.0,
        };
        let sum: f64 = (0..keys).map(weight).sum();
        out.push((0..keys).map(|j| weight(j) * v[j]).sum::<f64>() / sum);
    }
    out
}

#[test]
fn attention_values() {
    let (q, k, v) = ([0.5, -1.0, 2.0, 0.25], [1.0, 0.0, -0.5, 1.5, 0.75, -2.0], [1.0, -2.0, 4.0]);
    // The second query may take from no key.
    let given = [true, false, true, false, false, false];
    for (causal, mask) in [(false, false), (true, false), (false, true), (true, true)] {
        let spec = AttentionSpec { scale: 0.7, causal, mask };
        let mut operands = vec![new(&[1, 2, 1, 2], &q), new(&[1, 3, 1, 2], &k), new(&[1, 3, 1, 1], &v)];
        if mask {
            operands.push(Tensor::new([1, 1, 2, 3], given.to_vec()).unwrap());
        }
        let visible = |i: usize, j: usize| (!causal || j <= i) && (!mask || given[3 * i + j]);
        let expected = new(&[1, 2, 1, 1], &attend(&q, &k, &v, 0.7, &visible));
        let op = Fused::ScaledDotProductAttention(spec);
        assert_close(&format!("{spec:?}"), &first(&op)(&operands).unwrap()[0], &expected, 1e-12);
    }
}

#[test]
fn attention_gradients() {
    let heads = |seed: u64, steps: usize, features: usize| random(seed, &[2, steps, 2, features], -1.0, 1.0);
    for (causal, mask) in [(false, false), (true, false), (false, true), (true, true)] {
        let op = Fused::ScaledDotProductAttention(AttentionSpec { scale: 0.7, causal, mask });
        let mut operands = vec![heads(1, 2, 2), heads(2, 3, 2), heads(3, 3, 1)];
        if mask {
            let given = vec![true, false, true, false, false, false];
            operands.push(Tensor::new([1, 1, 2, 3], given).unwrap());
        }
        check(&format!("{op:?}"), &first(&op), &operands);
    }
}

/// So many that tasks take only some of the queries.
#[test]
fn long_attention() {
    let heads = |seed: u64, steps: usize| random(seed, &[2, steps, 2, 3], -2.0, 2.0);
    for (causal, mask) in [(false, false), (true, false), (false, true)] {
        let op = Fused::ScaledDotProductAttention(AttentionSpec { scale: 0.7, causal, mask });
        let mut operands = vec![heads(1, 150), heads(2, 700), heads(3, 700)];
        if mask {
            let given: Vec<bool> = (0..2 * 700).map(|i| i % 3 == 0 && i > 700).collect();
            operands.push(Tensor::new([2, 1, 1, 700], given).unwrap());
        }
        agrees_with_composition(&op, &operands);
    }
}

#[test]
fn cross_entropy() {
    let logits = random(1, &[2, 2, 3], -3.0, 3.0);
    for (sparse, labels) in
        [(true, numbers(&[2, 2], &[2, 0, -1, 3])), (false, random(2, &[2, 2, 3], 0.0, 1.0))]
    {
        let op = Fused::SoftmaxCrossEntropy { sparse };
        check(&format!("{op:?}"), &first(&op), &[logits.clone(), labels.clone()]);
        agrees_with_composition(&op, &[logits.clone(), labels]);
    }
    let op = Fused::SoftmaxCrossEntropy { sparse: true };
    let y = first(&op)(&[new(&[2, 2], &[0.0, 0.0, 5.0, f64::NAN]), numbers(&[2], &[1, 2])]).unwrap();
    assert_close("loss", &y[0], &new(&[2], &[2f64.ln(), 0.0]), 1e-15);
}
