//! What of this project is timed forward and with its gradients, on whichever backend is the default.

use keras::activations::Activation;
use keras::layers::{
    AveragePooling2D, BatchNormalization, Conv2D, Dense, DepthwiseConv2D, Embedding, GRU, LSTM,
    LayerNormalization, MaxPooling2D, MultiHeadAttention, Padding, Softmax,
};
use keras_spec::op::Op;
use keras_spec::{
    AttentionSpec, Call, Fused, LayerRef, Result, Tensor, Variable, gradients as gradients_of, scope,
};

use crate::tensor;

type Function = dyn Fn(&[Tensor]) -> Result<Tensor>;

/// A function of tensors and its weights.
pub struct Work {
    function: Box<Function>,
    x: Vec<Tensor>,
    weights: Vec<Variable>,
}

impl Work {
    /// Gradients are those of the float tensors of `x`.
    pub fn new(x: Vec<Tensor>, function: impl Fn(&[Tensor]) -> Result<Tensor> + 'static) -> Self {
        Work { function: Box::new(function), x, weights: Vec::new() }
    }

    /// A layer in training, which is built here. Gradients are those of its weights and of the float tensors of `x`.
    pub fn layer(layer: impl Into<LayerRef>, x: Vec<Tensor>) -> Self {
        let layer = layer.into();
        let (called, call) = (layer.clone(), Call::training());
        let mut work = Work::new(x, move |x| Ok(called.call(x, &call)?.tensors.swap_remove(0)));
        work.forward();
        work.weights = layer.trainable_weights();
        work
    }

    /// The result alone.
    pub fn forward(&self) -> Tensor {
        (self.function)(&self.x).unwrap()
    }

    /// The result, recorded, and the gradients.
    pub fn gradients(&self) -> Vec<Option<Tensor>> {
        scope::recorded(|| {
            let watch = |x: &Tensor| if x.dtype().is_float() { x.watch() } else { x.clone() };
            let x: Vec<Tensor> = self.x.iter().map(watch).collect();
            let y = (self.function)(&x).unwrap();
            let weights: Vec<Tensor> = self.weights.iter().map(Variable::watched).collect();
            let sources: Vec<&Tensor> = x.iter().filter(|x| x.dtype().is_float()).chain(&weights).collect();
            gradients_of(&[&y], &sources).unwrap()
        })
    }
}

/// `rows` numbers below `classes`.
pub fn labels<const N: usize>(shape: [usize; N], classes: usize) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::new(shape, (0..count).map(|i| (i * 7919 % classes) as i32).collect::<Vec<_>>()).unwrap()
}

/// Scaled dot-product attention over `(batch, steps, heads, features)`.
pub fn attention([batch, steps, heads, features]: [usize; 4], causal: bool) -> Work {
    let spec = AttentionSpec { scale: (features as f64).sqrt().recip(), causal, mask: false };
    let x = vec![tensor([batch, steps, heads, features]); 3];
    Work::new(x, move |x| {
        let mut results =
            Tensor::apply(Op::Fused(Fused::ScaledDotProductAttention(spec)), x.iter().cloned())?;
        Ok(results.swap_remove(0))
    })
}

/// Cross-entropy of scores `(rows, classes)` and the numbers of classes.
pub fn cross_entropy([rows, classes]: [usize; 2]) -> Work {
    Work::new(vec![tensor([rows, classes]), labels([rows], classes)], |x| {
        let mut results =
            Tensor::apply(Op::Fused(Fused::SoftmaxCrossEntropy { sparse: true }), x.iter().cloned())?;
        Ok(results.swap_remove(0))
    })
}

/// Rows of a table `(words, features)` for indices `(batch, steps)`.
pub fn embedding([words, features]: [usize; 2], indices: [usize; 2]) -> Work {
    Work::layer(Embedding::new(words, features), vec![labels(indices, words)])
}

/// What is fused since its composition is slow, and is no layer that is compared elsewhere.
pub fn fused() -> Vec<(&'static str, Work)> {
    vec![
        ("attention, 4×128×8×64", attention([4, 128, 8, 64], false)),
        ("causal attention, 1×1024×8×64", attention([1, 1024, 8, 64], true)),
        ("cross-entropy, 512×1000", cross_entropy([512, 1000])),
        ("embedding, 10000×64, batch 32×50", embedding([10_000, 64], [32, 50])),
    ]
}

