//! `optimizer`: steps with given gradients.

use keras_spec::object::make;
use keras_spec::{
    Builder, Class, Config, Constraint, Device, HostTensor, Layer, LayerRef, Object, Optimizer, PartialShape,
    Result as KerasResult, Shared, Tensor, Variable, Weight, WeightSpec,
};
use serde_json::Value;

use super::{Check, Result, leaves, mismatch};
use crate::vectors::{Case, Tree, VectorError};

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let optimizer = make::<dyn Optimizer>(case.json("object"))?;
    let variables = variables(case, device)?;
    optimizer.build(&variables)?;
    restore(case, &*optimizer, device)?;
    if let Some(rate) = case.json("learning_rate").as_f64() {
        check.array("learning_rate", &optimizer.learning_rate().into(), &(rate as f32).into())?;
    }
    let steps = match case.optional("steps")? {
        Some(Tree::List(steps)) => steps,
        _ => vec![case.tree("grads")?],
    };
    for step in steps {
        optimizer.apply(&leaves(&step, device)?, &variables)?;
    }
    check.tensors("variables_after", &values(&variables), &case.tree("variables_after")?)?;
    let state = values(&own_state(&*optimizer));
    check.tensors("state_after", &state, &case.tree("state_after")?)?;
    if let Some(expected) = case.optional("variables_finalized")? {
        optimizer.finalize(&variables)?;
        check.tensors("variables_finalized", &values(&variables), &expected)?;
    }
    Ok(())
}

fn values(variables: &[Variable]) -> Vec<Tensor> {
    variables.iter().map(Variable::get).collect()
}

/// The state without the iteration count and the learning rate.
fn own_state(optimizer: &dyn Optimizer) -> Vec<Variable> {
    let common = |v: &Variable| matches!(v.name(), "iteration" | "learning_rate");
    optimizer.variables().into_iter().filter(|v| !common(v)).collect()
}

fn restore(case: &Case, optimizer: &dyn Optimizer, device: &Device) -> Result {
    let done = case.json("iterations").as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    for v in optimizer.variables().iter().filter(|v| v.name() == "iteration") {
        v.assign(&Tensor::from_host(done.into(), device)?)?;
    }
    let Some(state) = case.optional("state")?.filter(|s| !s.is_null()) else { return Ok(()) };
    let (given, own) = (leaves(&state, device)?, own_state(optimizer));
    if given.len() != own.len() {
        return mismatch(format!("{} variables of state where {} are expected", own.len(), given.len()));
    }
    for (v, value) in own.iter().zip(given.iter().flatten()) {
        v.assign(value)?;
    }
    Ok(())
}

/// Variables `v0`, `v1`, … with the values and the constraint of the case, as a layer has them.
fn variables(case: &Case, device: &Device) -> Result<Vec<Variable>> {
    let given = case.tree("variables")?.tensors()?;
    let values: Option<Vec<HostTensor>> = given.into_iter().collect();
    let values = values.ok_or_else(|| VectorError::Key("variables".to_owned(), "holds null".to_owned()))?;
    let constraint = match case.json("constraint") {
        Value::Null => None,
        object => Some(Shared::from(make::<dyn Constraint>(object)?)),
    };
    let slots = values.iter().map(|_| Weight::default()).collect();
    let holder = LayerRef::from(Holder { values: values.clone(), constraint, slots });
    holder.build_on(device, &[])?;
    let variables = holder.own_weights();
    for (v, value) in variables.iter().zip(values) {
        v.assign(&Tensor::from_host(value, device)?)?;
    }
    Ok(variables)
}

/// A layer that is nothing but its weights.
#[derive(Debug)]
struct Holder {
    values: Vec<HostTensor>,
    constraint: Option<Shared<dyn Constraint>>,
    slots: Vec<Weight>,
}

impl Object for Holder {
    fn class(&self) -> Class {
        Class::of("conformance_tests", "Holder")
    }

    fn config(&self) -> KerasResult<Config> {
        Ok(Config::new())
    }
}

impl Layer for Holder {
    fn build(&self, builder: &mut Builder, _inputs: &[PartialShape]) -> KerasResult<()> {
        for (i, (slot, value)) in self.slots.iter().zip(&self.values).enumerate() {
            let spec = WeightSpec::new(&format!("v{i}"), value.shape())
                .dtype(value.dtype())
                .initializer("zeros")?
                .constraint(self.constraint.as_ref());
            builder.weight(slot, spec)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &keras_spec::Call) -> KerasResult<Vec<Tensor>> {
        Ok(inputs.to_vec())
    }
}
