//! `model`: a file of Keras's, what it predicts and how it trains.

use std::path::PathBuf;

use keras::training::{Batch, Compile, Data};
use keras::{Model, load_model};
use keras_spec::{Error, HostTensor};
use serde_json::Value;

use super::{Check, Result};
use crate::vectors::{Case, Tree};

pub(super) fn run(case: &Case, check: &mut Check) -> Result {
    let mut model = open(case)?;
    let inputs = data(&case.tree("inputs")?)?;
    let outputs: Vec<Option<HostTensor>> = model.predict(inputs)?.into_iter().map(Some).collect();
    check.arrays("outputs", &outputs, &case.tree("outputs")?)?;
    match case.json("training") {
        Value::Null => Ok(()),
        training => train(case, &mut model, training, check),
    }
}

fn beside(case: &Case, name: &str) -> PathBuf {
    case.path.parent().map_or_else(PathBuf::new, |folder| folder.join(name))
}

/// The model of `file`, or of `config_file` with the weights of `file`.
fn open(case: &Case) -> Result<Model> {
    let file = beside(case, case.text("file")?);
    let Some(config) = case.json("config_file").as_str() else {
        return Ok(load_model(file)?);
    };
    let config = beside(case, config);
    let text =
        std::fs::read_to_string(&config).map_err(|e| Error::other(format!("{}: {e}", config.display())))?;
    let is_yaml = config.extension().is_some_and(|e| e == "yaml");
    let model = if is_yaml { keras::model_from_yaml(&text)? } else { keras::model_from_json(&text)? };
    model.load_weights(file)?;
    Ok(model)
}

fn data(tree: &Tree) -> Result<Data> {
    let mut arrays: Vec<HostTensor> = tree.tensors()?.into_iter().flatten().collect();
    Ok(match arrays.len() {
        1 => Data::One(arrays.remove(0)),
        _ => Data::List(arrays),
    })
}

fn train(case: &Case, model: &mut Model, training: &Value, check: &mut Check) -> Result {
    let field = |key: &str| training.get(key).unwrap_or(&Value::Null);
    if field("resumed") != &Value::Bool(true) {
        model.compile(Compile::from_value(training)?)?;
    }
    let batches = field("batches").as_array().cloned().unwrap_or_default();
    let mut losses = Vec::with_capacity(batches.len());
    for batch in &batches {
        let part = |key: &str| data(&case.read(batch.get(key).unwrap_or(&Value::Null))?);
        let logs = model.train_on_batch(&Batch::new(part("x")?, part("y")?))?;
        losses.push(logs["loss"] as f32);
    }
    let expected: Vec<f32> = field("losses")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .map(|x| x as f32)
        .collect();
    let array = |v: Vec<f32>| HostTensor::new([v.len()], v);
    check.array("losses", &array(losses)?, &array(expected)?)?;
    let weights: Vec<Option<HostTensor>> = model.get_weights()?.into_iter().map(Some).collect();
    check.arrays("weights_after", &weights, &case.read(field("weights_after"))?)?;
    if let (Some(optimizer), Value::Array(_)) =
        (keras_spec::Model::optimizer(model), field("optimizer_after"))
    {
        let state = optimizer
            .variables()
            .iter()
            .map(|v| v.get().to_host().map(Some))
            .collect::<keras_spec::Result<Vec<_>>>()?;
        check.arrays("optimizer_after", &state, &case.read(field("optimizer_after"))?)?;
    }
    Ok(())
}
