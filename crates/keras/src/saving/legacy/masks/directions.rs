//! `Bidirectional` before Keras 2.4, which repeats the last output at masked steps, where later ones give zeros.

use std::collections::HashMap;

use keras_spec::Result;
use serde_json::{Value, json};

use super::super::Report;
use super::{Pass, Place, Sources, class, name, place, replace};

/// More states than a layer has.
const MAX_STATES: usize = 64;

/// Says that a `Bidirectional` repeats outputs at masked steps.
const ZEROES: &str = "zero_output_for_mask";

impl Pass {
    /// Whether a layer is a `Bidirectional` whose outputs at masked steps are those of the steps before.
    pub(super) fn repeats(&mut self, index: usize) -> bool {
        let layer = &self.graph.layers_mut()[index];
        class(layer) == "Bidirectional"
            && (layer["config"][ZEROES] == false || self.merge_modes.contains_key(&index))
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
        let layer = &mut self.graph.layers_mut()[index];
        let named = name(layer).to_owned();
        let config = &mut layer["config"];
        if let Some(config) = config.as_object_mut()
            && config.shift_remove(ZEROES).is_some()
        {
            let mode = config.insert("merge_mode".to_owned(), Value::Null);
            self.merge_modes.insert(index, mode.as_ref().and_then(Value::as_str).map(str::to_owned));
            report.converted(&*named, "outputs at masked steps are those of the step before, not 0");
        }
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
            let state = states.get(result * states.len() / 2).filter(|_| !self.zeros).cloned();
            let turned = (backwards != (result == 1), result == 1);
            outputs.push(self.graph.repeated(&format!("{named}.{direction}.{call}"), y, mask, turned, state));
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
        self.ends.extend(by);
        for result in results.iter().filter_map(|r| place(&r["config"]["keras_history"])) {
            self.bear(result, sources.clone(), "Bidirectional")?;
        }
        Ok(())
    }
}
