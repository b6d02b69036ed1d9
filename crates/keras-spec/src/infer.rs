//! Shapes and dtypes of results, and the checks that every backend may rely on.

use smallvec::{SmallVec, smallvec};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::{AttentionSpec, Fused, RnnSpec};
use crate::op::{ConvSpec, Dims, Op, WindowSpec, dilated};
use crate::shape::Shape;

/// The shape and dtype of an operand or result.
pub type Spec = (Shape, DType);

/// Results of [`infer_fused`].
pub type Specs = SmallVec<[Spec; 1]>;

/// What `op`, which is not fused, makes of operands.
///
/// # Errors
/// [`Error::Shape`] or [`Error::DType`] if the operands do not fit the operation.
pub fn infer(op: &Op, operands: &[(&Shape, DType)]) -> Result<Spec> {
    let check = Check { op: op.name(), operands };
    let arity = match op {
        Op::Binary(_)
        | Op::Compare(_)
        | Op::Gather(_)
        | Op::GatherElements(_)
        | Op::MatMul
        | Op::Convolution(_) => 2,
        Op::SelectAndScatter(_) => 2,
        Op::Select | Op::Scatter { .. } | Op::ScatterElements { .. } => 3,
        Op::Concatenate(_) => operands.len().max(1),
        _ => 1,
    };
    check.arity(arity)?;
    let (x, dtype) = operands[0];
    let same = |shape: Shape| -> Result<Spec> { Ok((shape, dtype)) };
    match op {
        Op::Cast(to) => Ok((x.clone(), *to)),
        Op::Reshape(shape) => {
            if crate::host::checked_size(shape) != Some(x.size()) {
                return Err(check.shape(format!("{} elements do not fill {shape}", x.size())));
            }
            same(shape.clone())
        }
        Op::Permute(axes) => {
            let mut seen = Dims::from_elem(0, x.rank());
            for &a in axes {
                check.axis(a)?;
                seen[a] += 1;
            }
            if axes.len() != x.rank() || seen.iter().any(|&n| n != 1) {
                return Err(check.shape(format!("{:?} is not a permutation of the axes", axes.as_slice())));
            }
            same(axes.iter().map(|&a| x[a]).collect())
        }
        Op::Broadcast(shape) => {
            if !x.broadcasts_to(shape) {
                return Err(check.shape(format!("cannot be broadcast to {shape}")));
            }
            same(shape.clone())
        }
        Op::Slice { start, limit, stride } => {
            let n = x.rank();
            if start.len() != n || limit.len() != n || stride.len() != n {
                return Err(check.shape("one start, limit and stride per axis is needed"));
            }
            (0..n)
                .map(|i| {
                    if start[i] > limit[i] || limit[i] > x[i] || stride[i] == 0 {
                        return Err(check.shape(format!(
                            "axis {i} cannot be sliced {}..{} by {}",
                            start[i], limit[i], stride[i]
                        )));
                    }
                    Ok((limit[i] - start[i]).div_ceil(stride[i]))
                })
                .collect::<Result<Shape>>()
                .and_then(same)
        }
        Op::Reverse(axes) => {
            axes.iter().try_for_each(|&a| check.axis(a))?;
            same(x.clone())
        }
        Op::Concatenate(axis) => {
            check.axis(*axis)?;
            check.one_dtype()?;
            let mut out = x.clone();
            out.dims_mut()[*axis] = 0;
            for (s, _) in operands {
                let fits = s.rank() == x.rank() && (0..x.rank()).all(|i| i == *axis || s[i] == x[i]);
                if !fits {
                    return Err(check.shape(format!("shapes may differ only on axis {axis}")));
                }
                out.dims_mut()[*axis] = out[*axis].saturating_add(s[*axis]);
            }
            same(out)
        }
        Op::Pad { low, high, interior, .. } => {
            let n = x.rank();
            if low.len() != n || high.len() != n || interior.len() != n {
                return Err(check.shape("one low, high and interior amount per axis is needed"));
            }
            let padded = |i: usize| {
                let length = dilated(x[i], interior[i].saturating_add(1));
                length.saturating_add(low[i]).saturating_add(high[i])
            };
            same((0..n).map(padded).collect())
        }
        Op::Unary(u) => {
            check.accepts(u.accepts(dtype), u)?;
            same(x.clone())
        }
        Op::Binary(b) => {
            check.one_dtype()?;
            check.accepts(b.accepts(dtype), b)?;
            same(check.broadcast(&[x, operands[1].0])?)
        }
        Op::Compare(_) => {
            check.one_dtype()?;
            Ok((check.broadcast(&[x, operands[1].0])?, DType::Bool))
        }
        Op::Select => {
            if dtype != DType::Bool || operands[1].1 != operands[2].1 {
                return Err(check.dtype("a bool condition and two operands of one dtype are needed"));
            }
            Ok((check.broadcast(&[x, operands[1].0, operands[2].0])?, operands[1].1))
        }
        Op::Reduce { op, axes } => {
            check.accepts(accepts_reduce(*op, dtype), op)?;
            axes.iter().try_for_each(|&a| check.axis(a))?;
            if axes.windows(2).any(|w| w[0] >= w[1]) {
                return Err(check.shape("axes must ascend and not repeat"));
            }
            same((0..x.rank()).filter(|i| !axes.contains(i)).map(|i| x[i]).collect())
        }
        Op::ArgReduce { axis, .. } => {
            check.axis(*axis)?;
            if x[*axis] == 0 {
                return Err(check.shape(format!("axis {axis} has no elements")));
            }
            let mut out = x.clone();
            out.remove(*axis);
            Ok((out, DType::I32))
        }
        Op::Cumulative { op, axis } => {
            check.axis(*axis)?;
            check.accepts(accepts_reduce(*op, dtype), op)?;
            same(x.clone())
        }
        Op::Sort { axis, .. } => {
            check.axis(*axis)?;
            same(x.clone())
        }
        Op::ArgSort { axis, .. } => {
            check.axis(*axis)?;
            Ok((x.clone(), DType::I32))
        }
        Op::Gather(axis) => {
            check.axis(*axis)?;
            check.indices(1)?;
            let out = gathered(x, operands[1].0, *axis);
            if x[*axis] == 0 && out.size() > 0 {
                return Err(check.shape(format!("axis {axis} has no elements to take")));
            }
            same(out)
        }
        Op::GatherElements(axis) => {
            check.axis(*axis)?;
            check.indices(1)?;
            let i = operands[1].0;
            check.elements(i, *axis)?;
            if x[*axis] == 0 && i.size() > 0 {
                return Err(check.shape(format!("axis {axis} has no elements to take")));
            }
            same(i.clone())
        }
        Op::Scatter { axis, .. } => {
            check.axis(*axis)?;
            check.indices(1)?;
            if operands[2].1 != dtype || *operands[2].0 != gathered(x, operands[1].0, *axis) {
                return Err(check.shape("updates must have the shape and dtype that `gather` would give"));
            }
            same(x.clone())
        }
        Op::ScatterElements { axis, .. } => {
            check.axis(*axis)?;
            check.indices(1)?;
            check.elements(operands[1].0, *axis)?;
            if operands[2].1 != dtype || operands[2].0 != operands[1].0 {
                return Err(
                    check.shape("updates must have the dtype of the operand and the shape of the indices")
                );
            }
            same(x.clone())
        }
        Op::MatMul => {
            check.one_dtype()?;
            check.accepts(dtype != DType::Bool, &"matmul")?;
            let y = operands[1].0;
            let (Some((a, &[m, k])), Some((b, &[k2, n]))) = (x.split_last_chunk(), y.split_last_chunk())
            else {
                return Err(check.shape("operands need at least two dimensions"));
            };
            if k != k2 {
                return Err(check.shape(format!("inner dimensions {k} and {k2} differ")));
            }
            let lead = Shape::from(a).broadcast(&Shape::from(b));
            let mut out = lead.ok_or_else(|| check.shape("leading dimensions cannot be broadcast"))?;
            out.push(m);
            out.push(n);
            same(out)
        }
        Op::Convolution(spec) => same(convolution(spec, &check, x, operands[1].0)?),
        Op::ReduceWindow { op, window } => {
            check.accepts(accepts_reduce(*op, dtype), op)?;
            same(windowed(window, &check, x)?)
        }
        Op::SelectAndScatter(window) => {
            if windowed(window, &check, x)? != *operands[1].0 {
                return Err(check.shape("the gradient does not have the shape of the windows"));
            }
            same(x.clone())
        }
        Op::Fused(_) => Err(check.shape("a fused operation has several results")),
    }
}

