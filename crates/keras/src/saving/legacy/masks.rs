//! Where masks meet in the graphs of Keras 1 and 2, whose merging layers treat them in another way than Keras 3's.

use std::collections::{BTreeSet, HashMap};

use keras_spec::{Error, Result};
use serde_json::Value;

use super::Report;

const MERGING: [&str; 7] = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"];

/// Layers behind which there is no mask any more, unless they return sequences.
const RECURRENT: [&str; 5] = ["SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional"];

/// Layers that give what has no steps, or others than their inputs.
const ENDS: [&str; 6] = ["Flatten", "Reshape", "Permute", "Dot", "Lambda", "RepeatVector"];

/// Graphs in which more masks meet are refused: thousands of layers that all hand on the masks of all before.
const MAX_MEETING: usize = 1 << 18;

/// The layers from which the masks of a layer's output come.
type Sources = BTreeSet<String>;

/// From where the outputs of the layers of a graph have masks, by the layers' names.
pub(super) struct Masks(HashMap<String, Sources>);

impl Masks {
    /// Whether the first tensor that a layer is called on may bear a mask.
    pub(super) fn reach(&self, layer: &Value) -> bool {
        let first = inputs(layer).first().and_then(|input| self.0.get(*input));
        first.is_some_and(|sources| !sources.is_empty())
    }
}

/// Makes the merging layers of a graph those of Keras 2 where masks of different layers meet, or where values would depend on
/// them. `layers` have the calls as Keras 2 writes them.
///
/// # Errors
/// More masks meet than in any model.
pub(super) fn merge_as_keras_2(layers: &mut [Value], report: &mut Report) -> Result<Masks> {
    let mut masks: HashMap<String, Sources> = HashMap::new();
    let mut meeting = 0;
    // A layer may stand before one that it is called on.
    for _ in 0..layers.len().min(64) {
        let before = meeting;
        for layer in layers.iter() {
            let found = sources(layer, &masks);
            let known = masks.entry(name(layer).to_owned()).or_default();
            meeting -= known.len();
            known.extend(found);
            meeting += known.len();
            if meeting > MAX_MEETING {
                return Err(Error::config(
                    class(layer),
                    format!("`{}`: masks of too many layers meet", name(layer)),
                ));
            }
        }
        if meeting == before {
            break;
        }
    }
    // A layer that is called twice makes two masks.
    let calls = |l: &&Value| l.get("inbound_nodes").and_then(Value::as_array).map_or(0, Vec::len);
    let shared: Sources = layers.iter().filter(|l| calls(l) > 1).map(|l| name(l).to_owned()).collect();
    for layer in layers.iter_mut() {
        let class = class(layer).to_owned();
        if !MERGING.contains(&&*class) {
            continue;
        }
        let none = Sources::new();
        let inputs: Vec<&Sources> =
            inputs(layer).into_iter().map(|i| masks.get(i).unwrap_or(&none)).collect();
        let masked = inputs.iter().any(|sources| !sources.is_empty());
        let differ = inputs.windows(2).any(|pair| pair[0] != pair[1])
            || inputs.iter().any(|sources| !sources.is_disjoint(&shared));
        let by_mask = ["Multiply", "Maximum", "Minimum"].contains(&&*class);
        if !masked || !(differ || by_mask || inputs.iter().any(|sources| sources.len() > 1)) {
            continue;
        }
        let name = name(layer).to_owned();
        layer["class_name"] = "AllMasksMerge".into();
        layer["config"]["merging"] = class.as_str().into();
        report.converted(name, format!("`{class}` of inputs with masks as before Keras 3"));
    }
    Ok(Masks(masks))
}

fn class(layer: &Value) -> &str {
    layer.get("class_name").and_then(Value::as_str).unwrap_or_default()
}

fn name(layer: &Value) -> &str {
    layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str).unwrap_or_default()
}

/// The names of the layers that a layer is called on.
fn inputs(layer: &Value) -> Vec<&str> {
    fn collect<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
        match value {
            Value::Array(list) => match list.as_slice() {
                [Value::String(name), Value::Number(_), Value::Number(_), ..] => out.push(name),
                list => list.iter().for_each(|v| collect(v, out)),
            },
            Value::Object(map) => map.values().for_each(|v| collect(v, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    if let Some(calls) = layer.get("inbound_nodes") {
        collect(calls, &mut out);
    }
    out
}

/// The layers of a model that is a layer.
fn inner_layers(layer: &Value) -> Option<&Vec<Value>> {
    layer.pointer("/config/layers").or_else(|| layer.get("config")).and_then(Value::as_array)
}

fn sources(layer: &Value, masks: &HashMap<String, Sources>) -> Sources {
    let class = class(layer);
    let is = |key: &str| {
        let at = |place: &str| layer.pointer(&format!("{place}/{key}")).is_some_and(|v| v == true);
        at("/config") || at("/config/layer/config")
    };
    if class == "Masking" || (class == "Embedding" && is("mask_zero")) {
        return Sources::from([name(layer).to_owned()]);
    }
    if let Some(inner) = inner_layers(layer)
        && inner.iter().any(|inner| !sources(inner, &HashMap::new()).is_empty())
    {
        return Sources::from([name(layer).to_owned()]);
    }
    let steps_end = ENDS.contains(&class)
        || class.contains("Pooling")
        || class.starts_with("Conv")
        || (RECURRENT.contains(&class) && !is("return_sequences"));
    if steps_end {
        return Sources::new();
    }
    let inputs: BTreeSet<&str> = inputs(layer).into_iter().collect();
    inputs.into_iter().filter_map(|input| masks.get(input)).flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classes(merge: &str, second: Value) -> String {
        let mut layers = vec![
            json!({ "class_name": "InputLayer", "name": "x", "config": {}, "inbound_nodes": [] }),
            json!({ "class_name": "Masking", "name": "a", "config": {}, "inbound_nodes": [[["x", 0, 0, {}]]] }),
            second,
            json!({ "class_name": merge, "name": "m", "config": {},
                "inbound_nodes": [[["a", 0, 0, {}], ["b", 0, 0, {}]]] }),
        ];
        merge_as_keras_2(&mut layers, &mut Report::default()).unwrap();
        class(&layers[3]).to_owned()
    }

    #[test]
    fn only_where_masks_make_a_difference() {
        let behind = |class: &str, input: &str, sequences: bool| {
            json!({ "class_name": class, "name": "b", "config": { "return_sequences": sequences },
                "inbound_nodes": [[[input, 0, 0, {}]]] })
        };
        assert_eq!(classes("Add", behind("Dense", "a", false)), "Add");
        assert_eq!(classes("Multiply", behind("Dense", "a", false)), "AllMasksMerge");
        assert_eq!(classes("Add", behind("Dense", "x", false)), "AllMasksMerge");
        assert_eq!(classes("Concatenate", behind("Masking", "x", false)), "AllMasksMerge");
        assert_eq!(classes("Concatenate", behind("LSTM", "a", true)), "Concatenate");
        assert_eq!(classes("Concatenate", behind("LSTM", "a", false)), "AllMasksMerge");
    }
}
