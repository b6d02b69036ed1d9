//! The masks of tensors as operations that compute them.

use serde_json::{Value, json};

use super::call::Operation;
use super::{Operations, tensor};

/// Layers that hand on the mask of their input.
const HAND_ON: [&str; 9] = [
    "Activation",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "LayerNormalization",
    "SpatialDropout1D",
];

/// Layers of several inputs that do.
const MERGING: [&str; 3] = ["Add", "Average", "Subtract"];

/// Whether a layer joins its inputs along their last axis.
fn along_features(layer: &Value) -> bool {
    layer.pointer("/config/axis").is_none_or(|axis| axis == -1)
}

/// Layers that do so if they return sequences.
const RECURRENT: [&str; 5] = ["SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional"];

impl Operations {
    /// The mask of a tensor of the graph, as Keras 3 computes it; `None` if it does not come from one layer by a way that is
    /// known here.
    pub(in crate::saving::legacy) fn mask(&mut self, of: &Value) -> Option<Value> {
        let mut of = of.clone();
        // Longer chains of layers would be loops.
        for _ in 0..self.layers.len() {
            let history = &of["config"]["keras_history"];
            let (name, call) = (history.get(0)?.as_str()?, usize::try_from(history.get(1)?.as_u64()?).ok()?);
            let layer = self.layers.iter().find(|l| l["config"]["name"] == name)?;
            let mut input = layer.pointer(&format!("/inbound_nodes/{call}/args/0"))?.clone();
            let class = layer["class_name"].as_str()?;
            let is = |place: &str| layer.pointer(place).is_some_and(|v| v == true);
            let value = match class {
                "Embedding" if is("/config/mask_zero") => json!(0),
                "Masking" => layer.pointer("/config/mask_value").cloned().unwrap_or_else(|| json!(0.0)),
                // What is left of them merges tensors with one and the same mask.
                _ if MERGING.contains(&class) || (class == "Concatenate" && along_features(layer)) => {
                    of = input.get_mut(0)?.take();
                    continue;
                }
                _ if HAND_ON.contains(&class) => {
                    of = input;
                    continue;
                }
                _ if RECURRENT.contains(&class)
                    && (is("/config/return_sequences") || is("/config/layer/config/return_sequences")) =>
                {
                    of = input;
                    continue;
                }
                _ => return None,
            };
            let by_step = class == "Masking";
            let named = format!("{name}.mask.{call}");
            if !self.layers.iter().any(|l| l["config"]["name"] == *named) {
                let elements = if by_step { format!("{named}.elements") } else { named.clone() };
                self.push(Operation::new(elements.clone(), "NotEqual", vec![input, value], Value::Null));
                if by_step {
                    let config = json!({ "axis": -1, "keepdims": false });
                    self.push(Operation::new(named.clone(), "Any", vec![tensor(elements, 0)], config));
                }
            }
            return Some(tensor(named, 0));
        }
        None
    }
}
