//! Fused operations: what a backend may do faster than their composition of required operations.

use crate::op::{ConvSpec, WindowSpec};
use crate::shape::Shape;

/// The activations that kernels know. Others are separate operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activ {
    /// `x`
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `tanh x`
    Tanh,
    /// `clip(x / 6 + 0.5, 0, 1)`: Keras 3's.
    HardSigmoid,
    /// `clip(0.2 · x + 0.5, 0, 1)`: that of Keras 1 and 2, and ONNX's by default.
    LegacyHardSigmoid,
}

/// What LSTM and GRU have in common.
///
/// `mask` says that a last operand `(batch, steps)` of dtype `bool` follows the others: where it is false the states
/// stay and the output is the state `h` that stayed (`h0` at first), or zero with `zero_output_for_mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RnnSpec {
    /// Of the candidate and the output.
    pub activation: Activ,
    /// Of the gates.
    pub recurrent_activation: Activ,
    /// Runs over the steps from the last to the first; outputs are in the order of computation.
    pub reverse: bool,
    /// Whether there is a mask operand.
    pub mask: bool,
    /// Outputs zeros at masked steps.
    pub zero_output_for_mask: bool,
}

/// What scaled dot-product attention and its gradient have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// The factor of the products of queries and keys.
    pub scale: f64,
    /// No query takes from a later key: query `i` takes from the keys up to and including `i`.
    pub causal: bool,
    /// Whether there is a last operand `(batch, heads, queries, keys)` of dtype `bool`, in which any axis may have
    /// length 1 instead: no query takes from a key where it is false. A query that may take from no key at all takes
    /// from all alike, and then neither queries nor keys have a gradient.
    pub mask: bool,
}

