//! Operations as data: one enum per family, so that a backend matches on a few enums instead of implementing hundreds
//! of functions, the tape can replay them, and shapes are inferred in one place.

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::fused::Fused;
use crate::shape::Shape;

/// A short list of axes or per-axis numbers.
pub type Dims = SmallVec<[usize; 6]>;

/// Element-wise functions of one operand. Floats unless said otherwise; the result has the operand's dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnaryOp {
    /// `-x`; integers wrap.
    Neg,
    /// `|x|`; integers too.
    Abs,
    /// -1, 0 or 1; NaN stays NaN; integers too.
    Sign,
    /// Rounds towards positive infinity.
    Ceil,
    /// Rounds towards negative infinity.
    Floor,
    /// Rounds to the nearest integer, ties to even.
    Round,
    /// `e^x`
    Exp,
    /// `e^x - 1`, accurate near zero.
    Expm1,
    /// Natural logarithm.
    Log,
    /// `ln(1 + x)`, accurate near zero.
    Log1p,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`
    Rsqrt,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Tangent.
    Tan,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// Error function.
    Erf,
    /// Inverse of the error function, infinite at ±1; see [`erf_inv`](crate::random::erf_inv).
    ErfInv,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `ln(1 + e^x)` without overflow.
    Softplus,
    /// `max(x, 0)`, NaN for NaN; integers too.
    Relu,
    /// `!x` for `bool`, bit-wise complement for integers. Not for floats.
    Not,
}

impl UnaryOp {
    /// Every function.
    pub const ALL: [UnaryOp; 30] = {
        use UnaryOp::*;
        [
            Neg, Abs, Sign, Ceil, Floor, Round, Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Sin, Cos, Tan, Asin,
            Acos, Atan, Sinh, Cosh, Tanh, Asinh, Acosh, Atanh, Erf, ErfInv, Sigmoid, Softplus, Relu, Not,
        ]
    };

    /// Whether a backend has to do it for `dtype`.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Relu => dtype != DType::Bool,
            UnaryOp::Ceil | UnaryOp::Floor | UnaryOp::Round => dtype != DType::Bool,
            UnaryOp::Not => !dtype.is_float(),
            _ => dtype.is_float(),
        }
    }
}

/// Element-wise functions of two operands of one dtype, which is the result's too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinaryOp {
    /// `a + b`; integers wrap.
    Add,
    /// `a - b`; integers wrap.
    Sub,
    /// `a * b`; integers wrap.
    Mul,
    /// `a / b`. Floats only: Keras divides integers as floats.
    Div,
    /// `floor(a / b)`, computed from the remainder as Python does (so `1 // 0.1` is 9); `a / b` where `b` is 0. Integers
    /// too (0 where `b` is 0; the least one divided by -1 wraps).
    FloorDiv,
    /// `a - floor(a / b) * b`, Python's `%`; integers too (0 where `b` is 0).
    Mod,
    /// `a` to the power `b`; integers too (a negative exponent gives 0, or ±1 for the base ±1).
    Pow,
    /// The larger; NaN if either is; `bool` too.
    Max,
    /// The smaller; NaN if either is; `bool` too.
    Min,
    /// The angle of the point `(b, a)`. Floats only.
    Atan2,
    /// Logical and for `bool`, bit-wise for integers.
    And,
    /// Logical or for `bool`, bit-wise for integers.
    Or,
    /// Exclusive or, likewise.
    Xor,
}

impl BinaryOp {
    /// Every function.
    pub const ALL: [BinaryOp; 13] = {
        use BinaryOp::*;
        [Add, Sub, Mul, Div, FloorDiv, Mod, Pow, Max, Min, Atan2, And, Or, Xor]
    };

    /// Whether a backend has to do it for `dtype`.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            BinaryOp::Div | BinaryOp::Atan2 => dtype.is_float(),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => !dtype.is_float(),
            BinaryOp::Max | BinaryOp::Min => true,
            _ => dtype != DType::Bool,
        }
    }
}

/// Comparisons of two operands of one dtype; the result is `bool`. NaN is unequal to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompareOp {
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// `a > b`
    Gt,
    /// `a >= b`
    Ge,
}

