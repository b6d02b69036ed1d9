//! The life of a layer: configuration, building, symbolic and eager calls, training, mixed precision, a file. Runs for every
//! layer that is registered, with configurations and inputs of its golden vectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use keras::models::{Apply, Input};
use keras::training::{Compile, Fit};
use keras::{Model, load_model_from_bytes, model_from_json};
use keras_spec::object::registered;
use keras_spec::{
    Call, DType, DTypePolicy, Device, HostTensor, Layer, LayerRef, PartialShape, Tensor, TensorSpec,
};
use serde_json::Value;

use crate::compare::{Tolerance, compare};
use crate::kinds::{Failure, Result, mismatch};
use crate::suite::Test;
use crate::tier::Tier;
use crate::vectors::{Case, VectorError};

/// How many configurations of a class are tried, out of all that the vectors have.
const PER_CLASS: usize = 4;

/// Whether a class is no layer by itself: what holds layers has the vectors of models, what another layer holds has its, and
/// what a `Lambda` computes is the program's.
fn is_part(class: &str) -> bool {
    matches!(class, "InputLayer" | "Functional" | "Sequential" | "Lambda")
        || class.ends_with("Cell")
        || class == "StackedRNNCells"
}

/// Whether vectors that a class gives out have the dtype of variables, also where it computes in another.
fn gives_variable_dtype(class: &str) -> bool {
    matches!(class, "CategoryEncoding" | "Hashing" | "HashedCrossing" | "IntegerLookup")
}

/// The mode in which a class gives out what it says that it does. `RandomCrop` passes images through in inference, and says the
/// size of its pieces all the same.
fn honest_mode(class: &str) -> Call {
    if class == "RandomCrop" { Call::training() } else { Call::inference() }
}

/// The tests of every registered layer of Keras.
pub(crate) fn tests(cases: &[Arc<Case>]) -> Vec<Test> {
    let mut by_class: BTreeMap<&str, BTreeMap<String, &Arc<Case>>> = BTreeMap::new();
    for case in cases.iter().filter(|c| is_usual(c)) {
        let config = case.json("object").get("config").map(Value::to_string).unwrap_or_default();
        by_class.entry(&case.class).or_default().entry(config).or_insert(case);
    }
    let mut tests = Vec::new();
    let classes = registered::<dyn Layer>().into_iter().map(|e| e.class);
    for class in classes.filter(|c| c.built_in && !is_part(c.name)) {
        let found: Vec<_> = by_class.get(class.name).into_iter().flat_map(BTreeMap::values).collect();
        if found.is_empty() {
            let work = |_: &Device| (Err(Failure::Vector(no_vector())), 0.0);
            tests.push(Test::new(format!("life/{}", class.name), Tier::Layers, "life", class.name, work));
        }
        let count = found.len().min(PER_CLASS);
        for i in 0..count {
            let case = found[i * found.len() / count];
            let (id, class, case) = (format!("life/{}", case.id), class.name, Arc::clone(case));
            tests.push(Test::new(id, Tier::Layers, "life", class, move |device| {
                (live(&case, device).map_err(|f| f.within(&format!("object: {}", case.json("object")))), 0.0)
            }));
        }
    }
    tests
}

fn no_vector() -> VectorError {
    VectorError::Key("cases".to_owned(), "none has a configuration of this layer".to_owned())
}

/// Whether a case shows a layer as models use it: called in float32 with nothing but inputs, each with the samples on the
/// first axis.
fn is_usual(case: &Case) -> bool {
    // Some have none in their configuration.
    let policy = case.json("object").pointer("/config/dtype");
    let policy = policy.map_or(Ok(DTypePolicy::uniform(DType::F32)), DTypePolicy::from_value);
    let plain = policy.is_ok_and(|p| p.name() == "float32") && case.json("expect_error").is_null();
    plain && inputs(case).is_ok_and(|inputs| samples(&inputs).is_some_and(|n| n > 0))
}

