//! Operations of backends, in the words of [`keras_spec::Backend`].

use keras_spec::{ArgReduceOp, ConvSpec, Dims, Op, ReduceOp, ScatterOp, Tensor, WindowSpec};

use super::super::Result;
use super::arguments::Arguments;
use super::{functions, unknown};

impl Arguments<'_> {
    /// Calls the operation of this name.
    pub(super) fn backend(&self, name: &str) -> Result<Tensor> {
        let axis = || self.keyword("axis");
        let list = |name: &str| self.keyword::<Vec<usize>>(name).map(Dims::from);
        let op = match name {
            "unary" => {
                let name: String = self.keyword("op")?;
                Op::Unary(functions::unary(&name).ok_or_else(|| unknown(&name))?)
            }
            "slice" => Op::Slice { start: list("start")?, limit: list("limit")?, stride: list("stride")? },
            "pad" => Op::Pad {
                value: self.keyword("value")?,
                low: list("low")?,
                high: list("high")?,
                interior: list("interior")?,
            },
            "reduce" => Op::Reduce { op: self.reduce_op()?, axes: list("axes")? },
            "arg_reduce" => {
                let op = match self.reduce_op()? {
                    ReduceOp::Max => ArgReduceOp::Max,
                    _ => ArgReduceOp::Min,
                };
                Op::ArgReduce { op, axis: axis()? }
            }
            "cumulative" => Op::Cumulative { op: self.reduce_op()?, axis: axis()? },
            "sort" => Op::Sort { axis: axis()?, descending: self.keyword("descending")? },
            "argsort" => Op::ArgSort { axis: axis()?, descending: self.keyword("descending")? },
            "gather" => Op::Gather(axis()?),
            "gather_elements" => Op::GatherElements(axis()?),
            "scatter" => Op::Scatter { axis: axis()?, op: self.scatter_op()? },
            "scatter_elements" => Op::ScatterElements { axis: axis()?, op: self.scatter_op()? },
            "matmul" => Op::MatMul,
            "convolution" => Op::Convolution(ConvSpec {
                strides: list("strides")?,
                padding: self.keyword::<Vec<(isize, isize)>>("padding")?.into(),
                input_dilation: list("input_dilation")?,
                filter_dilation: list("filter_dilation")?,
                groups: self.keyword("groups")?,
            }),
            "reduce_window" => Op::ReduceWindow { op: self.reduce_op()?, window: self.window()? },
            "select_and_scatter" => Op::SelectAndScatter(self.window()?),
            other => return Err(unknown(other)),
        };
        Ok(Tensor::apply1(op, self.all()?)?)
    }

    fn window(&self) -> Result<WindowSpec> {
        Ok(WindowSpec {
            size: self.keyword::<Vec<usize>>("size")?.into(),
            strides: self.keyword::<Vec<usize>>("strides")?.into(),
            padding: self.keyword::<Vec<(usize, usize)>>("padding")?.into(),
        })
    }

    fn reduce_op(&self) -> Result<ReduceOp> {
        let name: String = self.keyword("op")?;
        Ok(match name.as_str() {
            "sum" => ReduceOp::Sum,
            "prod" => ReduceOp::Prod,
            "max" => ReduceOp::Max,
            "min" => ReduceOp::Min,
            other => return Err(unknown(other)),
        })
    }

    fn scatter_op(&self) -> Result<ScatterOp> {
        let name: String = self.keyword("op")?;
        Ok(match name.as_str() {
            "set" => ScatterOp::Set,
            "add" => ScatterOp::Add,
            "max" => ScatterOp::Max,
            "min" => ScatterOp::Min,
            other => return Err(unknown(other)),
        })
    }
}
