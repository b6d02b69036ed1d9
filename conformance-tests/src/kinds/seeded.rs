//! `seeded_model`: the weights that a model starts with after `set_random_seed`.

use keras_spec::random::set_random_seed;
use keras_spec::{HostTensor, LayerRef, PartialShape, Variable};
use serde_json::Value;

use super::{Check, Failure, Result};
use crate::vectors::{Case, VectorError};

pub(super) fn run(case: &Case, check: &mut Check) -> Result {
    let seed = case.json("seed").as_u64().and_then(|s| u32::try_from(s).ok());
    set_random_seed(seed.ok_or_else(|| VectorError::Key("seed".to_owned(), "is no seed".to_owned()))?);
    let mut object = case.json("object").clone();
    if case.json("from_object") == &Value::Bool(false) {
        as_constructed(&mut object);
    }
    let model = keras::Model::from_layer(LayerRef::from_value(&object)?).as_layer().clone();
    if !model.is_built() {
        model.build(&build_shapes(&object)?)?;
    }
    let weights: Vec<_> = model.weights().iter().map(Variable::get).collect();
    check.tensors("weights", &weights, &case.tree("weights")?)?;
    let states =
        model.seed_generators().into_iter().map(|g| HostTensor::new([2], g.state().to_vec()).map(Some));
    let states = states.collect::<keras_spec::Result<Vec<_>>>()?;
    check.arrays("seeds", &states, &case.tree("seeds")?)
}

/// Leaves out what a constructor makes for itself: the backward layer of `Bidirectional`.
fn as_constructed(object: &mut Value) {
    let layers = object.pointer_mut("/config/layers").and_then(Value::as_array_mut);
    for layer in layers.into_iter().flatten().filter(|l| l["class_name"] == "Bidirectional") {
        if let Some(config) = layer.get_mut("config").and_then(Value::as_object_mut) {
            config.remove("backward_layer");
        }
    }
}

fn build_shapes(object: &Value) -> Result<Vec<PartialShape>> {
    let shape = object.pointer("/build_config/input_shape").cloned().unwrap_or_default();
    let one = serde_json::from_value::<PartialShape>(shape.clone()).map(|one| vec![one]);
    one.or_else(|_| serde_json::from_value(shape))
        .map_err(|e| Failure::from(VectorError::Key("build_config".to_owned(), e.to_string())))
}
