//! Operations as methods, in the words of `keras.ops`.

use smallvec::SmallVec;

use super::operators::promote;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::op::{
    ArgReduceOp, BinaryOp, CompareOp, ConvSpec, Dims, Op, ReduceOp, ScatterOp, UnaryOp, WindowSpec,
};
use crate::shape::Shape;
use crate::tensor::Tensor;

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::DType`] if the function is not defined for the dtype ([`UnaryOp::accepts`]).
        pub fn $name(&self) -> Result<Tensor> {
            self.unary(UnaryOp::$op)
        }
    )*};
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// If the shapes cannot be broadcast, or the function is not defined for the dtype.
        pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
            Tensor::binary(BinaryOp::$op, self.clone(), other.clone())
        }
    )*};
}

macro_rules! compare {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// If the shapes cannot be broadcast.
        pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
            let (a, b) = promote(self.clone(), other.clone(), false)?;
            Tensor::apply1(Op::Compare(CompareOp::$op), [a, b])
        }
    )*};
}

macro_rules! reduce {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        /// `axes` may count from the end; none means all. With `keepdims` they stay with length 1.
        ///
        /// # Errors
        /// If an axis does not exist or the reduction is not defined for the dtype.
        pub fn $name(&self, axes: &[isize], keepdims: bool) -> Result<Tensor> {
            self.reduce(ReduceOp::$op, axes, keepdims)
        }
    )*};
}

impl Tensor {
    /// The elements as `dtype`; see [`crate::Backend::cast`].
    ///
    /// # Errors
    /// If the device lacks the dtype.
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        self.clone().into_dtype(dtype)
    }

    /// [`cast`](Tensor::cast) that may reuse the memory.
    ///
    /// # Errors
    /// If the device lacks the dtype.
    pub fn into_dtype(self, dtype: DType) -> Result<Tensor> {
        if self.dtype() == dtype { Ok(self) } else { Tensor::apply1(Op::Cast(dtype), [self]) }
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        Tensor::apply1(Op::Reshape(shape), [self.clone()])
    }

    /// Axis `i` of the result is axis `axes[i]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `axes` is not a permutation.
    pub fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        if axes.iter().copied().eq(0..self.rank()) {
            return Ok(self.clone());
        }
        Tensor::apply1(Op::Permute(axes.into()), [self.clone()])
    }

    /// Exchanges two axes.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn swap_axes(&self, a: isize, b: isize) -> Result<Tensor> {
        let mut axes: Dims = (0..self.rank()).collect();
        axes.swap(self.shape().axis(a)?, self.shape().axis(b)?);
        self.permute(&axes)
    }

    /// Moves one axis to another place; the others keep their order.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn move_axis(&self, from: isize, to: isize) -> Result<Tensor> {
        let (from, to) = (self.shape().axis(from)?, self.shape().axis(to)?);
        let mut axes: Dims = (0..self.rank()).filter(|&i| i != from).collect();
        axes.insert(to, from);
        self.permute(&axes)
    }

    /// Repeats the tensor along axes of length 1 and new leading axes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes do not allow it.
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        Tensor::apply1(Op::Broadcast(shape), [self.clone()])
    }

    /// Inserts an axis of length 1, so that it is axis `axis` of the result.
    ///
    /// # Errors
    /// If the result has no such axis.
    pub fn expand_dims(&self, axis: isize) -> Result<Tensor> {
        let axis = crate::shape::normalize_axis(axis, self.rank() + 1)?;
        let mut shape = self.shape().clone();
        shape.insert(axis, 1);
        self.reshape(shape)
    }

    /// Removes an axis of length 1.
    ///
    /// # Errors
    /// If there is no such axis or its length is not 1.
    pub fn squeeze(&self, axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        let mut shape = self.shape().clone();
        shape.remove(axis);
        self.reshape(shape)
    }

    /// The elements `start..limit` by `stride` of every axis.
    ///
    /// # Errors
    /// [`Error::Shape`] if a range leaves its axis.
    pub fn slice(&self, start: &[usize], limit: &[usize], stride: &[usize]) -> Result<Tensor> {
        let op = Op::Slice { start: start.into(), limit: limit.into(), stride: stride.into() };
        Tensor::apply1(op, [self.clone()])
    }

    /// The elements `start..limit` of one axis.
    ///
    /// # Errors
    /// If there is no such axis or the range leaves it.
    pub fn narrow(&self, axis: isize, start: usize, limit: usize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        let mut starts = Dims::from_elem(0, self.rank());
        let mut limits: Dims = self.shape().iter().copied().collect();
        starts[axis] = start;
        limits[axis] = limit;
        self.slice(&starts, &limits, &Dims::from_elem(1, self.rank()))
    }

    /// The elements at one index of an axis, without that axis.
    ///
    /// # Errors
    /// If there is no such axis or index.
    pub fn index(&self, axis: isize, index: usize) -> Result<Tensor> {
        self.narrow(axis, index, index + 1)?.squeeze(axis)
    }

    /// Divides an axis into `parts` equal ones.
    ///
    /// # Errors
    /// If the axis does not exist or its length is not a multiple of `parts`.
    pub fn split(&self, parts: usize, axis: isize) -> Result<Vec<Tensor>> {
        let n = self.shape()[self.shape().axis(axis)?];
        if parts == 0 || !n.is_multiple_of(parts) {
            return Err(Error::argument("parts", format!("a divisor of {n}"), parts));
        }
        let step = n / parts;
        (0..parts).map(|i| self.narrow(axis, i * step, (i + 1) * step)).collect()
    }

    /// Turns the order along axes round.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn flip(&self, axes: &[isize]) -> Result<Tensor> {
        let axes = self.axes(axes)?;
        Tensor::apply1(Op::Reverse(axes), [self.clone()])
    }

    /// Tensors one after the other along an axis, promoted to their common dtype.
    ///
    /// # Errors
    /// If there are none, or they differ on another axis.
    pub fn concatenate(tensors: &[Tensor], axis: isize) -> Result<Tensor> {
        let Some(first) = tensors.first() else {
            return Err(Error::shape("concatenate", "at least one operand is needed", []));
        };
        let dtypes: Vec<_> = tensors.iter().map(|t| t.dtype().into()).collect();
        let dtype = crate::promotion::result_type(&dtypes);
        let cast = tensors.iter().map(|t| t.cast(dtype)).collect::<Result<Vec<_>>>()?;
        Tensor::apply1(Op::Concatenate(first.shape().axis(axis)?), cast)
    }

    /// Tensors of one shape along a new axis.
    ///
    /// # Errors
    /// If there are none or their shapes differ.
    pub fn stack(tensors: &[Tensor], axis: isize) -> Result<Tensor> {
        let expanded = tensors.iter().map(|t| t.expand_dims(axis)).collect::<Result<Vec<_>>>()?;
        Tensor::concatenate(&expanded, axis)
    }

    /// Puts `value` before and after the elements of each axis.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one pair per axis.
    pub fn pad(&self, amounts: &[(usize, usize)], value: f64) -> Result<Tensor> {
        let op = Op::Pad {
            value,
            low: amounts.iter().map(|a| a.0).collect(),
            high: amounts.iter().map(|a| a.1).collect(),
            interior: Dims::from_elem(0, self.rank()),
        };
        Tensor::apply1(op, [self.clone()])
    }

    /// An element-wise function.
    ///
    /// # Errors
    /// [`Error::DType`] if it is not defined for the dtype.
    pub fn unary(&self, op: UnaryOp) -> Result<Tensor> {
        Tensor::apply1(Op::Unary(op), [self.clone()])
    }

    unary! {
        /// `|x|`
        abs => Abs;
        /// -1, 0 or 1.
        sign => Sign;
        /// Rounds up.
        ceil => Ceil;
        /// Rounds down.
        floor => Floor;
        /// Rounds to nearest, ties to even.
        round => Round;
        /// `e^x`
        exp => Exp;
        /// `e^x - 1`
        expm1 => Expm1;
        /// Natural logarithm.
        log => Log;
        /// `ln(1 + x)`
        log1p => Log1p;
        /// Square root.
        sqrt => Sqrt;
        /// `1 / sqrt(x)`
        rsqrt => Rsqrt;
        /// Sine.
        sin => Sin;
        /// Cosine.
        cos => Cos;
        /// Hyperbolic tangent.
        tanh => Tanh;
        /// Error function.
        erf => Erf;
        /// `1 / (1 + e^-x)`
        sigmoid => Sigmoid;
        /// `ln(1 + e^x)`
        softplus => Softplus;
        /// `max(x, 0)`
        relu => Relu;
        /// Logical or bit-wise complement.
        not => Not;
    }

    /// `x · x`
    ///
    /// # Errors
    /// [`Error::DType`] for `bool`.
    pub fn square(&self) -> Result<Tensor> {
        self * self
    }

    binary! {
        /// `a` to the power `b`.
        pow => Pow;
        /// `floor(a / b)`
        floor_divide => FloorDiv;
        /// Python's `a % b`.
        modulo => Mod;
        /// The larger of each pair.
        maximum => Max;
        /// The smaller of each pair.
        minimum => Min;
        /// Logical or bit-wise and.
        and => And;
        /// Logical or bit-wise or.
        or => Or;
    }

    /// The larger of each element and a number.
    ///
    /// # Errors
    /// If the device fails.
    pub fn at_least(&self, value: f64) -> Result<Tensor> {
        Tensor::binary(BinaryOp::Max, self.clone(), self.number(value)?)
    }

    /// The smaller of each element and a number.
    ///
    /// # Errors
    /// If the device fails.
    pub fn at_most(&self, value: f64) -> Result<Tensor> {
        Tensor::binary(BinaryOp::Min, self.clone(), self.number(value)?)
    }

    /// Each element moved into `min..=max`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn clip(&self, min: f64, max: f64) -> Result<Tensor> {
        self.at_least(min)?.at_most(max)
    }

    compare! {
        /// Where the elements are equal.
        equal => Eq;
        /// Where they differ.
        not_equal => Ne;
        /// Where `a < b`.
        less => Lt;
        /// Where `a <= b`.
        less_equal => Le;
        /// Where `a > b`.
        greater => Gt;
        /// Where `a >= b`.
        greater_equal => Ge;
    }

    /// A comparison with a number.
    ///
    /// # Errors
    /// If the device fails.
    pub fn compare_with(&self, op: CompareOp, value: f64) -> Result<Tensor> {
        let (a, b) = promote(self.clone(), self.number(value)?, false)?;
        Tensor::apply1(Op::Compare(op), [a, b])
    }

    /// `a` where this (of dtype `bool`) holds, else `b` (`keras.ops.where`).
    ///
    /// # Errors
    /// If this is not `bool` or the shapes cannot be broadcast.
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (a, b) = promote(a.clone(), b.clone(), false)?;
        Tensor::apply1(Op::Select, [self.clone(), a, b])
    }

    fn reduce(&self, op: ReduceOp, axes: &[isize], keepdims: bool) -> Result<Tensor> {
        let axes = self.axes(axes)?;
        if axes.is_empty() {
            return Ok(self.clone());
        }
        let kept = keepdims.then(|| self.kept(&axes));
        let y = Tensor::apply1(Op::Reduce { op, axes }, [self.clone()])?;
        match kept {
            Some(shape) => y.reshape(shape),
            None => Ok(y),
        }
    }

    reduce! {
        /// The sum.
        sum => Sum;
        /// The product.
        prod => Prod;
        /// The largest; for `bool`, whether any holds.
        max => Max;
        /// The smallest; for `bool`, whether all hold.
        min => Min;
    }

    /// The mean. Integers and `bool` give float32; float16 and bfloat16 are computed in float32.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn mean(&self, axes: &[isize], keepdims: bool) -> Result<Tensor> {
        let n: usize = self.axes(axes)?.iter().map(|&a| self.shape()[a]).product();
        (self.widened()?.sum(axes, keepdims)? / n as f64)?.into_dtype(self.averaged_dtype())
    }

    /// The biased variance, in the dtypes of [`mean`](Tensor::mean).
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn variance(&self, axes: &[isize], keepdims: bool) -> Result<Tensor> {
        let x = self.widened()?;
        let spread = (&x - x.mean(axes, true)?)?;
        spread.square()?.mean(axes, keepdims)?.into_dtype(self.averaged_dtype())
    }

    /// The dtype of an average.
    fn averaged_dtype(&self) -> DType {
        if self.dtype().is_float() { self.dtype() } else { DType::F32 }
    }

    /// The elements in the dtype that averages are computed in.
    fn widened(&self) -> Result<Tensor> {
        if self.dtype() == DType::F64 { Ok(self.clone()) } else { self.cast(DType::F32) }
    }

    /// The `int32` index of the first largest element along an axis.
    ///
    /// # Errors
    /// If the axis does not exist or has no elements.
    pub fn argmax(&self, axis: isize) -> Result<Tensor> {
        let op = Op::ArgReduce { op: ArgReduceOp::Max, axis: self.shape().axis(axis)? };
        Tensor::apply1(op, [self.clone()])
    }

    /// The `int32` index of the first smallest element along an axis.
    ///
    /// # Errors
    /// If the axis does not exist or has no elements.
    pub fn argmin(&self, axis: isize) -> Result<Tensor> {
        let op = Op::ArgReduce { op: ArgReduceOp::Min, axis: self.shape().axis(axis)? };
        Tensor::apply1(op, [self.clone()])
    }

    /// The reduction of everything up to and including each element along an axis (`cumsum`, `cumprod`, …).
    ///
    /// # Errors
    /// If the axis does not exist.
    pub fn cumulative(&self, op: ReduceOp, axis: isize) -> Result<Tensor> {
        Tensor::apply1(Op::Cumulative { op, axis: self.shape().axis(axis)? }, [self.clone()])
    }

    /// Sorts along an axis.
    ///
    /// # Errors
    /// If the axis does not exist.
    pub fn sort(&self, axis: isize, descending: bool) -> Result<Tensor> {
        Tensor::apply1(Op::Sort { axis: self.shape().axis(axis)?, descending }, [self.clone()])
    }

    /// The `int32` indices that sort along an axis.
    ///
    /// # Errors
    /// If the axis does not exist.
    pub fn argsort(&self, axis: isize, descending: bool) -> Result<Tensor> {
        Tensor::apply1(Op::ArgSort { axis: self.shape().axis(axis)?, descending }, [self.clone()])
    }

    /// The slices at `indices` of an axis (`keras.ops.take`): the shape of `indices` takes the place of the axis. Indices
    /// of any integer type, clamped to the valid range.
    ///
    /// # Errors
    /// If the axis does not exist or the indices are not integers.
    pub fn take(&self, indices: &Tensor, axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        Tensor::apply1(Op::Gather(axis), [self.clone(), indices.as_indices("take")?])
    }

    /// One element per index along an axis (`keras.ops.take_along_axis` on shapes that differ only there).
    ///
    /// # Errors
    /// If the axis does not exist, the indices are not integers, or the shapes differ elsewhere.
    pub fn take_along_axis(&self, indices: &Tensor, axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        Tensor::apply1(Op::GatherElements(axis), [self.clone(), indices.as_indices("take_along_axis")?])
    }

    /// This tensor with `updates` put in where [`take`](Tensor::take) with the same indices would take from.
    ///
    /// # Errors
    /// If the shape of `updates` is not what `take` would give.
    pub fn scatter(&self, op: ScatterOp, indices: &Tensor, updates: &Tensor, axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        let indices = indices.as_indices("scatter")?;
        Tensor::apply1(Op::Scatter { axis, op }, [self.clone(), indices, updates.clone()])
    }

    fn as_indices(&self, op: &str) -> Result<Tensor> {
        if self.dtype().is_float() {
            return Err(Error::dtype(op, "indices must be integers", [self.dtype()]));
        }
        self.cast(DType::I32)
    }

    /// Matrix product of the last two axes, operands promoted, leading axes broadcast; operands with one dimension are
    /// a row or a column as in `keras.ops.matmul`.
    ///
    /// # Errors
    /// If the inner dimensions differ.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        let (a, b) = promote(self.clone(), other.clone(), false)?;
        let (row, column) = (a.rank() == 1, b.rank() == 1);
        let a = if row { a.expand_dims(0)? } else { a };
        let b = if column { b.expand_dims(1)? } else { b };
        let mut y = Tensor::apply1(Op::MatMul, [a, b])?;
        if column {
            y = y.squeeze(-1)?;
        }
        if row {
            y = y.squeeze(if column { -1 } else { -2 })?;
        }
        Ok(y)
    }

    /// Convolution, channels-last; see [`ConvSpec`].
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn convolution(&self, filter: &Tensor, spec: ConvSpec) -> Result<Tensor> {
        Tensor::apply1(Op::Convolution(spec), [self.clone(), filter.clone()])
    }

    /// Reduces every window of the spatial axes of a channels-last tensor.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn reduce_window(&self, op: ReduceOp, window: WindowSpec) -> Result<Tensor> {
        Tensor::apply1(Op::ReduceWindow { op, window }, [self.clone()])
    }

    /// `e^x / Σ e^x` along an axis.
    ///
    /// # Errors
    /// If the axis does not exist or the dtype is not a float.
    pub fn softmax(&self, axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        Tensor::apply1(Op::Fused(Fused::Softmax { axis }), [self.clone()])
    }

    /// `x - ln Σ e^x` along an axis.
    ///
    /// # Errors
    /// If the axis does not exist or the dtype is not a float.
    pub fn log_softmax(&self, axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis(axis)?;
        Tensor::apply1(Op::Fused(Fused::LogSoftmax { axis }), [self.clone()])
    }

    /// `1` at each index and `0` elsewhere along a new last axis of length `classes`; nothing for an index out of range.
    ///
    /// # Errors
    /// If this is not an integer tensor.
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Result<Tensor> {
        let indices = self.as_indices("one_hot")?.expand_dims(-1)?;
        let places = Tensor::from_host(
            crate::host::HostTensor::new([classes], (0..classes as i32).collect::<Vec<_>>())?,
            self.device(),
        )?;
        indices.equal(&places)?.cast(dtype)
    }

    /// Non-negative ascending axes without repetitions; all if none are given.
    pub(crate) fn axes(&self, axes: &[isize]) -> Result<Dims> {
        if axes.is_empty() {
            return Ok((0..self.rank()).collect());
        }
        let mut out = axes.iter().map(|&a| self.shape().axis(a)).collect::<Result<Dims>>()?;
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// The shape with `axes` of length 1.
    fn kept(&self, axes: &[usize]) -> Shape {
        let dims: SmallVec<[usize; 6]> =
            self.shape().iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
        dims.into_iter().collect()
    }
}