/// A layer of each kind.
pub fn layers() -> Vec<(&'static str, Work)> {
    let same = |filters, window| Conv2D::new(filters, window).padding(Padding::Same);
    let image = |batch, size, channels| vec![tensor([batch, size, size, channels])];
    vec![
        ("conv 3×3, 64→64, 56×56, batch 8", Work::layer(same(64, 3), image(8, 56, 64))),
        ("conv 1×1, 256→64, 56×56, batch 1", Work::layer(same(64, 1), image(1, 56, 256))),
        ("conv 3×3, 512→512, 7×7, batch 1", Work::layer(same(512, 3), image(1, 7, 512))),
        ("conv 7×7, 3→64, 224×224, stride 2, batch 1", Work::layer(same(64, 7).strides(2), image(1, 224, 3))),
        (
            "depthwise 3×3, 64, 56×56, batch 8",
            Work::layer(DepthwiseConv2D::new(3).padding(Padding::Same), image(8, 56, 64)),
        ),
        ("max pooling 2×2, 8×56×56×64", Work::layer(MaxPooling2D::new(2), image(8, 56, 64))),
        ("average pooling 2×2, 8×56×56×64", Work::layer(AveragePooling2D::new(2), image(8, 56, 64))),
        ("batch norm, 8×56×56×64", Work::layer(BatchNormalization::new(), image(8, 56, 64))),
        ("layer norm, 512×768", Work::layer(LayerNormalization::new(), vec![tensor([512, 768])])),
        ("softmax, 512×768", Work::layer(Softmax::new(), vec![tensor([512, 768])])),
        (
            "dense 784→256, relu, batch 64",
            Work::layer(Dense::new(256).activation(Activation::Relu), vec![tensor([64, 784])]),
        ),
        ("dense 1024→1024, batch 1024", Work::layer(Dense::new(1024), vec![tensor([1024, 1024])])),
        (
            "LSTM, 50 steps, 64→128, batch 32",
            Work::layer(LSTM::new(128).return_sequences(true), vec![tensor([32, 50, 64])]),
        ),
        (
            "GRU, 50 steps, 64→128, batch 32",
            Work::layer(GRU::new(128).return_sequences(true), vec![tensor([32, 50, 64])]),
        ),
        (
            "multi-head attention, 8 heads of 64, 4×128×512",
            Work::layer(MultiHeadAttention::new(8, 64), vec![tensor([4, 128, 512]); 2]),
        ),
    ]
}

/// What is timed without gradients, over a million elements and more.
pub fn elementwise() -> Vec<(&'static str, Work)> {
    let square = || tensor([1024, 1024]);
    let cube = || vec![tensor([64, 128, 256])];
    vec![
        ("a + b, 1024×1024", Work::new(vec![square(), square()], |x| &x[0] + &x[1])),
        ("a + row, 1024×1024", Work::new(vec![square(), tensor([1024])], |x| &x[0] + &x[1])),
        ("exp, 1024×1024", Work::new(vec![square()], |x| x[0].exp())),
        ("tanh, 1024×1024", Work::new(vec![square()], |x| x[0].tanh())),
        (
            "transpose, then + b, 1024×1024",
            Work::new(vec![square(), square()], |x| x[0].permute(&[1, 0])? + &x[1]),
        ),
        ("sum over the first axis, 64×128×256", Work::new(cube(), |x| x[0].sum(&[0], false))),
        ("sum over the last axis, 64×128×256", Work::new(cube(), |x| x[0].sum(&[2], false))),
        ("max over the last axis, 64×128×256", Work::new(cube(), |x| x[0].max(&[2], false))),
        ("matmul 1024³", Work::new(vec![square(), square()], |x| x[0].matmul(&x[1]))),
        (
            "matmul 4096×64 · 64×64",
            Work::new(vec![tensor([4096, 64]), tensor([64, 64])], |x| x[0].matmul(&x[1])),
        ),
        ("matmul 1×1024 · 1024×1024", Work::new(vec![tensor([1, 1024]), square()], |x| x[0].matmul(&x[1]))),
        ("a + b, one element", Work::new(vec![tensor([1]), tensor([1])], |x| &x[0] + &x[1])),
    ]
}