/// What a fused operation makes of operands.
///
/// # Errors
/// As [`infer`].
pub fn infer_fused(op: &Fused, operands: &[(&Shape, DType)]) -> Result<Specs> {
    let check = &Check { op: op.name(), operands };
    let o = operands;
    let floats = |n: usize| -> Result<DType> {
        check.arity(n)?;
        let mask = usize::from(o[n - 1].1 == DType::Bool);
        let dtype = o[0].1;
        if !dtype.is_float() || o[..n - mask].iter().any(|x| x.1 != dtype) {
            return Err(check.dtype("operands of one floating-point dtype are needed"));
        }
        Ok(dtype)
    };
    let float = |i: usize| match o[i].1 {
        dtype if dtype.is_float() => Ok(dtype),
        _ => Err(check.dtype("an operand of a floating-point dtype is needed")),
    };
    let one = |shape: Shape, dtype: DType| -> Result<Specs> { Ok(smallvec![(shape, dtype)]) };
    match op {
        Fused::Dense { .. } => {
            let dtype = floats(3)?;
            let (x, w, b) = (o[0].0, o[1].0, o[2].0);
            let fits = x.rank() >= 1 && w.rank() == 2 && x[x.rank() - 1] == w[0] && b.dims() == [w[1]];
            check.ensure(fits, "x (…, in), kernel (in, units) and bias (units,) are needed")?;
            let mut out = x.clone();
            out.dims_mut()[x.rank() - 1] = w[1];
            one(out, dtype)
        }
        Fused::ConvBias { spec, .. } => {
            let dtype = floats(3)?;
            let out = convolution(spec, check, o[0].0, o[1].0)?;
            check.ensure(o[2].0.dims() == [out[out.rank() - 1]], "bias must be (out,)")?;
            one(out, dtype)
        }
        Fused::ConvBackwardInput { spec, input } => {
            let dtype = floats(2)?;
            check.ensure(
                convolution(spec, check, input, o[1].0)? == *o[0].0,
                "the gradient has another shape",
            )?;
            one(input.clone(), dtype)
        }
        Fused::ConvBackwardFilter { spec, filter } => {
            let dtype = floats(2)?;
            check.ensure(
                convolution(spec, check, o[0].0, filter)? == *o[1].0,
                "the gradient has another shape",
            )?;
            one(filter.clone(), dtype)
        }
        Fused::AvgPool(window) => {
            let dtype = floats(1)?;
            one(windowed(window, check, o[0].0)?, dtype)
        }
        Fused::AvgPoolBackward { window, input } => {
            let dtype = floats(1)?;
            check.ensure(windowed(window, check, input)? == *o[0].0, "the gradient has another shape")?;
            one(input.clone(), dtype)
        }
        Fused::Softmax { axis } | Fused::LogSoftmax { axis } => {
            let dtype = floats(1)?;
            check.axis(*axis)?;
            one(o[0].0.clone(), dtype)
        }
        Fused::ActivationBackward { .. } => {
            let dtype = floats(2)?;
            check.ensure(o[0].0 == o[1].0, "both operands must have one shape")?;
            one(o[0].0.clone(), dtype)
        }
        Fused::SoftmaxBackward { axis } | Fused::LogSoftmaxBackward { axis } => {
            let dtype = floats(2)?;
            check.axis(*axis)?;
            check.ensure(o[0].0 == o[1].0, "both operands must have one shape")?;
            one(o[0].0.clone(), dtype)
        }
        Fused::BatchNorm { axis, .. } | Fused::BatchNormBackward { axis, .. } => {
            let backward = matches!(op, Fused::BatchNormBackward { .. });
            let dtype = floats(if backward { 5 } else { 3 })?;
            check.axis(*axis)?;
            let c = Shape::from([o[0].0[*axis]]);
            let per_channel = if backward { 1..4 } else { 1..3 };
            check.ensure(
                o[per_channel].iter().all(|s| *s.0 == c),
                "per-channel operands must be (channels,)",
            )?;
            check.ensure(!backward || o[4].0 == o[0].0, "the gradient has another shape")?;
            Ok(smallvec![(o[0].0.clone(), dtype), (c.clone(), dtype), (c, dtype)])
        }
        Fused::LayerNorm { features, .. } | Fused::LayerNormBackward { features } => {
            let backward = matches!(op, Fused::LayerNormBackward { .. });
            let dtype = floats(if backward { 5 } else { 3 })?;
            let x = o[0].0;
            check.ensure(*features >= 1 && *features <= x.rank(), "no such number of feature axes")?;
            let (rows, cols) = x.split_at(x.rank() - features);
            let (rows, cols) = (Shape::from(rows), Shape::from(cols));
            check.ensure(*o[1].0 == cols, "gamma must have the shape of the features")?;
            if backward {
                let fits = *o[2].0 == rows && *o[3].0 == rows && o[4].0 == x;
                check
                    .ensure(fits, "mean and rstd must have the shape of the rows, the gradient that of x")?;
                Ok(smallvec![(x.clone(), dtype), (cols.clone(), dtype), (cols, dtype)])
            } else {
                check.ensure(*o[2].0 == cols, "beta must have the shape of the features")?;
                Ok(smallvec![(x.clone(), dtype), (rows.clone(), dtype), (rows, dtype)])
            }
        }
        Fused::Lstm(rnn) => {
            let dtype = floats(6 + usize::from(rnn.mask))?;
            let [b, t, u] = recurrent(rnn, 4, check, 4)?;
            let fits = o[3].0.dims() == [4 * u] && o[5].0.dims() == [b, u];
            check.ensure(fits, "bias must be (4u,) and states (batch, u)")?;
            let bu = Shape::from([b, u]);
            let btu = Shape::from([b, t, u]);
            Ok([btu.clone(), bu.clone(), bu, [b, t, 4 * u].into(), btu]
                .map(|s| (s, dtype))
                .into_iter()
                .collect())
        }
        Fused::LstmBackward(rnn) => {
            let dtype = floats(11 + usize::from(rnn.mask))?;
            let [b, t, u] = recurrent(rnn, 4, check, 3)?;
            let (bu, btu) = (Shape::from([b, u]), Shape::from([b, t, u]));
            let want = [&bu, &btu, &[b, t, 4 * u].into(), &btu, &btu, &bu, &bu];
            check.ensure(
                o[4..11].iter().zip(want).all(|(s, w)| s.0 == w),
                "saved values or gradients do not fit",
            )?;
            let out = [o[0].0.clone(), o[1].0.clone(), o[2].0.clone(), [4 * u].into(), bu.clone(), bu];
            Ok(out.map(|s| (s, dtype)).into_iter().collect())
        }
        Fused::Gru { rnn, reset_after } => {
            let dtype = floats(5 + usize::from(rnn.mask))?;
            let [b, t, u] = recurrent(rnn, 3, check, 4)?;
            check.ensure(
                *o[3].0 == gru_bias(u, *reset_after),
                "bias must be (2, 3u), or (3u,) without reset_after",
            )?;
            let out = [Shape::from([b, t, u]), [b, u].into(), [b, t, 4 * u].into()];
            Ok(out.map(|s| (s, dtype)).into_iter().collect())
        }
        Fused::GruBackward { rnn, reset_after } => {
            let dtype = floats(8 + usize::from(rnn.mask))?;
            let [b, t, u] = recurrent(rnn, 3, check, 3)?;
            let (bu, btu) = (Shape::from([b, u]), Shape::from([b, t, u]));
            let want = [&btu, &[b, t, 4 * u].into(), &btu, &bu];
            check.ensure(
                o[4..8].iter().zip(want).all(|(s, w)| s.0 == w),
                "saved values or gradients do not fit",
            )?;
            let out = [o[0].0.clone(), o[1].0.clone(), o[2].0.clone(), gru_bias(u, *reset_after), bu];
            Ok(out.map(|s| (s, dtype)).into_iter().collect())
        }
        Fused::Embedding => {
            check.arity(2)?;
            check.indices(1)?;
            let dtype = float(0)?;
            let &[rows, features] = o[0].0.dims() else {
                return Err(check.shape("the table must be (rows, features)"));
            };
            let mut out = o[1].0.clone();
            check.ensure(rows > 0 || out.size() == 0, "the table has no rows to take")?;
            out.push(features);
            one(out, dtype)
        }
        Fused::EmbeddingBackward { rows } => {
            check.arity(2)?;
            check.indices(1)?;
            let dtype = float(0)?;
            match o[0].0.split_last() {
                Some((&features, lead)) if lead == o[1].0.dims() => one([*rows, features].into(), dtype),
                _ => Err(check.shape("the gradient must be (…, features) for indices (…)")),
            }
        }
        Fused::ScaledDotProductAttention(attention) => {
            let dtype = floats(3 + usize::from(attention.mask))?;
            let [y, log_sums] = attended(attention, check)?;
            Ok(smallvec![(y, dtype), (log_sums, dtype)])
        }
        Fused::ScaledDotProductAttentionBackward(attention) => {
            let dtype = floats(6 + usize::from(attention.mask))?;
            let [y, log_sums] = attended(attention, check)?;
            let fits = *o[3].0 == y && *o[4].0 == log_sums && *o[5].0 == y;
            check.ensure(fits, "saved values or gradients do not fit")?;
            Ok(o[..3].iter().map(|x| (x.0.clone(), dtype)).collect())
        }
        Fused::SoftmaxCrossEntropy { sparse } | Fused::SoftmaxCrossEntropyBackward { sparse } => {
            let backward = matches!(op, Fused::SoftmaxCrossEntropyBackward { .. });
            check.arity(if backward { 3 } else { 2 })?;
            let dtype = float(0)?;
            let Some((_, lead)) = o[0].0.split_last() else {
                return Err(check.shape("logits need an axis of classes"));
            };
            let lead = Shape::from(lead);
            match sparse {
                true => check.indices(1)?,
                false => check.accepts(o[1].1 == dtype, &"labels of another dtype than the logits'")?,
            }
            let labels = if *sparse { &lead } else { o[0].0 };
            check.ensure(o[1].0 == labels, "the labels do not fit the logits")?;
            if !backward {
                return one(lead, dtype);
            }
            check.ensure(*o[2].0 == lead && o[2].1 == dtype, "the gradient does not fit the logits")?;
            one(o[0].0.clone(), dtype)
        }
        Fused::Sgd { .. } | Fused::SgdMomentum { .. } | Fused::Adam { .. } | Fused::RmsProp { .. } => {
            let states = op.states().unwrap_or(0);
            let dtype = floats(2 + states)?;
            check.ensure(o.iter().all(|s| s.0 == o[0].0), "all operands must have one shape")?;
            Ok(SmallVec::from_elem((o[0].0.clone(), dtype), 1 + states))
        }
    }
}

