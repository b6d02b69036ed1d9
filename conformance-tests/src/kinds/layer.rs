//! `layer`: a call with given weights, its gradients and its traces.

use std::collections::BTreeMap;

use keras_spec::layer::{Argument, Outputs};
use keras_spec::random::set_random_seed;
use keras_spec::{Call, Device, HostTensor, LayerRef, PartialShape, Tensor, TensorSpec, Variable, scope};
use serde_json::Value;

use super::{Check, Result, leaves, mismatch, sources, watched};
use crate::vectors::{Case, Tree, VectorError};

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let layer = LayerRef::from_value(case.json("object"))?;
    let (args, kwargs) = (case.list("args")?, case.dict("kwargs")?);
    let mut invocation = Invocation::new(&layer, &args, &kwargs, device)?;
    if let (Some(masks), false) = (case.optional("input_masks")?, kwargs.contains_key("mask")) {
        invocation.call.masks = leaves(&masks, device)?;
    }
    layer.build_on(device, &build_shapes(case, &invocation))?;
    if let Some(weights) = case.optional("weights")? {
        set_weights(&layer, &weights.tensors()?, device)?;
        set_seeds(&layer, &case.tree("seeds")?)?;
    }
    if let Value::Array(before) = case.json("calls_before") {
        for call in before {
            invoke_before(case, call, &layer, device)?;
        }
    }
    if let Some(seed) = case.json("python_seed").as_u64() {
        set_random_seed(seed as u32);
    }
    let (outputs, trainable) = scope::recorded(|| {
        let trainable: Vec<Tensor> = layer.trainable_weights().iter().map(Variable::watched).collect();
        layer.call(&invocation.inputs, &invocation.call).map(|outputs| (outputs, trainable))
    })?;
    check.tensors("outputs", &outputs.tensors, &case.tree("outputs")?)?;
    masks(case, &outputs, check)?;
    losses(case, &layer, &invocation.call, check)?;
    let after = layer.weights();
    let expected = case.optional("weights_after")?.map_or_else(|| case.tree("weights"), Ok)?;
    check.tensors("weights_after", after.iter().map(Variable::get).collect::<Vec<_>>().iter(), &expected)?;
    if let Some(cotangents) = case.optional("cotangents")? {
        let cotangents = leaves(&cotangents, device)?;
        let given = sources(&invocation.leaves);
        let expected = case.tree("input_grads")?;
        check.gradients("input_grads", &outputs.tensors, Some(&cotangents), &given, &expected)?;
        let weights: Vec<Option<Tensor>> = trainable.into_iter().map(Some).collect();
        let expected = case.tree("weight_grads")?;
        check.gradients("weight_grads", &outputs.tensors, Some(&cotangents), &weights, &expected)?;
    }
    specs(&layer, &invocation, &outputs)
}

/// What a layer is called with.
struct Invocation {
    inputs: Vec<Tensor>,
    call: Call,
    /// Every array of `args`.
    leaves: Vec<Option<Tensor>>,
}

impl Invocation {
    fn new(
        layer: &LayerRef,
        args: &[Tree],
        kwargs: &BTreeMap<String, Tree>,
        device: &Device,
    ) -> Result<Self> {
        let mut call = Call::inference();
        let mut all = Vec::new();
        let mut inputs = Vec::new();
        let names = layer.layer().input_names();
        for (i, arg) in args.iter().enumerate() {
            let tensors = watched(leaves(arg, device)?);
            all.extend(tensors.iter().cloned());
            match i {
                _ if i > 0 && i < names.len() => inputs.extend(tensors.into_iter().flatten()),
                0 => inputs = tensors.into_iter().flatten().collect(),
                1 => set(&mut call, second_argument(layer), tensors),
                _ => return Err(VectorError::Key("args".to_owned(), "has more than two".to_owned()).into()),
            }
        }
        for name in names.iter().skip(args.len()) {
            let given = kwargs.get(*name).map(|value| leaves(value, device)).transpose()?;
            inputs.extend(given.into_iter().flatten().flatten());
        }
        for (name, value) in kwargs.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
            match value {
                Tree::Value(Value::Null) => {}
                Tree::Value(Value::Bool(training)) if name == "training" => call.training = *training,
                other => match other.to_value() {
                    Some(value) => drop(call.arguments.insert(name.clone(), Argument::Value(value))),
                    None => set(&mut call, name, leaves(other, device)?),
                },
            }
        }
        Ok(Invocation { inputs, call, leaves: all })
    }
}

fn set(call: &mut Call, name: &str, tensors: Vec<Option<Tensor>>) {
    match name {
        "mask" => call.masks = tensors,
        _ => {
            let tensors = tensors.into_iter().flatten().collect();
            call.arguments.insert(name.to_owned(), Argument::Tensors(tensors));
        }
    }
}

/// The second parameter of the class's `call` in Keras.
fn second_argument(layer: &LayerRef) -> &'static str {
    match layer.class().name {
        "RNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" | "SimpleRNN" | "LSTM" | "GRU"
        | "Bidirectional" => "initial_state",
        _ => "mask",
    }
}

