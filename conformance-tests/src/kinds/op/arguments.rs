//! What an operation is called with.

use std::collections::BTreeMap;

use keras_spec::{Device, Dims, Op, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::{Result, argument};
use crate::vectors::{Case, Tree, VectorError};

/// The arguments of a call, by position or name.
pub(super) struct Arguments<'a> {
    pub(super) args: Vec<Tree>,
    pub(super) kwargs: BTreeMap<String, Tree>,
    /// The leaves of `args` on the device.
    pub(super) tensors: Vec<Option<Tensor>>,
    pub(super) device: &'a Device,
}

impl Arguments<'_> {
    pub(super) fn get(&self, i: usize, name: &str) -> Option<&Tree> {
        self.args.get(i).or_else(|| self.kwargs.get(name)).filter(|v| !v.is_null())
    }

    pub(super) fn value(&self, i: usize, name: &str) -> Option<Value> {
        self.get(i, name).and_then(Tree::to_value)
    }

    /// An argument that serde reads.
    pub(super) fn read<T: DeserializeOwned>(&self, i: usize, name: &str) -> Result<T> {
        serde_json::from_value(self.value(i, name).unwrap_or_default())
            .map_err(|e| VectorError::Key(name.to_owned(), e.to_string()).into())
    }

    /// A keyword argument.
    pub(super) fn keyword<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.read(usize::MAX, name)
    }

    /// A keyword argument, or what it is where it is not given.
    pub(super) fn or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T> {
        match self.kwargs.contains_key(name) {
            true => self.keyword(name),
            false => Ok(default),
        }
    }

    /// One integer or a list of them; none for null.
    pub(super) fn axes(&self, name: &str) -> Result<Vec<isize>> {
        match self.value(usize::MAX, name) {
            None => Ok(Vec::new()),
            Some(Value::Array(_)) => self.keyword(name),
            Some(_) => Ok(vec![self.keyword(name)?]),
        }
    }

    /// A list with an entry for each of `n` dimensions; a number stands for all of them.
    pub(super) fn each(&self, name: &str, n: usize, default: usize) -> Result<Dims> {
        match self.value(usize::MAX, name) {
            None => Ok(Dims::from_elem(default, n)),
            Some(Value::Array(_)) => Ok(self.keyword::<Vec<usize>>(name)?.into()),
            Some(_) => Ok(Dims::from_elem(self.keyword(name)?, n)),
        }
    }

    /// Array `i` of the arguments.
    pub(super) fn tensor(&self, i: usize) -> Result<&Tensor> {
        argument(&self.tensors, i)
    }

    /// All arrays of the arguments.
    pub(super) fn all(&self) -> Result<Vec<Tensor>> {
        (0..self.tensors.len()).map(|i| self.tensor(i).cloned()).collect()
    }
}

/// How the operands of an operation lie in memory, where a backend's views share it.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layout {
    /// As uploaded.
    Dense,
    /// As the transpose of a tensor.
    Transposed,
    /// As every second element of a tensor.
    Sliced,
    /// As a tensor turned round along every axis.
    Flipped,
}

impl Layout {
    pub(super) fn of(case: &Case) -> Result<Self> {
        match case.json("layout") {
            Value::Null => Ok(Layout::Dense),
            name => serde_json::from_value(name.clone())
                .map_err(|e| VectorError::Key("layout".to_owned(), e.to_string()).into()),
        }
    }

    /// The same tensor as the result of an operation that a backend may do without moving elements.
    pub(super) fn arrange(self, x: &Tensor) -> Result<Tensor> {
        let n = x.rank();
        let uploaded = |x: Tensor| Tensor::from_host(x.to_host()?, x.device());
        let axes: Dims = (0..n).rev().collect();
        Ok(match self {
            Layout::Dense => x.clone(),
            Layout::Transposed => uploaded(x.permute(&axes)?)?.permute(&axes)?,
            Layout::Sliced => {
                let (one, none) = (Dims::from_elem(1, n), Dims::from_elem(0, n));
                let spread = Op::Pad { value: 1.0, low: one.clone(), high: none, interior: one.clone() };
                let spread = uploaded(Tensor::apply1(spread, [x.clone()])?)?;
                let limit: Dims = spread.shape().iter().copied().collect();
                spread.slice(
                    &Dims::from_iter(limit.iter().map(|&n| n.min(1))),
                    &limit,
                    &Dims::from_elem(2, n),
                )?
            }
            Layout::Flipped if n == 0 => x.clone(),
            Layout::Flipped => uploaded(x.flip(&[])?)?.flip(&[])?,
        })
    }
}