/// The only positional argument, or those of a layer with several inputs.
fn inputs(case: &Case) -> Result<Vec<HostTensor>> {
    match &case.list("args")?[..] {
        [one] => Ok(one.tensors()?.into_iter().flatten().collect()),
        several if !LayerRef::from_value(case.json("object"))?.layer().input_names().is_empty() => {
            let tensors =
                several.iter().map(|arg| arg.tensors()).collect::<std::result::Result<Vec<_>, _>>()?;
            Ok(tensors.into_iter().flatten().flatten().collect())
        }
        _ => Err(VectorError::Key("args".to_owned(), "is not one argument".to_owned()).into()),
    }
}

/// How many samples there are, if all arrays have as many.
fn samples(arrays: &[HostTensor]) -> Option<usize> {
    let count = |a: &HostTensor| a.shape().first().copied();
    let first = count(arrays.first()?)?;
    arrays.iter().all(|a| count(a) == Some(first)).then_some(first)
}

fn live(case: &Case, device: &Device) -> Result {
    let object = case.json("object");
    let inputs = inputs(case)?;
    let stage = |name: &str, result: Result| result.map_err(|f| f.during(name));
    stage("serialization", survives_serialization(object))?;
    let fixed = object.pointer("/config/stateful") == Some(&Value::Bool(true));
    stage("building and calling", calls(object, &inputs, fixed, device, None))?;
    for policy in ["mixed_float16", "mixed_bfloat16"] {
        let policy = DTypePolicy::new(policy)?;
        stage(&policy.name(), calls(&with_policy(object, policy), &inputs, fixed, device, Some(policy)))?;
    }
    stage("training and saving", trains_and_saves(object, &inputs, fixed))?;
    let mixed = with_policy(object, DTypePolicy::new("mixed_bfloat16")?);
    stage("training in mixed_bfloat16", trained(&mixed, &inputs, fixed).map(drop))
}

fn survives_serialization(object: &Value) -> Result {
    let first = LayerRef::from_value(object)?.serialize()?.to_value();
    let second = LayerRef::from_value(&first)?.serialize()?.to_value();
    match first == second {
        true => Ok(()),
        false => mismatch(format!("serializes to {first}, and what is made of that to {second}")),
    }
}

/// What a layer is told of `x` before there is data.
fn symbolic(x: &HostTensor, fixed: bool) -> TensorSpec {
    let mut shape: PartialShape = x.shape().into();
    if let Some(batch) = shape.0.first_mut().filter(|_| !fixed) {
        *batch = None;
    }
    TensorSpec::new(shape, x.dtype())
}

/// The layer is built, and its symbolic outputs are those of a call.
fn calls(
    object: &Value,
    inputs: &[HostTensor],
    fixed: bool,
    device: &Device,
    policy: Option<DTypePolicy>,
) -> Result {
    let layer = LayerRef::from_value(object)?;
    let shapes: Vec<PartialShape> = inputs.iter().map(|x| x.shape().into()).collect();
    layer.build_on(device, &shapes)?;
    let specs: Vec<TensorSpec> = inputs.iter().map(|x| symbolic(x, fixed)).collect();
    let call = honest_mode(layer.class().name);
    let specs = layer.output_spec(&specs, &call)?;
    let bring = |x: &HostTensor| Tensor::from_host(x.clone(), device);
    let given = inputs.iter().map(bring).collect::<keras_spec::Result<Vec<_>>>()?;
    let outputs = layer.call(&given, &call)?.tensors;
    let fits = |(spec, t): (&TensorSpec, &Tensor)| spec.shape.matches(t.shape()) && spec.dtype == t.dtype();
    if specs.len() != outputs.len() || !specs.iter().zip(&outputs).all(fits) {
        return mismatch(format!("symbolic outputs {specs:?}, those of the call {outputs:?}"));
    }
    let Some(policy) = policy else { return Ok(()) };
    let wrong = |dtype: DType, due| dtype.is_float() && dtype != due;
    let due = match gives_variable_dtype(layer.class().name) {
        true => policy.variable_dtype(),
        false => policy.compute_dtype(),
    };
    if let Some(t) = outputs.iter().find(|t| wrong(t.dtype(), due)) {
        return mismatch(format!("an output is {} where {due} is due", t.dtype()));
    }
    match layer.weights().iter().find(|w| wrong(w.dtype(), policy.variable_dtype())) {
        Some(w) => mismatch(format!("weight {} is {}", w.path(), w.dtype())),
        None => Ok(()),
    }
}