/// Checks x, kernel, recurrent kernel, the state at operand `h0` and the mask; gives batch, steps and units.
fn recurrent(rnn: &RnnSpec, gates: usize, check: &Check<'_>, h0: usize) -> Result<[usize; 3]> {
    let o = check.operands;
    let &[b, t, f] = o[0].0.dims() else {
        return Err(check.shape("x must be (batch, steps, features)"));
    };
    let &[u, gu] = o[2].0.dims() else {
        return Err(check.shape("the recurrent kernel must be a matrix"));
    };
    let fits = gu == gates * u && o[1].0.dims() == [f, gu] && o[h0].0.dims() == [b, u];
    check.ensure(fits, "kernels or states do not fit")?;
    if rnn.mask {
        let (mask, dtype) = o[o.len() - 1];
        check.ensure(
            mask.dims() == [b, t] && dtype == DType::Bool,
            "the mask must be (batch, steps) of bool",
        )?;
    }
    Ok([b, t, u])
}

/// Checks query, key, value and the mask; gives the shapes of the results.
fn attended(attention: &AttentionSpec, check: &Check<'_>) -> Result<[Shape; 2]> {
    let o = check.operands;
    let (&[b, q, h, f], &[_, k, _, v]) = (o[0].0.dims(), o[2].0.dims()) else {
        return Err(check.shape("query, key and value must be (batch, steps, heads, features)"));
    };
    let fits = o[1].0.dims() == [b, k, h, f] && o[2].0.dims() == [b, k, h, v];
    check.ensure(fits, "query, key and value do not fit")?;
    if attention.mask {
        let (mask, dtype) = o[o.len() - 1];
        let fits = mask.rank() == 4 && mask.broadcasts_to(&[b, h, q, k].into()) && dtype == DType::Bool;
        check.ensure(fits, "the mask must be (batch, heads, queries, keys) of bool")?;
    }
    Ok([[b, q, h, v].into(), [b, q, h].into()])
}