/// An operation with a composed default that a backend may override
/// ([`crate::Backend::fuses`], [`crate::Backend::fused`]).
///
/// Operands and results are listed as `operands → results`. Floats of one dtype throughout, unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fused {
    /// `x (…, in), kernel (in, units), bias (units,) → y (…, units)`: `activation(x · kernel + bias)`.
    Dense {
        /// Applied last.
        activation: Activ,
    },
    /// `y, gradient of y → gradient of x` of `y = activation(x)`: the gradient times the derivative, told from `y`. That of
    /// `relu` is 0 at 0, those of the hard sigmoids at both ends.
    ActivationBackward {
        /// What made `y`.
        activation: Activ,
    },
    /// `x, filter, bias (out,) → y`: [`crate::Backend::convolution`] with a bias and an activation.
    ConvBias {
        /// The convolution.
        spec: ConvSpec,
        /// Applied last.
        activation: Activ,
    },
    /// `gradient of y, filter → gradient of x`.
    ConvBackwardInput {
        /// The convolution.
        spec: ConvSpec,
        /// The shape of `x`.
        input: Shape,
    },
    /// `x, gradient of y → gradient of the filter`.
    ConvBackwardFilter {
        /// The convolution.
        spec: ConvSpec,
        /// The shape of the filter.
        filter: Shape,
    },
    /// `x → y`: the mean over windows; padding does not count.
    AvgPool(WindowSpec),
    /// `gradient of y → gradient of x`.
    AvgPoolBackward {
        /// The window.
        window: WindowSpec,
        /// The shape of `x`.
        input: Shape,
    },
    /// `x → y`: `e^x / Σ e^x` along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// `y, gradient of y → gradient of x`.
    SoftmaxBackward {
        /// The axis.
        axis: usize,
    },
    /// `x → y`: `x - ln Σ e^x` along an axis.
    LogSoftmax {
        /// The axis.
        axis: usize,
    },
    /// `y, gradient of y → gradient of x`.
    LogSoftmaxBackward {
        /// The axis.
        axis: usize,
    },
    /// `x, gamma (channels,), beta (channels,) → y, mean (channels,), variance (channels,)`: normalises over all axes
    /// but one; the variance is the biased one.
    BatchNorm {
        /// The axis of the channels.
        axis: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// `x, gamma, mean, variance, gradient of y → gradients of x, gamma, beta`.
    BatchNormBackward {
        /// The axis of the channels.
        axis: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// `x (rows…, features…), gamma (features…), beta (features…) → y, mean (rows…), rstd (rows…)`: normalises over
    /// the last `features` axes; `rstd` is `1 / sqrt(variance + epsilon)`.
    LayerNorm {
        /// How many trailing axes are normalised over.
        features: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// `x, gamma, mean, rstd, gradient of y → gradients of x, gamma, beta`.
    LayerNormBackward {
        /// How many trailing axes are normalised over.
        features: usize,
    },
    /// `x (batch, steps, features), kernel (features, 4u), recurrent kernel (u, 4u), bias (4u,), h0 (batch, u),
    /// c0 (batch, u) [, mask] → outputs (batch, steps, u), h, c, gates (batch, steps, 4u), cells (batch, steps, u)`.
    ///
    /// Gates are in Keras's order i, f, c, o and saved after their activation; `cells` are the cell states after
    /// each step; both in the order of computation.
    Lstm(RnnSpec),
    /// `x, kernel, recurrent kernel, h0, c0, outputs, gates, cells, gradients of outputs, h, c [, mask] → gradients of
    /// x, kernel, recurrent kernel, bias, h0, c0`.
    LstmBackward(RnnSpec),
    /// `x (batch, steps, features), kernel (features, 3u), recurrent kernel (u, 3u), bias (2, 3u) or (3u,) without
    /// reset_after, h0 (batch, u) [, mask] → outputs (batch, steps, u), h, gates (batch, steps, 4u)`.
    ///
    /// Gates are in Keras's order z, r, h, saved after their activation; the fourth block is the recurrent part of
    /// the candidate (`h · U_h + b` with `reset_after`, unspecified without).
    Gru {
        /// The common part.
        rnn: RnnSpec,
        /// Applies the reset gate after the recurrent product, as CuDNN does.
        reset_after: bool,
    },
    /// `x, kernel, recurrent kernel, h0, outputs, gates, gradients of outputs, h [, mask] → gradients of x, kernel,
    /// recurrent kernel, bias, h0`.
    GruBackward {
        /// The common part.
        rnn: RnnSpec,
        /// As in the forward operation.
        reset_after: bool,
    },
    /// `table (rows, features), indices (…) of int32 → y (…, features)`: a row for each index. A negative index counts
    /// from the end; where there is no such row, the result is NaN and the table has no gradient.
    Embedding,
    /// `gradient of y, indices → gradient of the table`.
    EmbeddingBackward {
        /// The number of rows.
        rows: usize,
    },
    /// `query (batch, queries, heads, features), key (batch, keys, heads, features), value (batch, keys, heads, values)
    /// [, mask] → y (batch, queries, heads, values), log_sums (batch, queries, heads)`: `softmax(scale · query · key) ·
    /// value`.
    ///
    /// `log_sums` is the logarithm of the sum of the exponentials of each query's scores, for the gradient to read
    /// (unspecified for a query that may take from no key). It has no gradient itself.
    ScaledDotProductAttention(AttentionSpec),
    /// `query, key, value, y, log_sums, gradient of y [, mask] → gradients of query, key, value`.
    ScaledDotProductAttentionBackward(AttentionSpec),
    /// `logits (…, classes), labels → loss (…)`: `-Σ labels · log_softmax(logits)`; labels have the logits' shape and
    /// dtype, or with `sparse` are the classes' numbers `(…)` of int32, which stand for 1 there and 0 elsewhere (0 times a
    /// logarithm of minus infinity is NaN, as in Keras). A number that is no class's gives 0, and its logits have no
    /// gradient.
    SoftmaxCrossEntropy {
        /// Whether labels are numbers of classes.
        sparse: bool,
    },
    /// `logits, labels, gradient of the loss → gradient of the logits`.
    SoftmaxCrossEntropyBackward {
        /// As in the forward operation.
        sparse: bool,
    },
    /// `variable, gradient → variable`: `variable - learning_rate · gradient`.
    Sgd {
        /// The step.
        learning_rate: f64,
        /// What share of the variable is taken away before the step: the weight decay times the learning rate, or 0.
        decay: f64,
    },
    /// `variable, gradient, m → variable, m`: Keras's SGD with momentum.
    SgdMomentum {
        /// The step.
        learning_rate: f64,
        /// How much of the last step is kept.
        momentum: f64,
        /// Looks ahead.
        nesterov: bool,
        /// What share of the variable is taken away before the step: the weight decay times the learning rate, or 0.
        decay: f64,
    },
    /// `variable, gradient, m, v → variable, m, v`: Keras's Adam; `alpha` is the bias-corrected step. With `amsgrad` the largest
    /// second moment so far is one more operand and result.
    Adam {
        /// `learning_rate · sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
        alpha: f64,
        /// The decay of the first moment.
        beta_1: f64,
        /// The decay of the second.
        beta_2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Whether the largest second moment so far is divided by, instead of the current one.
        amsgrad: bool,
        /// What share of the variable is taken away before the step: the weight decay times the learning rate, or 0.
        decay: f64,
    },
    /// `variable, gradient, v → variable, v`: Keras's RMSprop. With `momentum` the last change, and with `centered` the mean
    /// gradient, are further operands and results, in this order.
    RmsProp {
        /// The step.
        learning_rate: f64,
        /// The decay of the mean square, and of the mean.
        rho: f64,
        /// How much of the last change is kept.
        momentum: Option<f64>,
        /// Added before the root is taken.
        epsilon: f64,
        /// Whether the square of the mean is taken from the mean square.
        centered: bool,
        /// What share of the variable is taken away before the step: the weight decay times the learning rate, or 0.
        decay: f64,
    },
}

impl Fused {
    /// Whether this is an optimizer step, which [`crate::Backend::update`] runs in place.
    pub fn is_update(&self) -> bool {
        self.states().is_some()
    }

    /// How many operands an optimizer step has beside the variable and the gradient: what is kept from step to step. `None` for
    /// other operations.
    pub fn states(&self) -> Option<usize> {
        match self {
            Fused::Sgd { .. } => Some(0),
            Fused::SgdMomentum { .. } => Some(1),
            Fused::Adam { amsgrad, .. } => Some(2 + usize::from(*amsgrad)),
            Fused::RmsProp { momentum, centered, .. } => {
                Some(1 + usize::from(momentum.is_some()) + usize::from(*centered))
            }
            _ => None,
        }
    }

    /// The operation's name for messages and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Fused::Dense { .. } => "dense",
            Fused::ActivationBackward { .. } => "activation_backward",
            Fused::ConvBias { .. } => "conv_bias",
            Fused::ConvBackwardInput { .. } => "conv_backward_input",
            Fused::ConvBackwardFilter { .. } => "conv_backward_filter",
            Fused::AvgPool(_) => "avg_pool",
            Fused::AvgPoolBackward { .. } => "avg_pool_backward",
            Fused::Softmax { .. } => "softmax",
            Fused::SoftmaxBackward { .. } => "softmax_backward",
            Fused::LogSoftmax { .. } => "log_softmax",
            Fused::LogSoftmaxBackward { .. } => "log_softmax_backward",
            Fused::BatchNorm { .. } => "batch_norm",
            Fused::BatchNormBackward { .. } => "batch_norm_backward",
            Fused::LayerNorm { .. } => "layer_norm",
            Fused::LayerNormBackward { .. } => "layer_norm_backward",
            Fused::Lstm(_) => "lstm",
            Fused::LstmBackward(_) => "lstm_backward",
            Fused::Gru { .. } => "gru",
            Fused::GruBackward { .. } => "gru_backward",
            Fused::Embedding => "embedding",
            Fused::EmbeddingBackward { .. } => "embedding_backward",
            Fused::ScaledDotProductAttention(_) => "scaled_dot_product_attention",
            Fused::ScaledDotProductAttentionBackward(_) => "scaled_dot_product_attention_backward",
            Fused::SoftmaxCrossEntropy { .. } => "softmax_cross_entropy",
            Fused::SoftmaxCrossEntropyBackward { .. } => "softmax_cross_entropy_backward",
            Fused::Sgd { .. } => "sgd",
            Fused::SgdMomentum { .. } => "sgd_momentum",
            Fused::Adam { .. } => "adam",
            Fused::RmsProp { .. } => "rms_prop",
        }
    }
}