fn invoke_before(case: &Case, call: &Value, layer: &LayerRef, device: &Device) -> Result {
    let part = |key: &str| case.read(call.get(key).unwrap_or(&Value::Null));
    let kwargs = match part("kwargs")? {
        Tree::Dict(entries) => entries,
        _ => BTreeMap::new(),
    };
    let Tree::List(args) = part("args")? else {
        return Err(VectorError::Key("calls_before".to_owned(), "`args` is no list".to_owned()).into());
    };
    let invocation = Invocation::new(layer, &args, &kwargs, device)?;
    layer.call(&invocation.inputs, &invocation.call)?;
    Ok(())
}

/// What the layer was built with: `input_shape` of `build_config`, or the shapes of the inputs.
fn build_shapes(case: &Case, invocation: &Invocation) -> Vec<PartialShape> {
    let given: Vec<PartialShape> = invocation.inputs.iter().map(|t| t.shape().into()).collect();
    let recorded = case.json("object").pointer("/build_config/input_shape").cloned().unwrap_or_default();
    let shapes = match given[..] {
        [_] => serde_json::from_value::<PartialShape>(recorded).map(|one| vec![one]),
        _ => serde_json::from_value(recorded),
    };
    shapes.ok().filter(|shapes| shapes.len() == given.len()).unwrap_or(given)
}

fn set_weights(layer: &LayerRef, values: &[Option<HostTensor>], device: &Device) -> Result {
    let weights = layer.weights();
    if weights.len() != values.len() {
        let paths: Vec<&str> = weights.iter().map(Variable::path).collect();
        return mismatch(format!("weights are {paths:?} where {} are expected", values.len()));
    }
    for (weight, value) in weights.iter().zip(values) {
        let Some(value) = value else { continue };
        if weight.dtype() != value.dtype() {
            return mismatch(format!(
                "weight {} is {}, not {}",
                weight.path(),
                weight.dtype(),
                value.dtype()
            ));
        }
        weight.assign(&Tensor::from_host(value.clone(), device)?)?;
    }
    Ok(())
}

fn set_seeds(layer: &LayerRef, seeds: &Tree) -> Result {
    let generators = layer.seed_generators();
    let states = seeds.tensors()?;
    if generators.len() != states.len() {
        return mismatch(format!("{} seed generators where {} are expected", generators.len(), states.len()));
    }
    for (generator, state) in generators.iter().zip(states.iter().flatten()) {
        match state.as_slice::<u32>()? {
            &[a, b] => generator.set_state([a, b]),
            _ => return Err(VectorError::Key("seeds".to_owned(), "are not pairs".to_owned()).into()),
        }
    }
    Ok(())
}

fn masks(case: &Case, outputs: &Outputs, check: &mut Check) -> Result {
    let mut got = Vec::with_capacity(outputs.masks.len());
    for mask in &outputs.masks {
        got.push(mask.as_ref().map(Tensor::to_host).transpose()?);
    }
    let expected = case.optional("output_masks")?;
    let none = || Tree::List(vec![Tree::Value(Value::Null); outputs.tensors.len()]);
    check.arrays("output_masks", &got, &expected.unwrap_or_else(none))
}

fn losses(case: &Case, layer: &LayerRef, call: &Call, check: &mut Check) -> Result {
    match case.optional("losses")? {
        None => Ok(()),
        Some(expected) => {
            let got: Vec<Tensor> = call.losses().into_iter().chain(layer.regularization_losses()?).collect();
            check.tensors("losses", &got, &expected)
        }
    }
}

/// Whether the symbolic outputs for a batch of unknown length are those that the call gave.
fn specs(layer: &LayerRef, invocation: &Invocation, outputs: &Outputs) -> Result {
    let symbolic = |t: &Tensor| {
        let mut shape: PartialShape = t.shape().into();
        if let Some(batch) = shape.0.first_mut() {
            *batch = None;
        }
        TensorSpec::new(shape, t.dtype())
    };
    let inputs: Vec<TensorSpec> = invocation.inputs.iter().map(symbolic).collect();
    let mut call = if invocation.call.training { Call::training() } else { Call::inference() };
    // Tensors among the arguments have a known number of samples.
    let plain = invocation.call.arguments.iter().filter(|(_, a)| matches!(a, Argument::Value(_)));
    call.arguments = plain.map(|(name, a)| (name.clone(), a.clone())).collect();
    let specs = layer.output_spec(&inputs, &call)?;
    let fits = |(spec, t): (&TensorSpec, &Tensor)| spec.shape.matches(t.shape()) && spec.dtype == t.dtype();
    match specs.len() == outputs.tensors.len() && specs.iter().zip(&outputs.tensors).all(fits) {
        true => Ok(()),
        false => mismatch(format!("symbolic outputs {specs:?}, those of the call {:?}", outputs.tensors)),
    }
}