/// How many elements become one, in reductions, windows and scans. The result has the operand's dtype; float16 and
/// bfloat16 accumulate in float32 or wider; integers wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceOp {
    /// The sum; 0 of nothing. Not for `bool`.
    Sum,
    /// The product; 1 of nothing. Not for `bool`.
    Prod,
    /// The largest; NaN if any is; "any" for `bool`. Of nothing: negative infinity or the dtype's least.
    Max,
    /// The smallest; NaN if any is; "all" for `bool`. Of nothing: infinity or the dtype's greatest.
    Min,
}

/// What an arg-reduction looks for; the first one wins, and NaN is before everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArgReduceOp {
    /// The index of the largest element.
    Max,
    /// The index of the smallest element.
    Min,
}

/// How updates meet what is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScatterOp {
    /// Replaces; the last of several updates to one place stays.
    Set,
    /// Adds; not for `bool`. Half precisions accumulate as in [`ReduceOp`].
    Add,
    /// Keeps the larger; NaN if either is.
    Max,
    /// Keeps the smaller; NaN if either is.
    Min,
}

/// The parameters of an N-d convolution, in the terms of XLA's `conv_general_dilated`.
///
/// Operands are channels-last: input `(batch, spatial…, in)`, filter `(window…, in / groups, out)`, output
/// `(batch, spatial…, out)`. All lists have one entry per spatial dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// Steps of the window.
    pub strides: Dims,
    /// Zeros before and after each dimension; negative numbers crop.
    pub padding: SmallVec<[(isize, isize); 3]>,
    /// 1 + the zeros between the elements of the input (a transposed convolution's stride).
    pub input_dilation: Dims,
    /// 1 + the zeros between the elements of the filter (Keras's `dilation_rate`).
    pub filter_dilation: Dims,
    /// The groups that channels are divided into.
    pub groups: usize,
}

impl ConvSpec {
    /// Stride 1, no padding, no dilation, one group, over `spatial` dimensions.
    pub fn new(spatial: usize) -> Self {
        ConvSpec {
            strides: Dims::from_elem(1, spatial),
            padding: SmallVec::from_elem((0, 0), spatial),
            input_dilation: Dims::from_elem(1, spatial),
            filter_dilation: Dims::from_elem(1, spatial),
            groups: 1,
        }
    }

    /// The shape `(batch, spatial…, out)` of the output for an input and a filter that fit.
    pub fn output_shape(&self, input: &Shape, filter: &Shape) -> Shape {
        let last = self.strides.len() + 1;
        let spatial = (0..self.strides.len()).map(|i| {
            let (low, high) = self.padding[i];
            let length = isize::try_from(dilated(input[i + 1], self.input_dilation[i])).unwrap_or(isize::MAX);
            let padded = length.saturating_add(low).saturating_add(high);
            steps(padded.max(0) as usize, dilated(filter[i], self.filter_dilation[i]), self.strides[i])
        });
        [input[0]].into_iter().chain(spatial).chain([filter[last]]).collect()
    }
}

/// A window that slides over the spatial dimensions of a channels-last operand `(batch, spatial…, channels)`.
/// All lists have one entry per spatial dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// The window's size.
    pub size: Dims,
    /// Its steps.
    pub strides: Dims,
    /// Neutral elements before and after each dimension.
    pub padding: SmallVec<[(usize, usize); 3]>,
}

impl WindowSpec {
    /// The shape `(batch, windows…, channels)` of what is made of an input that fits.
    pub fn output_shape(&self, input: &Shape) -> Shape {
        let last = self.size.len() + 1;
        let windows = (0..self.size.len()).map(|i| {
            let (low, high) = self.padding[i];
            steps(input[i + 1].saturating_add(low).saturating_add(high), self.size[i], self.strides[i])
        });
        [input[0]].into_iter().chain(windows).chain([input[last]]).collect()
    }
}

/// The length of `n` elements with `dilation - 1` others between them. Lengths that are too large for a number, which files can
/// ask for, are the largest: there is no memory for either.
pub(crate) fn dilated(n: usize, dilation: usize) -> usize {
    if n == 0 { 0 } else { (n - 1).saturating_mul(dilation).saturating_add(1) }
}

/// How often a window of `window` elements fits into `n` with steps of `stride`.
fn steps(n: usize, window: usize, stride: usize) -> usize {
    if n < window { 0 } else { (n - window) / stride + 1 }
}

