//! The graph that is being written.

use bytemuck::cast_slice;
use keras_spec::{DType, Error, HostTensor, PartialShape, Result, dispatch_dtype};
use ndarray::{ArrayD, IxDyn};

use super::proto::{
    Attribute, Dimension, GraphProto, Node, Tensor, TensorShape, TensorType, Type, ValueInfo,
};
use crate::training::host;

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) shape: PartialShape,
    pub(super) dtype: DType,
}

impl Value {
    pub(super) fn rank(&self) -> usize {
        self.shape.rank()
    }
}

/// Nodes and constants, with names that nothing else has.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) constants: Vec<Tensor>,
    /// The layer whose nodes are being written.
    place: String,
}

impl Graph {
    /// Writes what belongs to the layer of a name.
    pub(super) fn inside<R>(&mut self, name: &str, write: impl FnOnce(&mut Self) -> R) -> R {
        let place = match self.place.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.place),
        };
        let outer = std::mem::replace(&mut self.place, place);
        let written = write(self);
        self.place = outer;
        written
    }

    /// Adds a node with one result, whose name is returned.
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        self.nodes(op, inputs, 1, attributes).remove(0)
    }

    /// Adds a node with several results.
    pub(super) fn nodes(
        &mut self,
        op: &str,
        inputs: &[&str],
        results: usize,
        attribute: Vec<Attribute>,
    ) -> Vec<String> {
        let name = format!("{}/{op}_{}", self.place, self.nodes.len());
        let output: Vec<String> = (0..results).map(|i| format!("{name}:{i}")).collect();
        self.nodes.push(Node {
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: output.clone(),
            name,
            op_type: op.to_owned(),
            attribute,
        });
        output
    }

    /// Adds a node that gives a value another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.nodes.push(Node {
            input: vec![from.to_owned()],
            output: vec![to.to_owned()],
            name: format!("{to}/Identity_{}", self.nodes.len()),
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        });
    }

    /// Adds a constant.
    ///
    /// # Errors
    /// If the tensor is damaged.
    pub(super) fn constant(&mut self, what: &str, value: &HostTensor) -> Result<String> {
        let name = format!("{}/{what}_{}", self.place, self.constants.len());
        let raw_data =
            dispatch_dtype!(value.dtype(), T => cast_slice::<T, u8>(value.as_slice::<T>()?).to_vec());
        self.constants.push(Tensor {
            dims: value.shape().iter().map(|&n| n as i64).collect(),
            data_type: data_type(value.dtype()),
            name: name.clone(),
            raw_data,
        });
        Ok(name)
    }

    /// Adds a list of integers.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn ints(&mut self, list: &[i64]) -> Result<String> {
        self.constant("ints", &HostTensor::new([list.len()], list.to_vec())?)
    }

    /// Adds a single float32.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn number(&mut self, x: f64) -> Result<String> {
        self.constant("number", &HostTensor::from(x as f32))
    }

    pub(super) fn finish(self, name: &str, input: &[Value], output: &[Value]) -> GraphProto {
        let info = |value: &Value| ValueInfo {
            name: value.name.clone(),
            r#type: Some(Type {
                tensor_type: Some(TensorType {
                    elem_type: data_type(value.dtype),
                    shape: Some(TensorShape { dim: dimensions(value) }),
                }),
            }),
        };
        GraphProto {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.constants,
            input: input.iter().map(info).collect(),
            output: output.iter().map(info).collect(),
        }
    }
}

/// The dimensions of a value; those that are open have names, and that of the batch the same everywhere.
fn dimensions(value: &Value) -> Vec<Dimension> {
    let one = |(axis, n): (usize, &Option<usize>)| match n {
        Some(n) => Dimension { dim_value: Some(*n as i64), dim_param: None },
        None if axis == 0 => Dimension { dim_value: None, dim_param: Some("batch".to_owned()) },
        None => Dimension { dim_value: None, dim_param: Some(format!("{}_{axis}", value.name)) },
    };
    value.shape.dims().iter().enumerate().map(one).collect()
}

/// The number of a dtype in `TensorProto.DataType`.
pub(super) fn data_type(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I8 => 3,
        DType::U16 => 4,
        DType::I16 => 5,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::U32 => 12,
        DType::U64 => 13,
        DType::BF16 => 16,
    }
}

/// A tensor with its axes in another order.
///
/// # Errors
/// If `axes` is no permutation.
pub(super) fn permuted(value: &HostTensor, axes: &[usize]) -> Result<HostTensor> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if sorted != (0..value.shape().rank()).collect::<Vec<_>>() {
        return Err(Error::argument(
            "axes",
            format!("a permutation of {} axes", value.shape().rank()),
            format!("{axes:?}"),
        ));
    }
    dispatch_dtype!(value.dtype(), T => {
        let array = ArrayD::from_shape_vec(IxDyn(value.shape()), value.as_slice::<T>()?.to_vec());
        Ok(host(&array.map_err(Error::other)?.permuted_axes(IxDyn(axes))))
    })
}
