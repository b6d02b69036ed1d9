use keras_spec::layer::Child;
use keras_spec::object::from_config;
use keras_spec::{
    Builder, Call, Class, Config, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor, TensorSpec,
};
use serde::Deserialize;
use serde_json::Value;

use crate::layers::common::{input_of_min_rank, one};

/// A layer applied to each step: `(batch, steps, …)` → `(batch, steps, …)` (`keras.layers.TimeDistributed`, Keras 3.15.1).
/// The weights are the same at all steps; what the layer draws or updates, it draws or updates at each.
///
/// ```
/// use keras::layers::{Dense, TimeDistributed};
///
/// let layer = TimeDistributed::new(Dense::new(8));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct TimeDistributed {
    layer: LayerRef,
}

const CLASS: Class = Class::keras("keras.layers", "TimeDistributed");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    layer: Value,
}

keras_spec::register!(dyn Layer, CLASS, |config| {
    let arguments: Arguments = from_config(CLASS, config)?;
    Ok(Box::new(TimeDistributed { layer: LayerRef::from_value(&arguments.layer)? }))
});

impl TimeDistributed {
    /// Applies `layer`, which has one input and one output, to each step.
    pub fn new(layer: impl Into<LayerRef>) -> Self {
        TimeDistributed { layer: layer.into() }
    }
}

/// The shape of one step.
fn step_shape(input: &PartialShape) -> PartialShape {
    let rest = input.iter().enumerate().filter(|(axis, _)| *axis != 1);
    rest.map(|(_, d)| *d).collect()
}

impl Object for TimeDistributed {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        Ok(Config::from_iter([("layer".to_owned(), self.layer.serialize()?.to_value())]))
    }
}

impl Layer for TimeDistributed {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let input = input_of_min_rank(inputs, 3)?;
        if input[1] == Some(0) {
            return Err(Error::argument(
                "inputs",
                "at least one step along axis 1",
                format!("shape {input}"),
            ));
        }
        self.layer.layer().check_inputs(&[step_shape(input)])
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        builder.child(&self.layer, &[step_shape(one(inputs)?)])
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let mask = call.mask(0);
        if let Some(mask) = mask.filter(|m| m.shape().get(..2) != x.shape().get(..2)) {
            let due = format!("a shape that begins with ({}, {})", x.shape()[0], x.shape()[1]);
            return Err(Error::argument("mask", due, mask.shape()));
        }
        let step = |t: usize| {
            let mut inner = call.clone();
            inner.arguments.clear();
            inner.masks = vec![mask.map(|m| m.index(1, t)).transpose()?];
            // As in Keras the layer's own dtype, activity regularizer and output mask play no part.
            one(&self.layer.layer().call(&[x.index(1, t)?], &inner)?).cloned()
        };
        let outputs = (0..x.shape()[1]).map(step).collect::<Result<Vec<_>>>()?;
        Ok(vec![Tensor::stack(&outputs, 1)?])
    }

    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let input = one(inputs)?;
        let step = TensorSpec::new(step_shape(&input.shape), input.dtype);
        let inner = self.layer.output_spec(&[step], call)?;
        let mut output = one(&inner)?.clone();
        if output.shape.rank() == 0 {
            return Err(Error::argument("layer", "a layer whose outputs have a batch axis", "a scalar"));
        }
        output.shape.0.insert(1, input.shape[1]);
        Ok(Some(vec![output]))
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::one("layer", &self.layer)]
    }
}
