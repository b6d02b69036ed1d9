//! Building: where weights come from.

use crate::contracts::{Constraint, Initializer, Regularizer};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::host::HostTensor;
use crate::layer::{LayerRef, size};
use crate::object::Shared;
use crate::policy::DTypePolicy;
use crate::shape::{PartialShape, Shape};
use crate::tensor::Tensor;
use crate::variable::{Variable, Weight};

/// What a weight is to be: [`Builder::weight`]'s argument (`Layer.add_weight`, Keras 3.15.1).
#[derive(Clone, Debug)]
pub struct WeightSpec {
    name: String,
    shape: Shape,
    dtype: Option<DType>,
    initializer: Option<Shared<dyn Initializer>>,
    regularizer: Option<Shared<dyn Regularizer>>,
    constraint: Option<Shared<dyn Constraint>>,
    trainable: bool,
}

impl WeightSpec {
    /// A trainable weight of the layer's variable dtype, initialised by `glorot_uniform` for floats and zeros otherwise.
    pub fn new(name: &str, shape: impl Into<Shape>) -> Self {
        WeightSpec {
            name: name.to_owned(),
            shape: shape.into(),
            dtype: None,
            initializer: None,
            regularizer: None,
            constraint: None,
            trainable: true,
        }
    }

    /// The initializer, by name or as an object.
    ///
    /// # Errors
    /// If there is no initializer of the name.
    pub fn initializer<I>(mut self, initializer: I) -> Result<Self>
    where
        I: TryInto<Shared<dyn Initializer>>,
        Error: From<I::Error>,
    {
        self.initializer = Some(initializer.try_into()?);
        Ok(self)
    }

    /// The regularizer.
    #[must_use]
    pub fn regularizer(mut self, regularizer: Option<&Shared<dyn Regularizer>>) -> Self {
        self.regularizer = regularizer.cloned();
        self
    }

    /// The constraint.
    #[must_use]
    pub fn constraint(mut self, constraint: Option<&Shared<dyn Constraint>>) -> Self {
        self.constraint = constraint.cloned();
        self
    }

    /// Whether training changes the weight.
    #[must_use]
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.trainable = trainable;
        self
    }

    /// The dtype.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }
}

/// What [`crate::Layer::build`] creates weights with.
#[derive(Debug)]
pub struct Builder {
    device: Device,
    policy: DTypePolicy,
    activity_regularizer: Option<Shared<dyn Regularizer>>,
    weights: Vec<Variable>,
}

impl Builder {
    pub(super) fn new(
        device: Device,
        policy: DTypePolicy,
        activity_regularizer: Option<Shared<dyn Regularizer>>,
    ) -> Self {
        Builder { device, policy, activity_regularizer, weights: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Variable> {
        self.weights
    }

    /// Where weights are made.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The dtype of float weights: the layer's variable dtype.
    pub fn variable_dtype(&self) -> DType {
        self.policy.variable_dtype()
    }

    /// The layer's dtype policy.
    pub fn policy(&self) -> DTypePolicy {
        self.policy
    }

    /// The layer's activity regularizer.
    pub fn activity_regularizer(&self) -> Option<&Shared<dyn Regularizer>> {
        self.activity_regularizer.as_ref()
    }

    /// Counts a weight of a layer inside this one among this one's own, as Keras does where an attribute holds it.
    pub fn share(&mut self, weight: &Variable) {
        self.weights.push(weight.clone());
    }

    /// Creates a weight in its slot. The order of these calls is the order of the layer's weights in files.
    ///
    /// # Errors
    /// If the initializer cannot make the shape, or the slot has a weight.
    pub fn weight(&mut self, slot: &Weight, spec: WeightSpec) -> Result<()> {
        let dtype = spec.dtype.unwrap_or(self.variable_dtype());
        let initializer = match spec.initializer {
            Some(i) => i,
            None if dtype.is_float() => "glorot_uniform".try_into()?,
            None => "zeros".try_into()?,
        };
        if let Some(axis) = spec.shape.iter().position(|&d| d == 0) {
            let found = format!("{} with 0 on axis {axis}", spec.shape);
            return Err(Error::argument(spec.name, "positive dimensions", found));
        }
        check_size(&spec.name, &spec.shape, dtype)?;
        initializer.draw_seed();
        let value = match size::is_replaced() {
            // Not `Tensor::full`, which writes to the memory: zeros of the allocator's take none before they are read.
            true => Tensor::from_host(HostTensor::full(spec.shape.clone(), dtype, 0.0), &self.device)?,
            false => initializer.call(&spec.shape, dtype, &self.device)?,
        };
        if *value.shape() != spec.shape {
            let found = format!("{} from the initializer", value.shape());
            return Err(Error::argument(spec.name, format!("shape {}", spec.shape), found));
        }
        let value = value.into_dtype(dtype)?;
        let variable = Variable::with(&spec.name, value, spec.trainable, spec.regularizer, spec.constraint);
        slot.set(variable.clone())?;
        self.weights.push(variable);
        Ok(())
    }

    /// Builds a layer inside this one, unless it is built already.
    ///
    /// # Errors
    /// If it cannot be built for these shapes.
    pub fn child(&mut self, layer: &LayerRef, inputs: &[PartialShape]) -> Result<()> {
        layer.build_on(&self.device, inputs)
    }

    /// The length of an axis that weights depend on.
    ///
    /// # Errors
    /// If the axis does not exist or its length is unknown.
    pub fn known_dim(&self, shape: &PartialShape, axis: isize) -> Result<usize> {
        let i = shape.axis(axis)?;
        shape[i]
            .ok_or_else(|| Error::argument("input_shape", format!("a known length of axis {axis}"), shape))
    }
}

/// How many bytes per element an initializer takes: random bits and numbers in double precision, beside the weight.
const WORKSPACE: usize = 24;

/// Refuses a weight that there is no memory for, or that is more than what a file holds
/// ([`loading`](super::loading)): its shape may come from a file.
fn check_size(name: &str, shape: &Shape, dtype: DType) -> Result<()> {
    let wrong = |expected: String| {
        let bytes = shape.size().saturating_mul(dtype.size());
        Err(Error::argument(name, expected, format!("shape {shape} of {dtype}, {bytes} bytes")))
    };
    if let Err(left) = size::take(shape.size()) {
        return wrong(format!("at most the {left} elements that the file has for it"));
    }
    let workspace = if size::is_replaced() { dtype.size() } else { WORKSPACE };
    if !crate::memory::has_memory_for(shape.size().saturating_mul(workspace)) {
        return wrong("a shape that there is memory for".to_owned());
    }
    Ok(())
}
