//! What models of Keras 1 and 2 were compiled with, in the form of Keras 3.

use keras_spec::{Error, Result};
use serde_json::{Map, Value, json};

use super::{Origin, Program, Report, Version};
use crate::saving::h5_config;

/// What a model before Keras 3 was compiled with (`training_config` of HDF5 files, `compile_config` of archives), in the form
/// of Keras 3's `compile_config`. `outputs` are those of the model.
///
/// # Errors
/// The optimizer's configuration is no object.
pub(crate) fn upgrade_compile(
    training: &Value,
    outputs: usize,
    origin: &Origin,
    report: &mut Report,
) -> Result<Value> {
    let mut compile = h5_config::compile_config(training.clone());
    if let Some(optimizer) = compile.get_mut("optimizer").filter(|o| o.is_object()) {
        upgrade_optimizer(optimizer, origin, report)?;
    }
    if let Some(map) = compile.as_object_mut()
        && let Some(mode) = map.shift_remove("sample_weight_mode").filter(|m| !m.is_null())
    {
        report.dropped("compile", format!("`sample_weight_mode` = {mode}: the shape of the weights says it"));
    }
    for key in ["loss", "metrics", "weighted_metrics"] {
        if let Some(value) = compile.get_mut(key) {
            if key != "loss" {
                without_dropped(value, report);
                for_each_output(value, outputs);
            }
            upgrade_function(value, origin, report);
        }
    }
    Ok(compile)
}

/// Metrics in one list are those of every output before Keras 3; an empty list is none.
fn for_each_output(metrics: &mut Value, outputs: usize) {
    let Value::Array(list) = metrics else { return };
    if list.is_empty() {
        *metrics = Value::Null;
    } else if outputs > 1 && !list.iter().any(|m| m.is_array() || m.is_null()) {
        let each = std::mem::take(metrics);
        *metrics = vec![each; outputs].into();
    }
}

/// Takes out metrics that Keras 3 does not have.
fn without_dropped(metrics: &mut Value, report: &mut Report) {
    let dropped = |metric: &Value| metric.get("class_name").is_some_and(|c| c == "MeanRelativeError");
    match metrics {
        Value::Array(list) => {
            if list.iter().any(dropped) {
                report.dropped("metrics", "`MeanRelativeError`, which Keras 3 does not have");
                list.retain(|metric| !dropped(metric));
            }
            list.iter_mut().for_each(|inner| without_dropped(inner, report));
        }
        Value::Object(map) if !map.contains_key("class_name") => {
            map.values_mut().for_each(|inner| without_dropped(inner, report));
        }
        _ => {}
    }
}

