use keras_spec::layer::{Child, Outputs};
use keras_spec::object::from_config;
use keras_spec::{
    Builder, Call, Class, Config, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor, TensorSpec,
};
use serde::Deserialize;
use serde_json::Value;

use crate::layers::common::one;

/// Layers one after the other, as one (`keras.layers.Pipeline`, Keras 3.15.1): made for those that prepare data.
///
/// ```
/// use keras::layers::{Pipeline, RandomContrast, RandomFlip};
/// use keras::prelude::*;
///
/// let augment = Pipeline::new([LayerRef::from(RandomFlip::new()), RandomContrast::new(0.2).into()]);
/// # let _ = LayerRef::from(augment);
/// ```
#[derive(Clone, Debug)]
pub struct Pipeline {
    layers: Vec<LayerRef>,
}

const CLASS: Class = Class::keras("keras.layers", "Pipeline");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    layers: Vec<Value>,
}

keras_spec::register!(dyn Layer, CLASS, |config| {
    let FromFile { layers } = from_config(CLASS, config)?;
    Ok(Box::new(Pipeline { layers: layers.iter().map(LayerRef::from_value).collect::<Result<_>>()? }))
});

impl Pipeline {
    /// The layers, in the order in which they are called.
    pub fn new(layers: impl IntoIterator<Item = impl Into<LayerRef>>) -> Self {
        Pipeline { layers: layers.into_iter().map(Into::into).collect() }
    }
}

impl Object for Pipeline {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let forms = self.layers.iter().map(|layer| Ok(layer.serialize()?.to_value()));
        Ok(Config::from_iter([("layers".to_owned(), Value::Array(forms.collect::<Result<_>>()?))]))
    }
}

impl Layer for Pipeline {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::argument("layers", "at least one layer", "none"));
        }
        one(inputs).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let mut spec = TensorSpec::new(one(inputs)?.clone(), builder.variable_dtype());
        for layer in &self.layers {
            builder.child(layer, std::slice::from_ref(&spec.shape))?;
            spec = one(&layer.output_spec(std::slice::from_ref(&spec), &Call::inference())?)?.clone();
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        self.call_masked(inputs, call).map(|outputs| outputs.tensors)
    }

    fn call_masked(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let mut outputs = Outputs { tensors: inputs.to_vec(), masks: call.masks.clone() };
        for layer in &self.layers {
            outputs = layer.call(&outputs.tensors, &call.inner().with_masks(outputs.masks))?;
        }
        Ok(outputs)
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::list("layers", &self.layers)]
    }

    fn autocast(&self) -> bool {
        false
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.remove("trainable");
        config.remove("dtype");
    }
}
