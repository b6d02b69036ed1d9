//! Functions of `keras.ops`: methods of tensors, or operations that graphs have.

use keras::models::Operation;
use keras_spec::layer::to_snake_case;
use keras_spec::{BinaryOp, Call, Config, DType, LayerRef, ReduceOp, ScatterOp, Shape, Tensor, UnaryOp};

use super::super::Result;
use super::arguments::Arguments;
use super::unknown;
use crate::vectors::Tree;

impl Arguments<'_> {
    /// Calls the function of `keras.ops` of this name.
    pub(super) fn function(&self, name: &str) -> Result<Vec<Tensor>> {
        if name == "split" {
            return Ok(self.tensor(0)?.split(self.keyword("indices_or_sections")?, self.keyword("axis")?)?);
        }
        let result = match (unary(name), binary(name)) {
            (Some(op), _) => self.tensor(0)?.unary(op)?,
            (_, Some(op)) => Tensor::binary(op, self.tensor(0)?.clone(), self.tensor(1)?.clone())?,
            _ => match self.other(name)? {
                Some(result) => result,
                None => return self.in_graphs(name),
            },
        };
        Ok(vec![result])
    }

    /// The same by the operation that functional models have for it.
    pub(super) fn in_graphs(&self, name: &str) -> Result<Vec<Tensor>> {
        let class = class_in_graphs(name).ok_or_else(|| unknown(name))?;
        let argument = |(key, value): (&String, &Tree)| Some((key.clone(), value.to_value()?));
        let arguments: Config = self.kwargs.iter().filter_map(argument).collect();
        let operation: LayerRef = Operation::new(class, arguments)?.into();
        Ok(operation.call(&self.all()?, &Call::inference())?.tensors)
    }

    fn other(&self, name: &str) -> Result<Option<Tensor>> {
        if let Some(result) = self.comparison(name)? {
            return Ok(Some(result));
        }
        if let Some(result) = self.reduction(name)? {
            return Ok(Some(result));
        }
        let axis = || self.or("axis", -1isize);
        let x = || self.tensor(0);
        Ok(Some(match name {
            "square" => x()?.square()?,
            "clip" => x()?.clip(self.keyword("x_min")?, self.keyword("x_max")?)?,
            "where" => x()?.select(self.tensor(1)?, self.tensor(2)?)?,
            "cast" => x()?.cast(self.keyword("dtype")?)?,
            "reshape" => x()?.reshape(self.new_shape()?)?,
            "transpose" => x()?.permute(&self.keyword::<Vec<usize>>("axes")?)?,
            "swapaxes" => x()?.swap_axes(self.keyword("axis1")?, self.keyword("axis2")?)?,
            "moveaxis" => x()?.move_axis(self.keyword("source")?, self.keyword("destination")?)?,
            "broadcast_to" => x()?.broadcast_to(self.keyword::<Vec<usize>>("shape")?)?,
            "expand_dims" => x()?.expand_dims(axis()?)?,
            "squeeze" => x()?.squeeze(axis()?)?,
            "slice" => {
                let start: Vec<usize> = self.keyword("start_indices")?;
                let shape: Vec<usize> = self.keyword("shape")?;
                let limit: Vec<usize> = start.iter().zip(&shape).map(|(a, n)| a + n).collect();
                x()?.slice(&start, &limit, &vec![1; start.len()])?
            }
            "slice_update" => {
                x()?.slice_update(&self.keyword::<Vec<usize>>("start_indices")?, self.tensor(1)?)?
            }
            "flip" => x()?.flip(&self.axes("axis")?)?,
            "concatenate" => Tensor::concatenate(&self.all()?, axis()?)?,
            "stack" => Tensor::stack(&self.all()?, axis()?)?,
            "pad" => x()?
                .pad(&self.keyword::<Vec<(usize, usize)>>("pad_width")?, self.or("constant_values", 0.0)?)?,
            "sort" => x()?.sort(axis()?, false)?,
            "argsort" => x()?.argsort(axis()?, false)?,
            "take" => x()?.take(self.tensor(1)?, axis()?)?,
            "take_along_axis" => x()?.take_along_axis(self.tensor(1)?, axis()?)?,
            "one_hot" => x()?.one_hot(self.keyword("num_classes")?, self.or("dtype", DType::F32)?)?,
            "matmul" => x()?.matmul(self.tensor(1)?)?,
            "softmax" => x()?.softmax(axis()?)?,
            "log_softmax" => x()?.log_softmax(axis()?)?,
            "einsum" => Tensor::einsum(&self.keyword::<String>("subscripts")?, &self.all()?)?,
            "segment_sum" => self.segments(ScatterOp::Add, 0.0)?,
            "segment_max" => self.segments(ScatterOp::Max, f64::NEG_INFINITY)?,
            "conv" => self.conv()?,
            "conv_transpose" => self.conv_transpose()?,
            "depthwise_conv" => self.depthwise_conv()?,
            "max_pool" => self.max_pool()?,
            "average_pool" => self.average_pool()?,
            _ => return Ok(None),
        }))
    }

    /// `newshape`, in which -1 stands for what is left.
    fn new_shape(&self) -> Result<Shape> {
        let wanted: Vec<isize> = self.keyword("newshape")?;
        let known: usize = wanted.iter().filter_map(|&d| usize::try_from(d).ok()).product();
        let rest = self.tensor(0)?.shape().size() / known.max(1);
        Ok(wanted.iter().map(|&d| usize::try_from(d).unwrap_or(rest)).collect())
    }

    /// What `op` makes of the rows that belong to each segment, starting from `neutral`.
    fn segments(&self, op: ScatterOp, neutral: f64) -> Result<Tensor> {
        let rows = self.tensor(0)?;
        let segments: usize = self.keyword("num_segments")?;
        let shape: Shape = std::iter::once(segments).chain(rows.shape().iter().skip(1).copied()).collect();
        let empty = Tensor::full(shape, rows.dtype(), neutral, rows.device())?;
        Ok(empty.scatter(op, self.tensor(1)?, rows, 0)?)
    }

    fn comparison(&self, name: &str) -> Result<Option<Tensor>> {
        let compare = match name {
            "equal" => Tensor::equal,
            "not_equal" => Tensor::not_equal,
            "less" => Tensor::less,
            "less_equal" => Tensor::less_equal,
            "greater" => Tensor::greater,
            "greater_equal" => Tensor::greater_equal,
            _ => return Ok(None),
        };
        Ok(Some(compare(self.tensor(0)?, self.tensor(1)?)?))
    }

    fn reduction(&self, name: &str) -> Result<Option<Tensor>> {
        let reduce = match name {
            "sum" => Tensor::sum,
            "prod" => Tensor::prod,
            "max" | "any" => Tensor::max,
            "min" | "all" => Tensor::min,
            "mean" => Tensor::mean,
            "var" => Tensor::variance,
            _ => return self.along_an_axis(name),
        };
        let mut x = self.tensor(0)?.clone();
        if matches!(name, "sum" | "prod") {
            // Keras adds up and multiplies integers in no less than 32 bits.
            x = match x.dtype() {
                DType::Bool | DType::I8 | DType::I16 => x.cast(DType::I32)?,
                DType::U8 | DType::U16 => x.cast(DType::U32)?,
                _ => x,
            };
        }
        Ok(Some(reduce(&x, &self.axes("axis")?, self.or("keepdims", false)?)?))
    }

    fn along_an_axis(&self, name: &str) -> Result<Option<Tensor>> {
        if !matches!(name, "cumsum" | "cumprod" | "argmax" | "argmin") {
            return Ok(None);
        }
        let x = self.tensor(0)?;
        let (x, axis) = match self.value(usize::MAX, "axis") {
            Some(_) => (x.clone(), self.keyword("axis")?),
            None => (x.reshape([x.shape().size()])?, 0isize),
        };
        let y = match name {
            "cumsum" => x.cumulative(ReduceOp::Sum, axis)?,
            "cumprod" => x.cumulative(ReduceOp::Prod, axis)?,
            "argmax" => x.argmax(axis)?,
            _ => x.argmin(axis)?,
        };
        Ok(Some(if self.or("keepdims", false)? { y.expand_dims(axis)? } else { y }))
    }
}

