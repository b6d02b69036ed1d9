//! The state of optimizers, which each generation of Keras orders in its own way.

use std::collections::HashMap;

use keras_spec::{Config, HostTensor, Optimizer, Result, Variable};
use serde_json::Value;

use super::assign;
use super::legacy::weights::{flip, is_shorter, lengthened};
use super::legacy::{Origin, Report};

/// An optimizer whose state is in a file.
struct Target {
    class: String,
    config: Config,
    variables: Vec<Variable>,
}

impl Target {
    fn of(optimizer: &dyn Optimizer) -> Result<Self> {
        let (class, config) = (optimizer.class().name.to_owned(), optimizer.config()?);
        Ok(Target { class, config, variables: optimizer.variables() })
    }

    /// The optimizer within a `LossScaleOptimizer`, of which alone Keras before 3 keeps the state in HDF5.
    fn inner(&self) -> Option<Self> {
        let own = self
            .variables
            .iter()
            .position(|v| v.name() == "dynamic_scale")
            .filter(|_| self.is("LossScaleOptimizer"))?;
        let inner = self.config.get("inner_optimizer")?;
        Some(Target {
            class: inner.get("class_name")?.as_str()?.to_owned(),
            config: inner.get("config")?.as_object()?.clone(),
            variables: self.variables[own + 1..].to_vec(),
        })
    }

    fn is(&self, class: &str) -> bool {
        self.class == class
    }
}

/// Gives an optimizer its state. As in Keras, a state that does not fit is left out with a warning: weights are worth
/// more than it.
///
/// # Errors
/// A device fails.
pub(super) fn restore(optimizer: &dyn Optimizer, saved: Vec<HostTensor>, report: &mut Report) -> Result<()> {
    let target = Target::of(optimizer)?;
    for target in [target.inner(), Some(target)].into_iter().flatten().rev() {
        if restored(&target, &saved)? {
            return Ok(());
        }
    }
    left_out(optimizer, saved.len(), report);
    Ok(())
}

