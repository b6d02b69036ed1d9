use keras_spec::layer::Child;
use keras_spec::object::from_config;
use keras_spec::{
    Builder, Call, Class, Config, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor, TensorSpec,
    Variable, Weight, WeightSpec,
};
use serde::Deserialize;
use serde_json::Value;

use super::unit_normalization::normalized;
use crate::initializers::TruncatedNormal;
use crate::layers::common::{axis_length, input_of_min_rank, one, positive};

/// A layer whose kernel (or table of embeddings) is divided by its largest singular value, an estimate of it, at each call in
/// training (`keras.layers.SpectralNormalization`, Keras 3.15.1).
///
/// The kernel itself is replaced by what comes out, and gradients pass through the division. Weights: the layer's kernel,
/// `vector_u` `(1, outputs)`, then the layer's other ones.
#[derive(Clone, Debug)]
pub struct SpectralNormalization {
    layer: LayerRef,
    power_iterations: usize,
    vector_u: Weight,
}

const CLASS: Class = Class::keras("keras.layers", "SpectralNormalization");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    layer: Value,
    #[serde(default = "once")]
    power_iterations: usize,
}

fn once() -> usize {
    1
}

keras_spec::register!(dyn Layer, CLASS, |config| {
    let arguments: Arguments = from_config(CLASS, config)?;
    positive("power_iterations", arguments.power_iterations)?;
    let layer = LayerRef::from_value(&arguments.layer)?;
    Ok(Box::new(SpectralNormalization::new(layer).power_iterations(arguments.power_iterations)))
});

impl SpectralNormalization {
    /// Normalises the kernel of `layer`.
    pub fn new(layer: impl Into<LayerRef>) -> Self {
        SpectralNormalization { layer: layer.into(), power_iterations: 1, vector_u: Weight::default() }
    }

    /// How many steps the estimate of the singular value makes at each call, at least one. Default: 1.
    #[must_use]
    pub fn power_iterations(mut self, power_iterations: usize) -> Self {
        self.power_iterations = power_iterations;
        self
    }

    fn kernel(&self) -> Result<Variable> {
        let own = self.layer.own_weights();
        let found = own.into_iter().find(|w| ["kernel", "embeddings"].contains(&w.name()));
        found.ok_or_else(|| {
            let class = self.layer.class().name;
            Error::argument("layer", "a layer with a kernel or embeddings", format!("a {class}"))
        })
    }

    /// The next estimate of the singular vector, and the kernel divided by the singular value.
    fn step(&self, kernel: &Tensor, u: &Tensor) -> Result<(Tensor, Tensor)> {
        let columns = kernel.shape()[kernel.rank() - 1];
        let matrix = kernel.reshape([kernel.shape().size() / columns.max(1), columns])?;
        let fixed = matrix.stop_gradient();
        let (mut u, mut v) = (u.clone(), u.clone());
        for _ in 0..self.power_iterations {
            v = normalized(&u.matmul(&fixed.swap_axes(0, 1)?)?, &[], 1e-7)?;
            u = normalized(&v.matmul(&fixed)?, &[], 1e-7)?;
        }
        let sigma = v.matmul(&matrix)?.matmul(&u.swap_axes(0, 1)?)?.reshape([])?;
        Ok((u, (kernel / sigma)?))
    }
}

impl Object for SpectralNormalization {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        Ok(Config::from_iter([
            ("layer".to_owned(), self.layer.serialize()?.to_value()),
            ("power_iterations".to_owned(), self.power_iterations.into()),
        ]))
    }
}

impl Layer for SpectralNormalization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        positive("power_iterations", self.power_iterations)?;
        let input = input_of_min_rank(inputs, 1)?;
        match self.layer.build_shapes() {
            Some([PartialShape(dims)]) => match dims.last() {
                Some(Some(length)) => axis_length(input, -1, *length),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        builder.child(&self.layer, inputs)?;
        let kernel = self.kernel()?;
        builder.share(&kernel);
        let columns = kernel.shape().last().copied().unwrap_or(1);
        let spec = WeightSpec::new("vector_u", [1, columns]).dtype(kernel.dtype()).trainable(false);
        builder.weight(&self.vector_u, spec.initializer(TruncatedNormal::new().stddev(0.02))?)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let inner = || self.layer.call(inputs, &call.inner());
        let kernel = self.kernel()?;
        let value = kernel.watched();
        let idle = !call.training || keras_spec::scope::is_abstract() || is_zero(&value)?;
        let outputs = if idle {
            inner()?
        } else {
            let (u, normal) = self.step(&value, &self.vector_u.variable()?.get())?;
            self.vector_u.variable()?.assign(&u)?;
            kernel.assign(&normal)?;
            kernel.replaced(normal, inner)?
        };
        // As in Keras the output has the dtype of the input, even where that is an integer.
        Ok(vec![one(&outputs.tensors)?.cast(x.dtype())?])
    }

    // Not by a call: where the last axis is the batch, its length is checked only where it is known.
    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let dtype = inputs.first().map(|x| x.dtype);
        let inner = self.layer.output_spec(inputs, &call.inner())?;
        Ok(Some(inner.into_iter().map(|s| TensorSpec { dtype: dtype.unwrap_or(s.dtype), ..s }).collect()))
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::one("layer", &self.layer)]
    }
}

fn is_zero(x: &Tensor) -> Result<bool> {
    Ok(x.abs()?.max(&[], false)?.item()? == 0.0)
}