/// One operation on tensors: what the tape records and [`crate::DynBackend::execute`] runs.
///
/// The method of [`crate::Backend`] that does the work is named on each variant; it documents operands and results.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// [`crate::Backend::cast`]
    Cast(DType),
    /// [`crate::Backend::reshape`]
    Reshape(Shape),
    /// [`crate::Backend::permute`]
    Permute(Dims),
    /// [`crate::Backend::broadcast`]
    Broadcast(Shape),
    /// [`crate::Backend::slice`]
    Slice {
        /// The first index per axis.
        start: Dims,
        /// One past the last index per axis.
        limit: Dims,
        /// The step per axis, at least 1.
        stride: Dims,
    },
    /// [`crate::Backend::reverse`]
    Reverse(Dims),
    /// [`crate::Backend::concatenate`]
    Concatenate(usize),
    /// [`crate::Backend::pad`]
    Pad {
        /// What is put in.
        value: f64,
        /// Elements before, per axis.
        low: Dims,
        /// Elements after, per axis.
        high: Dims,
        /// Elements between two neighbours, per axis.
        interior: Dims,
    },
    /// [`crate::Backend::unary`]
    Unary(UnaryOp),
    /// [`crate::Backend::binary`]
    Binary(BinaryOp),
    /// [`crate::Backend::compare`]
    Compare(CompareOp),
    /// [`crate::Backend::select`]
    Select,
    /// [`crate::Backend::reduce`]
    Reduce {
        /// How.
        op: ReduceOp,
        /// Which axes go, ascending.
        axes: Dims,
    },
    /// [`crate::Backend::arg_reduce`]
    ArgReduce {
        /// What is looked for.
        op: ArgReduceOp,
        /// Which axis goes.
        axis: usize,
    },
    /// [`crate::Backend::cumulative`]
    Cumulative {
        /// How.
        op: ReduceOp,
        /// Along which axis.
        axis: usize,
    },
    /// [`crate::Backend::sort`]
    Sort {
        /// Along which axis.
        axis: usize,
        /// Largest first.
        descending: bool,
    },
    /// [`crate::Backend::argsort`]
    ArgSort {
        /// Along which axis.
        axis: usize,
        /// Largest first.
        descending: bool,
    },
    /// [`crate::Backend::gather`]
    Gather(usize),
    /// [`crate::Backend::gather_elements`]
    GatherElements(usize),
    /// [`crate::Backend::scatter`]
    Scatter {
        /// The axis that is indexed.
        axis: usize,
        /// What happens at an index.
        op: ScatterOp,
    },
    /// [`crate::Backend::scatter_elements`]
    ScatterElements {
        /// The axis that is indexed.
        axis: usize,
        /// What happens at an index.
        op: ScatterOp,
    },
    /// [`crate::Backend::matmul`]
    MatMul,
    /// [`crate::Backend::convolution`]
    Convolution(ConvSpec),
    /// [`crate::Backend::reduce_window`]
    ReduceWindow {
        /// How.
        op: ReduceOp,
        /// Over which windows.
        window: WindowSpec,
    },
    /// [`crate::Backend::select_and_scatter`]
    SelectAndScatter(WindowSpec),
    /// [`crate::Backend::fused`], or its composition of the above.
    Fused(Fused),
}

impl Op {
    /// The operation's name for messages: the method's.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Cast(_) => "cast",
            Op::Reshape(_) => "reshape",
            Op::Permute(_) => "permute",
            Op::Broadcast(_) => "broadcast",
            Op::Slice { .. } => "slice",
            Op::Reverse(_) => "reverse",
            Op::Concatenate(_) => "concatenate",
            Op::Pad { .. } => "pad",
            Op::Unary(_) => "unary",
            Op::Binary(_) => "binary",
            Op::Compare(_) => "compare",
            Op::Select => "select",
            Op::Reduce { .. } => "reduce",
            Op::ArgReduce { .. } => "arg_reduce",
            Op::Cumulative { .. } => "cumulative",
            Op::Sort { .. } => "sort",
            Op::ArgSort { .. } => "argsort",
            Op::Gather(_) => "gather",
            Op::GatherElements(_) => "gather_elements",
            Op::Scatter { .. } => "scatter",
            Op::ScatterElements { .. } => "scatter_elements",
            Op::MatMul => "matmul",
            Op::Convolution(_) => "convolution",
            Op::ReduceWindow { .. } => "reduce_window",
            Op::SelectAndScatter(_) => "select_and_scatter",
            Op::Fused(f) => f.name(),
        }
    }
}