fn upgrade_optimizer(optimizer: &mut Value, origin: &Origin, report: &mut Report) -> Result<()> {
    let class = optimizer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let class = class.strip_prefix("Custom>").unwrap_or(class);
    let class = match class {
        "LossScaleOptimizerV1" | "LossScaleOptimizerV3" => "LossScaleOptimizer",
        // TensorFlow 2.9 and 2.10 had the optimizers of 2.11 under such names.
        other => other.strip_suffix("Experimental").unwrap_or(other),
    }
    .to_owned();
    optimizer["class_name"] = class.clone().into();
    let is_legacy =
        optimizer.get("module").and_then(Value::as_str).is_some_and(|m| m.ends_with("optimizers.legacy"));
    let before_2_11 = is_legacy || origin.is_before(Version::new(2, 11, 0));
    let wrong = Error::config("optimizer", format!("not an optimizer: {optimizer}"));
    let config = optimizer.get_mut("config").and_then(Value::as_object_mut).ok_or(wrong)?;
    let fixed_scale = if class == "LossScaleOptimizer" { fixed_scale(config) } else { None };
    if let Some(inner) = config.get_mut("inner_optimizer") {
        upgrade_optimizer(inner, origin, report)?;
        // A scale that stays is an argument of every optimizer of Keras 3.
        if let (Some(scale), Some(Value::Object(arguments))) = (fixed_scale, inner.get_mut("config")) {
            arguments.insert("loss_scale_factor".to_owned(), scale);
            *optimizer = inner.take();
            report
                .converted(&*class, "a scale that stays is the `loss_scale_factor` of the optimizer within");
            return Ok(());
        }
    }
    for key in ["jit_compile", "is_legacy_optimizer", "dynamic"] {
        config.shift_remove(key);
    }
    // tf.keras to 2.10 calls that of Nadam `decay`, which changes the learning rate of all others.
    let schedule = if class == "Nadam" { &["schedule_decay", "decay"][..] } else { &["schedule_decay"] };
    for value in schedule.iter().filter_map(|key| config.shift_remove(*key)) {
        report.dropped(&*class, format!("`schedule_decay` = {value}: Keras 3 has a fixed schedule"));
    }
    if ["RMSprop", "Adagrad"].contains(&&*class) && before_2_11 {
        let text =
            "`epsilon` was added to the root, and is added below it since: small gradients step differently";
        report.converted(&*class, text);
    }
    if let Some(rate) = config.shift_remove("lr") {
        config.insert("learning_rate".to_owned(), rate);
        report.renamed(&*class, "`lr` is `learning_rate`");
    }
    for key in ["epsilon", "weight_decay", "ema_overwrite_frequency"] {
        if config.get(key).is_some_and(|v| v.is_null() || v == false) {
            config.shift_remove(key);
        }
    }
    let old = origin.program == Program::Keras && origin.is_before(Version::new(3, 0, 0));
    if old && let Some(norm) = config.shift_remove("clipnorm").filter(|n| !n.is_null()) {
        config.insert("global_clipnorm".to_owned(), norm);
        report.converted(&*class, "`clipnorm` was the norm of all gradients together: `global_clipnorm`");
    }
    if class == "Adagrad" && old && !config.contains_key("initial_accumulator_value") {
        config.insert("initial_accumulator_value".to_owned(), json!(0.0));
    }
    if let Some(Value::Object(rate)) = config.get_mut("learning_rate")
        && let Some(schedule) = rate.get_mut("config").and_then(Value::as_object_mut)
        && schedule.get("name").is_some_and(Value::is_null)
    {
        schedule.shift_remove("name");
    }
    if let Some(Value::Object(rate)) = config.get_mut("learning_rate")
        && let Some(Value::String(name)) = rate.get_mut("class_name")
        && let Some(plain) = name.strip_prefix("Custom>").map(str::to_owned)
    {
        *name = plain;
    }
    let decay = config.shift_remove("decay").filter(|d| d.as_f64().is_some_and(|d| d != 0.0));
    if let (Some(decay), Some(rate)) = (decay, config.get("learning_rate").filter(|r| r.is_number()).cloned())
    {
        let schedule = json!({
            "class_name": "InverseTimeDecay",
            "config": { "initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay },
        });
        config.insert("learning_rate".to_owned(), schedule);
        report.converted(&*class, format!("`decay` = {decay} is the schedule InverseTimeDecay"));
    }
    Ok(())
}

/// Brings the arguments of a `LossScaleOptimizer` into the form of Keras 3; the scale, if it stays what it is.
fn fixed_scale(config: &mut Map<String, Value>) -> Option<Value> {
    // TensorFlow 2.3 had an object for the scale.
    if let Some(inner) = config.shift_remove("optimizer") {
        config.insert("inner_optimizer".to_owned(), inner);
    }
    if let Some(scale) = config.shift_remove("loss_scale") {
        let arguments = &scale["config"];
        let names = [
            ("loss_scale_value", "initial_scale"),
            ("initial_loss_scale", "initial_scale"),
            ("increment_period", "dynamic_growth_steps"),
        ];
        for (old, new) in names {
            if let Some(value) = arguments.get(old) {
                config.insert(new.to_owned(), value.clone());
            }
        }
        config.insert("dynamic".to_owned(), (scale["class_name"] != "FixedLossScale").into());
    }
    let dynamic = config.shift_remove("dynamic").is_none_or(|d| d != false);
    if config.get("dynamic_growth_steps").is_some_and(Value::is_null) {
        config.shift_remove("dynamic_growth_steps");
    }
    if dynamic { None } else { config.get("initial_scale").cloned() }
}

/// The name in Keras 3 of a loss or a metric.
pub(crate) fn function_name(name: &str) -> &str {
    match name {
        "cosine" | "cosine_proximity" => "cosine_similarity",
        "kullback_leibler_divergence" | "kld" | "KLD" => "kl_divergence",
        "logcosh" => "log_cosh",
        "huber_loss" => "huber",
        other => other,
    }
}

/// Losses and metrics, in lists and dictionaries by output.
fn upgrade_function(value: &mut Value, origin: &Origin, report: &mut Report) {
    match value {
        Value::String(name) => {
            let new = function_name(name);
            if new != name {
                report.renamed(&**name, format!("the function is `{new}`"));
            }
            if name.starts_with("cosine") && origin.is_before(Version::new(2, 0, 9)) {
                report.converted(&**name, "it was the mean over the last axis, and is the sum over it");
            }
            *name = new.to_owned();
        }
        Value::Array(list) => list.iter_mut().for_each(|v| upgrade_function(v, origin, report)),
        Value::Object(map) if map.contains_key("class_name") => upgrade_object(map),
        Value::Object(map) => map.values_mut().for_each(|v| upgrade_function(v, origin, report)),
        _ => {}
    }
    let function = value.get("class_name").is_some_and(|c| c == "function");
    if let Some(name) = value.get("config").filter(|_| function).and_then(Value::as_str) {
        *value = function_name(name).into();
    }
}

fn upgrade_object(map: &mut Map<String, Value>) {
    let wrapper =
        map.get("class_name").is_some_and(|c| c == "MeanMetricWrapper" || c == "LossFunctionWrapper");
    let Some(config) = map.get_mut("config").and_then(Value::as_object_mut) else { return };
    if config.get("reduction").is_some_and(|r| r == "auto") {
        config.insert("reduction".to_owned(), "sum_over_batch_size".into());
    }
    let function = config.shift_remove("fn");
    let name = function.as_ref().and_then(|f| f.as_str().or_else(|| f.get("config")?.as_str()));
    if let (true, Some(name)) = (wrapper, name) {
        let name = Value::from(function_name(name));
        map.insert("class_name".to_owned(), name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // metrics=['acc'] and metrics=[] of a model with two outputs, as Keras 2.2.4 writes them.
    #[test]
    fn metrics_in_one_list_are_those_of_every_output() {
        let upgraded = |metrics: Value, outputs| {
            let training = json!({ "optimizer_config": { "class_name": "SGD", "config": {} }, "loss": "mse",
                "metrics": metrics });
            let report = &mut Report::default();
            upgrade_compile(&training, outputs, &Origin::default(), report).unwrap()["metrics"].take()
        };
        assert_eq!(upgraded(json!(["acc"]), 2), json!([["acc"], ["acc"]]));
        assert_eq!(upgraded(json!(["acc"]), 1), json!(["acc"]));
        assert_eq!(upgraded(json!([["acc"], []]), 2), json!([["acc"], []]));
        assert_eq!(upgraded(json!([]), 2), Value::Null);
    }

    // `keras.optimizers.legacy.Nadam(0.05)` of tf-keras 2.21.
    #[test]
    fn the_decay_of_an_old_nadam_is_that_of_its_momentum() {
        let mut optimizer = json!({ "module": "keras.optimizers.legacy", "class_name": "Nadam", "config": {
            "name": "Nadam", "learning_rate": 0.05, "decay": 0.004, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7 } });
        upgrade_optimizer(&mut optimizer, &Origin::default(), &mut Report::default()).unwrap();
        assert_eq!(optimizer["config"]["learning_rate"], 0.05);
        assert!(optimizer["config"].get("decay").is_none());
    }

    // Keras 2.3.1: `p - lr * g / (sqrt(a) + epsilon)`.
    #[test]
    fn an_epsilon_beside_the_root_is_reported() {
        let reported = |class: &str| {
            let mut optimizer = json!({ "class_name": class, "config": { "learning_rate": 0.5 } });
            let mut report = Report::default();
            let origin = Origin::new(Some("2.3.1"), None);
            upgrade_optimizer(&mut optimizer, &origin, &mut report).unwrap();
            report.to_string().contains("`epsilon` was added to the root")
        };
        assert!(reported("RMSprop") && reported("Adagrad") && !reported("Adam"));
    }

    // As tf-keras 2.21 and TensorFlow 2.3 write them.
    #[test]
    fn a_loss_scale_that_stays_is_an_argument_of_the_optimizer() {
        let upgraded = |class: &str, config: Value| {
            let mut optimizer = json!({ "class_name": class, "config": config });
            upgrade_optimizer(&mut optimizer, &Origin::default(), &mut Report::default()).unwrap();
            optimizer
        };
        let inner = || json!({ "class_name": "SGD", "config": { "learning_rate": 0.5 } });
        let fixed = upgraded(
            "LossScaleOptimizerV3",
            json!({ "inner_optimizer": inner(), "dynamic": false, "initial_scale": 64.0, "dynamic_growth_steps": null }),
        );
        let expected =
            json!({ "class_name": "SGD", "config": { "learning_rate": 0.5, "loss_scale_factor": 64.0 } });
        assert_eq!(fixed, expected);
        let scale = json!({ "class_name": "DynamicLossScale", "config": { "initial_loss_scale": 8.0,
            "increment_period": 5, "multiplier": 2.0 } });
        let dynamic = upgraded("LossScaleOptimizer", json!({ "optimizer": inner(), "loss_scale": scale }));
        let expected = json!({ "class_name": "LossScaleOptimizer", "config": { "inner_optimizer": inner(),
            "initial_scale": 8.0, "dynamic_growth_steps": 5 } });
        assert_eq!(dynamic, expected);
    }
}
