//! What models of Keras 1 were compiled with.

use serde_json::{Map, Value, json};

use crate::saving::legacy::Report;

/// Metrics that Keras 2 dropped: they were means over batches of what is no mean.
pub(crate) const DROPPED: &[&str] =
    &["matthews_correlation", "precision", "recall", "fbeta_score", "fmeasure", "fscore", "f1score"];

/// What a model was compiled with in the form of Keras 2.2: `training_config` of HDF5 files of Keras 1.0.7 to 1.2.2, or the
/// architecture of an older one, which has it beside the layers. None if it was not compiled.
pub(crate) fn upgrade_compile(compiled: &Value, report: &mut Report) -> Option<Value> {
    let mut out = Map::new();
    let optimizer = match (compiled.get("optimizer_config"), compiled.get("optimizer")) {
        (Some(object), _) => object.clone(),
        (None, Some(Value::Object(flat))) => {
            let mut flat = flat.clone();
            let class = flat.shift_remove("name")?;
            json!({ "class_name": class, "config": flat })
        }
        _ => return None,
    };
    out.insert("optimizer_config".to_owned(), optimizer);
    for key in ["loss", "loss_weights", "sample_weight_mode"] {
        if let Some(value) = compiled.get(key) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(metrics) = compiled.get("metrics") {
        out.insert("metrics".to_owned(), without_dropped(metrics, report));
    }
    if names(out.get("loss")).contains(&"cosine_proximity".to_owned()) {
        let text = "`cosine_proximity` is a mean over the features in Keras 1, and a sum since";
        report.converted("loss", text);
    }
    Some(out.into())
}

fn without_dropped(metrics: &Value, report: &mut Report) -> Value {
    match metrics {
        Value::Array(list) => {
            let kept = list.iter().filter(|m| {
                let dropped = m.as_str().is_some_and(|m| DROPPED.contains(&m));
                if dropped {
                    report.dropped("metrics", format!("{m} is no metric since Keras 2"));
                }
                !dropped
            });
            kept.cloned().collect()
        }
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), without_dropped(value, report))).collect()
        }
        other => other.clone(),
    }
}

/// All texts in a value.
fn names(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(list)) => list.iter().flat_map(|v| names(Some(v))).collect(),
        Some(Value::Object(map)) => map.values().flat_map(|v| names(Some(v))).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saving::legacy::Change;

    #[test]
    fn an_architecture_of_keras_1_0_may_hold_the_optimizer() {
        let model = json!({ "optimizer": { "name": "Adam", "lr": 0.1 }, "loss": "mse", "config": [] });
        let found = upgrade_compile(&model, &mut Report::default()).unwrap();
        let optimizer = json!({ "class_name": "Adam", "config": { "lr": 0.1 } });
        assert_eq!(found, json!({ "optimizer_config": optimizer, "loss": "mse" }));
        assert_eq!(upgrade_compile(&json!({ "config": [] }), &mut Report::default()), None);
    }

    #[test]
    fn metrics_that_are_no_more_are_told() {
        let mut report = Report::default();
        let compiled = json!({
            "optimizer_config": { "class_name": "SGD", "config": {} },
            "metrics": ["accuracy", "precision"],
        });
        let found = upgrade_compile(&compiled, &mut report).unwrap();
        assert_eq!(found["metrics"], json!(["accuracy"]));
        assert_eq!(report.of(Change::Dropped).count(), 1);
    }
}