/// Keras's class of the operation in graphs that a function of `keras.ops` makes, if there is one.
pub(crate) fn class_in_graphs(name: &str) -> Option<&'static str> {
    Operation::names().find(|class| to_snake_case(class) == name)
}

/// The element-wise function of one operand that Keras calls so.
pub(super) fn unary(name: &str) -> Option<UnaryOp> {
    Some(match name {
        "negative" => UnaryOp::Neg,
        "absolute" => UnaryOp::Abs,
        "sign" => UnaryOp::Sign,
        "ceil" => UnaryOp::Ceil,
        "floor" => UnaryOp::Floor,
        "round" => UnaryOp::Round,
        "exp" => UnaryOp::Exp,
        "expm1" => UnaryOp::Expm1,
        "log" => UnaryOp::Log,
        "log1p" => UnaryOp::Log1p,
        "sqrt" => UnaryOp::Sqrt,
        "rsqrt" => UnaryOp::Rsqrt,
        "sin" => UnaryOp::Sin,
        "cos" => UnaryOp::Cos,
        "tan" => UnaryOp::Tan,
        "arcsin" => UnaryOp::Asin,
        "arccos" => UnaryOp::Acos,
        "arctan" => UnaryOp::Atan,
        "sinh" => UnaryOp::Sinh,
        "cosh" => UnaryOp::Cosh,
        "tanh" => UnaryOp::Tanh,
        "arcsinh" => UnaryOp::Asinh,
        "arccosh" => UnaryOp::Acosh,
        "arctanh" => UnaryOp::Atanh,
        "erf" => UnaryOp::Erf,
        "erfinv" => UnaryOp::ErfInv,
        "sigmoid" => UnaryOp::Sigmoid,
        "softplus" => UnaryOp::Softplus,
        "relu" => UnaryOp::Relu,
        "logical_not" | "bitwise_not" => UnaryOp::Not,
        _ => return None,
    })
}

/// The element-wise function of two operands that Keras calls so.
pub(super) fn binary(name: &str) -> Option<BinaryOp> {
    Some(match name {
        "add" => BinaryOp::Add,
        "subtract" => BinaryOp::Sub,
        "multiply" => BinaryOp::Mul,
        "divide" => BinaryOp::Div,
        "floor_divide" => BinaryOp::FloorDiv,
        "mod" => BinaryOp::Mod,
        "power" => BinaryOp::Pow,
        "maximum" => BinaryOp::Max,
        "minimum" => BinaryOp::Min,
        "arctan2" => BinaryOp::Atan2,
        "logical_and" | "bitwise_and" => BinaryOp::And,
        "logical_or" | "bitwise_or" => BinaryOp::Or,
        "logical_xor" | "bitwise_xor" => BinaryOp::Xor,
        _ => return None,
    })
}