/// Gives an optimizer its state; false if it does not fit.
fn restored(target: &Target, saved: &[HostTensor]) -> Result<bool> {
    let own = &target.variables;
    let fits = |places: &[Variable]| {
        places.len() == saved.len() && places.iter().zip(saved).all(|(v, s)| v.shape() == s.shape())
    };
    // An optimizer that had made no step had only these.
    let is_count = |v: &&Variable| ["iteration", "learning_rate"].contains(&v.name());
    let fresh: Vec<Variable> = own.iter().filter(is_count).cloned().collect();
    // Keras 2 keeps the learning rate in the configuration only.
    let without_rate: Vec<Variable> = own.iter().filter(|v| v.name() != "learning_rate").cloned().collect();
    let only_steps: Vec<Variable> = own.iter().filter(|v| v.name() == "iteration").cloned().collect();
    // tf-keras does not keep single numbers: the product of Nadam's momenta, what Adafactor has in the place of rows.
    let is_kept = |v: &&Variable| v.name() == "iteration" || v.shape().rank() > 0;
    let without_numbers: Vec<Variable> = own.iter().filter(is_kept).cloned().collect();
    let mut before_3_10 = own.clone();
    product_first(&mut before_3_10, Variable::name);
    for places in [own, &before_3_10, &without_rate, &fresh, &only_steps, &without_numbers] {
        if fits(places) {
            let steps = saved.first().and_then(|s| s.to_f64_vec().first().copied());
            assign(places.iter().cloned().zip(saved.iter().cloned()).collect())?;
            let product = own.iter().find(|v| v.name() == "variable" && !contains(places, v));
            if let (Some(product), Some(steps), true) = (product, steps, target.is("Nadam")) {
                momentum_product(target, product, steps)?;
            }
            return Ok(true);
        }
    }
    // tf-keras keeps a momentum for each variable even where there is none.
    if target.is("SGD") && saved.len() > 1 {
        // Behind them stand the averages of the variables, if there are any.
        let averages = own.len() - fresh.len();
        let kept: Vec<HostTensor> =
            saved[..1].iter().chain(&saved[saved.len() - averages.min(saved.len() - 1)..]).cloned().collect();
        let fits = kept.len() == without_rate.len()
            && (averages == 0 || saved.len() == 1 + 2 * averages)
            && without_rate.iter().zip(&kept).all(|(v, s)| v.shape() == s.shape());
        if fits {
            assign(without_rate.into_iter().zip(kept).collect())?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves the product of Nadam's momenta before them, where Keras 3 had it before 3.10. Nadam alone has a variable without a
/// name of its own.
pub(super) fn product_first<T>(all: &mut [T], name: impl Fn(&T) -> &str) {
    let product = all.iter().position(|one| name(one) == "variable");
    let momentum = all.iter().position(|one| name(one).ends_with("_momentum"));
    if let (Some(momentum), Some(product)) = (momentum, product)
        && momentum < product
    {
        all[momentum..=product].rotate_right(1);
    }
}

fn contains(variables: &[Variable], one: &Variable) -> bool {
    variables.iter().any(|v| Variable::same(v, one))
}

/// The product of Nadam's momenta after a number of steps in tf-keras, whose files do not have it. It multiplies for each of the
/// variables at every step, as it notices only once for each, in the steps from `n - 1` on, that it has done so already.
fn momentum_product(target: &Target, product: &Variable, steps: f64) -> Result<()> {
    let beta = target.config.get("beta_1").and_then(Value::as_f64).unwrap_or(0.9);
    let n = target.variables.iter().filter(|v| v.name().ends_with("_momentum")).count().max(1) as i32;
    // It is far below the smallest number then.
    let steps = steps.clamp(0.0, 100_000.0) as i32;
    let momentum = |step: i32| beta * (1.0 - 0.5 * 0.96f64.powi(step + 1));
    let times = |step: i32| n - i32::from((n - 1..2 * n - 1).contains(&step));
    let value: f64 = (0..steps).map(|step| momentum(step).powi(times(step))).product();
    let value = HostTensor::new([0; 0], vec![value])?.cast(product.dtype());
    assign(vec![(product.clone(), value)])
}

fn left_out(optimizer: &dyn Optimizer, arrays: usize, report: &mut Report) {
    let own = optimizer.variables().len();
    let text = format!("its state: {arrays} arrays in the file do not fit the {own} of the optimizer");
    tracing::warn!("optimizer `{}`: left out is {text}", optimizer.name());
    report.dropped(optimizer.name(), text);
}

/// [`restore`] from an HDF5 file, which may be of any generation. `flipped` are the kernels that were turned around.
///
/// # Errors
/// A device fails.
pub(super) fn restore_named(
    optimizer: &dyn Optimizer,
    trainable: &[Variable],
    saved: Vec<(String, HostTensor)>,
    flipped: &[Variable],
    origin: &Origin,
    report: &mut Report,
) -> Result<()> {
    // Only later ones call the count of steps `iteration`.
    let first = saved.first().and_then(|(name, _)| name.rsplit('/').next());
    let by_variable = first.is_some_and(|n| n == "iteration" || n == "iteration:0");
    let count = saved.len();
    if by_variable {
        return restore(optimizer, saved.into_iter().map(|(_, array)| array).collect(), report);
    }
    let target = Target::of(optimizer)?;
    let arrays = grouped(saved, trainable.len());
    match by_slot(&target.inner().unwrap_or(target), trainable, arrays, flipped, origin)? {
        Some(values) => {
            let text = format!("{origin} kept its state in groups, Keras 3 keeps it by variable");
            report.converted(optimizer.name(), text);
            assign(values)
        }
        None => {
            left_out(optimizer, count, report);
            Ok(())
        }
    }
}

/// What an optimizer keeps for each variable, in the order in which Keras 1, Keras 2 and tf.keras to 2.10 wrote it: all
/// variables of the first, then all of the second.
fn slots(class: &str) -> &'static [&'static [&'static str]] {
    match class {
        "Adam" | "AdamW" => &[&["momentum", "m"], &["velocity", "v"], &["velocity_hat", "vhat"]],
        "SGD" => &[&["momentum", "m"]],
        "RMSprop" => &[&["velocity"], &["momentum"], &["average_gradient"]],
        "Adagrad" => &[&["accumulator"]],
        "Adadelta" => &[&["accumulated_grad"], &["accumulated_delta_var"]],
        "Adamax" => &[&["momentum", "m"], &["norm", "u"]],
        "Nadam" => &[&["momentum", "m"], &["velocity", "v"]],
        "Ftrl" => &[&["accumulator"], &["linear"]],
        _ => &[],
    }
}

/// The arrays in groups of one for each of `n` variables. tf.keras names the group last, and has those of Ftrl in turns.
fn grouped(saved: Vec<(String, HostTensor)>, n: usize) -> Vec<HostTensor> {
    let slot = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let mut slots: Vec<(String, usize)> = Vec::new();
    for (name, _) in &saved {
        match slots.iter_mut().find(|(known, _)| *known == slot(name)) {
            Some((_, count)) => *count += 1,
            None => slots.push((slot(name), 1)),
        }
    }
    let mut saved = saved;
    if slots.iter().all(|(_, count)| *count == n || *count == 1) {
        saved.sort_by_key(|(name, _)| slots.iter().position(|(known, _)| *known == slot(name)));
    }
    saved.into_iter().map(|(_, array)| array).collect()
}

/// The state by variable; `None` if the arrays cannot be that.
fn by_slot(
    target: &Target,
    trainable: &[Variable],
    arrays: Vec<HostTensor>,
    flipped: &[Variable],
    origin: &Origin,
) -> Result<Option<Vec<(Variable, HostTensor)>>> {
    let own = &target.variables;
    let slots = slots(&target.class);
    let n = trainable.len();
    // Before the groups come the count of steps, which some lack, and for Nadam a product of its momenta.
    let lead = (0..=2).rev().find(|lead| {
        let rest = arrays.get(*lead..);
        let scalars = arrays.iter().take(*lead).all(|a| a.data().len() == 1);
        let groups = |r: &[HostTensor]| r.len().is_multiple_of(n) && r.len() / n.max(1) <= slots.len();
        scalars && rest.is_some_and(|r| groups(r) && fit(r, trainable))
    });
    let Some(lead) = lead else { return Ok(None) };
    let mut values = Vec::new();
    if let (true, Some(count)) = (lead > 0, own.iter().find(|v| v.name() == "iteration")) {
        values.push((count.clone(), arrays[0].cast(count.dtype())));
    }
    if let (2, Some(product)) = (lead, own.iter().find(|v| v.name() == "variable")) {
        values.push((
            product.clone(),
            arrays[1].clone().reshape(product.shape().clone())?.cast(product.dtype()),
        ));
    }
    let named: HashMap<&str, &Variable> = own.iter().rev().map(|v| (v.name(), v)).collect();
    for (group, names) in arrays[lead..].chunks(n.max(1)).zip(slots) {
        for (variable, array) in trainable.iter().zip(group).filter(|(v, a)| fits(a, v)) {
            let path = variable.path().replace('/', "_");
            let place = names.iter().find_map(|slot| named.get(&*format!("{path}_{slot}")));
            // A slot that is not used is not kept: the momentum of an SGD without.
            let Some(place) = place else { continue };
            let turned = flipped.iter().any(|v| Variable::same(v, variable));
            let array = if turned { flip(array)? } else { array.clone() };
            let longer = lengthened(&array, variable.shape(), origin.is_theano())?;
            values.push(((*place).clone(), longer.unwrap_or(array)));
        }
    }
    Ok(Some(values))
}

/// Whether arrays are groups of one for each variable. What stands in the place of a group that is not used is one number.
fn fit(arrays: &[HostTensor], variables: &[Variable]) -> bool {
    let one = |(a, v): (&HostTensor, &Variable)| fits(a, v) || a.shape().dims() == [1];
    arrays.chunks(variables.len().max(1)).all(|group| group.iter().zip(variables).all(one))
}

/// Whether an array is what is kept for a variable, or for a kernel that was made longer.
fn fits(array: &HostTensor, variable: &Variable) -> bool {
    array.shape() == variable.shape() || is_shorter(array.shape(), variable.shape())
}