fn gru_bias(units: usize, reset_after: bool) -> Shape {
    if reset_after { [2, 3 * units].into() } else { [3 * units].into() }
}

pub(crate) fn gathered(x: &Shape, indices: &Shape, axis: usize) -> Shape {
    x[..axis].iter().chain(indices.iter()).chain(&x[axis + 1..]).copied().collect()
}

fn accepts_reduce(op: crate::op::ReduceOp, dtype: DType) -> bool {
    use crate::op::ReduceOp::{Max, Min};
    dtype != DType::Bool || matches!(op, Max | Min)
}

fn convolution(spec: &ConvSpec, check: &Check<'_>, x: &Shape, w: &Shape) -> Result<Shape> {
    check.one_dtype()?;
    check.accepts(check.operands[0].1 != DType::Bool, &"convolution")?;
    let n = spec.strides.len();
    let lists = [spec.padding.len(), spec.input_dilation.len(), spec.filter_dilation.len()];
    if x.rank() != n + 2 || w.rank() != n + 2 || lists.iter().any(|&l| l != n) {
        return Err(check.shape(format!("{n} spatial dimensions need operands and parameters of that rank")));
    }
    let positive =
        spec.strides.iter().chain(&spec.input_dilation).chain(&spec.filter_dilation).all(|&v| v > 0);
    check.ensure(positive && spec.groups > 0, "strides, dilations and groups must be positive")?;
    let (cin, cout) = (x[n + 1], w[n + 1]);
    check.ensure(
        w[n].checked_mul(spec.groups) == Some(cin) && cout % spec.groups == 0,
        format!("{cin} input channels do not fit a filter for {} in {} groups", w[n], spec.groups),
    )?;
    check.ensure(w[..n].iter().all(|&k| k > 0), "the filter's window must not be empty")?;
    Ok(spec.output_shape(x, w))
}

