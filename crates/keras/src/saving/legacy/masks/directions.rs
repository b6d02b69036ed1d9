//! `Bidirectional`: before Keras 2.4 it repeated the last output at masked steps, since then it gives zeros. If unrolled, tf.keras
//! and tf-keras put the zeros of what goes backwards where they belong forwards (`rnn`, tf-keras 2.21).

use std::collections::HashMap;

use keras_spec::Result;
use serde_json::{Value, json};

use super::super::Report;
use super::{Pass, Place, Sources, class, name, place, replace};

/// More states than a layer has.
const MAX_STATES: usize = 64;

impl Pass {
    /// Lets each `Bidirectional` whose outputs at masked steps are others than in Keras 3 give both directions.
    pub(super) fn part(&mut self, report: &mut Report) {
        for (index, layer) in self.graph.layers_mut().iter_mut().enumerate() {
            let inner = &layer["config"]["layer"];
            let is = |key: &str| inner["config"].get(key).is_some_and(|v| v == true);
            let differs = is("return_sequences") && (self.then.repeated || is("unroll"));
            let images = inner["class_name"].as_str().is_some_and(|c| c.starts_with("Conv"));
            if class(layer) != "Bidirectional" || images || !differs {
                continue;
            }
            let named = name(layer).to_owned();
            let Some(config) = layer["config"].as_object_mut() else { continue };
            config.shift_remove("zero_output_for_mask");
            // Unrolled, Keras 3 does on TensorFlow what tf-keras did.
            for key in ["layer", "backward_layer"] {
                let unroll = config.get_mut(key).and_then(|inner| inner.pointer_mut("/config/unroll"));
                unroll.into_iter().for_each(|unroll| *unroll = false.into());
            }
            let mode = config.insert("merge_mode".to_owned(), Value::Null);
            self.merge_modes.insert(index, mode.as_ref().and_then(Value::as_str).map(str::to_owned));
            report.converted(named, "outputs at masked steps as before Keras 3");
        }
    }

    /// Makes one call give both directions, and puts the outputs that masked steps repeat and their merging behind it.
    pub(super) fn repeat(
        &mut self,
        index: usize,
        call: usize,
        sources: &Sources,
        report: &mut Report,
    ) -> Result<()> {
        self.heed(index, call, Some(sources), report)?;
        let given = self.graph.layers_mut()[index].pointer(&format!("/inbound_nodes/{call}/kwargs/mask"));
        let mask = match given.filter(|mask| !mask.is_null()) {
            Some(mask) => Some(mask.clone()),
            None => self.mask(sources)?,
        };
        let layer = &self.graph.layers_mut()[index];
        let named = name(layer).to_owned();
        let config = &layer["config"];
        let mode = self.merge_modes.get(&index).cloned().flatten();
        let dtype = config.get("dtype").cloned();
        let backwards = config.pointer("/layer/config/go_backwards").is_some_and(|v| v == true);
        let states = layer.pointer(&format!("/inbound_nodes/{call}/kwargs/initial_state"));
        let states = states.and_then(Value::as_array).cloned().unwrap_or_default();
        let old = self.graph.layers_mut().len();
        let mut outputs = Vec::new();
        for (result, direction) in ["forward", "backward"].into_iter().enumerate() {
            let y = json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [named, call, result] } });
            let Some(mask) = mask.clone() else {
                outputs.push(y);
                continue;
            };
            // Up to 2.2 what comes before the first step that counts is the state there.
            let state = states.get(result * states.len() / 2).filter(|_| !self.then.zeros).cloned();
            let turned = (backwards != (result == 1), result == 1);
            let named = format!("{named}.{direction}.{call}");
            outputs.push(match self.then.repeated {
                true => self.graph.repeated(&named, y, mask, turned, state),
                false => self.graph.unrolled(&named, y, mask, turned),
            });
        }
        let merged = format!("{named}.merged.{call}");
        let mut results = match mode.as_deref() {
            None => outputs,
            Some(mode) => vec![self.graph.merge(merged, mode, outputs)],
        };
        if let Some(mask) = mask.filter(|_| !sources.is_empty()) {
            for (i, result) in results.iter_mut().enumerate() {
                let named = format!("{named}.masked.{call}.{i}");
                *result = self.graph.masked(named, result.take(), mask.clone(), dtype.clone());
            }
        }
        let mut by: HashMap<Place, Value> =
            results.iter().enumerate().map(|(i, r)| ((named.clone(), call, i), r.clone())).collect();
        if results.len() == 1 {
            for i in 1..MAX_STATES {
                let history = json!([named, call, i + 1]);
                let state =
                    json!({ "class_name": "__keras_tensor__", "config": { "keras_history": history } });
                by.insert((named.clone(), call, i), state);
            }
        }
        for layer in &mut self.graph.layers_mut()[..old] {
            replace(&mut layer["inbound_nodes"], &by);
        }
        self.graph.forget();
        self.ends.extend(by);
        for result in results.iter().filter_map(|r| place(&r["config"]["keras_history"])) {
            self.bear(result, sources.clone(), "Bidirectional")?;
        }
        Ok(())
    }
}