/// The object with the policy in its configuration and in those of the layers in it.
fn with_policy(object: &Value, policy: DTypePolicy) -> Value {
    let mut object = object.clone();
    set_policy(&mut object, policy);
    object
}

fn set_policy(value: &mut Value, policy: DTypePolicy) {
    match value {
        Value::Object(map) => {
            let is_layer = map.get("module").and_then(Value::as_str).is_some_and(|m| m.contains("layers"));
            if let (true, Some(Value::Object(config))) = (is_layer, map.get_mut("config")) {
                config.insert("dtype".to_owned(), policy.to_value());
            }
            map.values_mut().for_each(|v| set_policy(v, policy));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| set_policy(v, policy)),
        _ => {}
    }
}

/// How often a layer may begin with weights that a step does not change, before that counts as a failure: with some draws of
/// initial weights, no unit of a `relu` gives anything.
const TRIES: usize = 20;

/// A model of this layer alone after a step of training, which has changed its trainable weights.
fn trained(object: &Value, inputs: &[HostTensor], fixed: bool) -> Result<Model> {
    for _ in 0..TRIES {
        if let Some(model) = after_step(object, inputs, fixed)? {
            return Ok(model);
        }
    }
    mismatch("a step of training changes no trainable weight".to_owned())
}

/// A model of this layer alone after a step of training; `None` if no trainable weight has changed.
fn after_step(object: &Value, inputs: &[HostTensor], fixed: bool) -> Result<Option<Model>> {
    let mut given = Vec::with_capacity(inputs.len());
    for x in inputs {
        given.push(Input::with_batch_shape(symbolic(x, fixed).shape).dtype(x.dtype()).tensor()?);
    }
    let layer = LayerRef::from_value(object)?;
    let honest = honest_mode(layer.class().name);
    let outputs = match &given[..] {
        [one] => layer.clone().apply_all(one, [])?,
        several => layer.clone().apply_all(several, [])?,
    };
    let mut model = Model::new(&given, &outputs)?;
    let before = model.predict(inputs.to_vec())?;
    // What is not differentiable, has other samples than the inputs, or another shape in training is not trained.
    let trains = before.iter().all(|y| y.dtype().is_float()) && samples(&before) == samples(inputs);
    if trains && !honest.training {
        model.compile(Compile::new("sgd", vec!["mse"; before.len()]))?;
        // Zeros are what some layers give anyway.
        let targets: Vec<HostTensor> =
            before.iter().map(|y| HostTensor::full(y.shape().clone(), y.dtype(), -1.0)).collect();
        let values = || layer.trainable_weights().iter().map(|w| w.get().to_host()).collect();
        let old: keras_spec::Result<Vec<HostTensor>> = values();
        model.fit(inputs.to_vec(), targets, Fit::new().verbose(0))?;
        let (old, new): (_, Vec<HostTensor>) = (old?, values()?);
        if !old.is_empty() && old == new {
            return Ok(None);
        }
    }
    Ok(Some(model))
}

/// A model of this layer alone is trained for one step, saved, loaded, and predicts the same.
fn trains_and_saves(object: &Value, inputs: &[HostTensor], fixed: bool) -> Result {
    let mut model = trained(object, inputs, fixed)?;
    let mut loaded = load_model_from_bytes(model.to_keras_bytes()?)?;
    if fixed {
        // The states of stateful layers are in no file: the same model without them.
        let weights = model.get_weights()?;
        model = model_from_json(&model.to_json()?)?;
        model.set_weights(&weights)?;
    }
    let after = model.predict(inputs.to_vec())?;
    let exact = Some(Tolerance { rtol: 0.0, atol: 0.0 });
    for (got, expected) in loaded.predict(inputs.to_vec())?.iter().zip(&after) {
        if let Err(why) = compare(got, expected, exact) {
            return mismatch(format!("prediction of the loaded model: {why}"));
        }
    }
    Ok(())
}