fn windowed(window: &WindowSpec, check: &Check<'_>, x: &Shape) -> Result<Shape> {
    let n = window.size.len();
    if x.rank() != n + 2 || window.strides.len() != n || window.padding.len() != n {
        return Err(check.shape(format!("{n} spatial dimensions need operands and parameters of that rank")));
    }
    check.ensure(
        window.size.iter().chain(&window.strides).all(|&v| v > 0),
        "windows and strides must be positive",
    )?;
    Ok(window.output_shape(x))
}

/// What a rule is checked on.
struct Check<'a> {
    op: &'static str,
    operands: &'a [(&'a Shape, DType)],
}

impl Check<'_> {
    fn shape(&self, why: impl std::fmt::Display) -> Error {
        Error::shape(self.op, why, self.operands.iter().map(|o| o.0))
    }

    fn dtype(&self, why: impl std::fmt::Display) -> Error {
        Error::dtype(self.op, why, self.operands.iter().map(|o| o.1))
    }

    fn ensure(&self, fits: bool, why: impl std::fmt::Display) -> Result<()> {
        if fits { Ok(()) } else { Err(self.shape(why)) }
    }

    fn arity(&self, n: usize) -> Result<()> {
        self.ensure(self.operands.len() == n && n > 0, format_args!("{n} operands are needed"))
    }

    fn axis(&self, axis: usize) -> Result<()> {
        self.ensure(axis < self.operands[0].0.rank(), format_args!("there is no axis {axis}"))
    }

    fn one_dtype(&self) -> Result<()> {
        let first = self.operands[0].1;
        if self.operands.iter().all(|o| o.1 == first) {
            Ok(())
        } else {
            Err(self.dtype("operands must have one dtype"))
        }
    }

    fn accepts(&self, accepts: bool, what: &dyn std::fmt::Debug) -> Result<()> {
        if accepts { Ok(()) } else { Err(self.dtype(format_args!("{what:?} is not defined for it"))) }
    }

    fn indices(&self, i: usize) -> Result<()> {
        if self.operands[i].1 == DType::I32 { Ok(()) } else { Err(self.dtype("indices must be int32")) }
    }

    fn elements(&self, indices: &Shape, axis: usize) -> Result<()> {
        let x = self.operands[0].0;
        let fits = indices.rank() == x.rank() && (0..x.rank()).all(|i| i == axis || indices[i] == x[i]);
        self.ensure(fits, "indices may differ from the operand only along the axis")
    }

    fn broadcast(&self, shapes: &[&Shape]) -> Result<Shape> {
        let mut out = shapes[0].clone();
        for s in &shapes[1..] {
            out = out.broadcast(s).ok_or_else(|| self.shape("operands cannot be broadcast together"))?;
        }
        Ok(out)
    }
}
