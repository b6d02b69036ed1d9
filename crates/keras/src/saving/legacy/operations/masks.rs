//! The masks of tensors as operations that compute them.

use keras_spec::{Error, Result};
use serde_json::{Value, json};

use super::call::Operation;
use super::{Operations, tensor};

/// The result of a call, in a graph: layer, call, result.
pub(in crate::saving::legacy) type Place = (String, usize, usize);

impl Operations {
    /// The layers of a graph of Keras 3.
    pub(in crate::saving::legacy) fn of(layers: Vec<Value>) -> Self {
        Operations { layers, ..Operations::default() }
    }

    /// The layers, to change their calls.
    pub(in crate::saving::legacy) fn layers_mut(&mut self) -> &mut [Value] {
        &mut self.layers
    }

    /// Forgets what is known of tensors, since calls have changed.
    pub(in crate::saving::legacy) fn forget(&mut self) {
        (self.graph, self.traced) = Default::default();
    }

    /// How many axes a tensor of the graph has.
    ///
    /// # Errors
    /// The calls that lead to it cannot be made.
    pub(in crate::saving::legacy) fn rank(&mut self, of: &Place) -> Result<usize> {
        Ok(self.trace(&tensor_at(of))?.shape().rank())
    }

    /// The mask that comes from a layer: what a `Masking` or `Embedding` computes, or else what the layer's result bears.
    ///
    /// # Errors
    /// The mask of a tensor that does not have the axes of a sequence.
    pub(in crate::saving::legacy) fn mask(&mut self, of: &Place) -> Result<Value> {
        let (name, call, result) = of;
        let named = match result {
            0 => format!("{name}.mask.{call}"),
            result => format!("{name}.mask.{call}.{result}"),
        };
        if self.find(&named).is_some() {
            return Ok(tensor(named, 0));
        }
        let layer = self.find(name).map_or(&Value::Null, |index| &self.layers[index]);
        let input = layer.pointer(&format!("/inbound_nodes/{call}/args/0")).cloned().unwrap_or_default();
        let any = json!({ "axis": -1, "keepdims": false });
        let dtype = layer.pointer("/config/dtype").cloned();
        let value = layer.pointer("/config/mask_value").cloned().unwrap_or_else(|| json!(0.0));
        match layer["class_name"].as_str() {
            Some("Embedding") => Ok(self.apply(named, "NotEqual", vec![input, json!(0)], Value::Null)),
            Some("Masking") => {
                let elements = format!("{named}.elements");
                let elements = self.apply(elements, "NotEqual", vec![input, value], Value::Null);
                Ok(self.apply(named, "Any", vec![elements], any))
            }
            _ => {
                let rank = self.rank(of)?;
                if rank != 3 {
                    let why = format!("its output of {rank} axes has a mask that cannot be had as a tensor");
                    return Err(Error::config(name.clone(), why));
                }
                // Of two inputs Minimum takes the elements that count: what is not below 1 then was masked.
                let x = tensor_at(of);
                let config = with_dtype(json!({ "activation": "sigmoid" }), dtype.clone());
                let below = self.layer(format!("{named}.below"), "Activation", x, json!({}), config);
                let args = vec![below.clone()];
                let zeros = self.apply(format!("{named}.zeros"), "ZerosLike", args, Value::Null);
                let args = vec![zeros, json!(2.0)];
                let above = self.apply(format!("{named}.above"), "Add", args, Value::Null);
                let config = with_dtype(json!({}), dtype);
                let pair = json!([above, below]);
                let least = self.layer(format!("{named}.least"), "Minimum", pair, json!({}), config);
                let args = vec![least, json!(1.5)];
                let elements = self.apply(format!("{named}.elements"), "Less", args, Value::Null);
                Ok(self.apply(named, "Any", vec![elements], any))
            }
        }
    }

    /// A tensor without the mask that it bears: operations hand none on.
    pub(in crate::saving::legacy) fn unmasked(&mut self, name: String, x: Value) -> Value {
        self.apply(name, "Multiply", vec![x, json!(1)], Value::Null)
    }

    /// A tensor with another mask than it bears: of Keras's layers this one takes a mask, hands it on, and changes nothing.
    pub(in crate::saving::legacy) fn masked(
        &mut self,
        name: String,
        x: Value,
        mask: Value,
        dtype: Option<Value>,
    ) -> Value {
        let identity = json!({
            "module": "keras.layers",
            "class_name": "Identity",
            "config": with_dtype(json!({ "name": format!("{name}.identity") }), dtype.clone()),
            "registered_name": null,
        });
        let config = with_dtype(json!({ "layer": identity }), dtype);
        self.layer(name, "TimeDistributed", x, json!({ "mask": mask }), config)
    }

    /// What counts in both of two masks.
    pub(in crate::saving::legacy) fn both(&mut self, name: String, a: Value, b: Value) -> Value {
        self.apply(name, "LogicalAnd", vec![a, b], Value::Null)
    }

    /// The masks of sequences that follow each other.
    pub(in crate::saving::legacy) fn one_after_the_other(
        &mut self,
        name: String,
        masks: Vec<Value>,
    ) -> Value {
        self.apply(name, "Concatenate", vec![masks.into()], json!({ "axis": 1 }))
    }

    /// The outputs of a recurrent layer with `state`, or zeros, before the first step that counts, or of one that returns the last
    /// output, where no step does. `order` says whether it returns sequences, and whether these go backwards.
    pub(in crate::saving::legacy) fn begun(
        &mut self,
        name: &str,
        y: Value,
        mask: Value,
        order: (bool, bool),
        state: Option<Value>,
    ) -> Value {
        let (sequences, backwards) = order;
        let begun = match sequences {
            true => {
                let turned = match backwards {
                    true => self.apply(format!("{name}.turned"), "Flip", vec![mask], json!({ "axis": 1 })),
                    false => mask,
                };
                let config = json!({ "axis": 1, "dtype": "int32" });
                let count = self.apply(format!("{name}.count"), "Cumsum", vec![turned], config);
                self.apply(format!("{name}.any"), "Greater", vec![count, json!(0)], Value::Null)
            }
            false => {
                let config = json!({ "axis": 1, "keepdims": false });
                self.apply(format!("{name}.any"), "Any", vec![mask], config)
            }
        };
        let begun = self.apply(format!("{name}.over"), "ExpandDims", vec![begun], json!({ "axis": -1 }));
        let first = match state {
            Some(state) if sequences => {
                self.apply(format!("{name}.state"), "ExpandDims", vec![state], json!({ "axis": 1 }))
            }
            Some(state) => state,
            None => json!(0.0),
        };
        self.apply(name.to_owned(), "Where", vec![begun, y, first], Value::Null)
    }

    /// Outputs of steps in the order in which they were taken, at masked steps those of the step before: before the first that
    /// counts `state`, or zeros. `turned` says whether the steps were taken backwards, and whether `y` was turned around since.
    pub(in crate::saving::legacy) fn repeated(
        &mut self,
        name: &str,
        y: Value,
        mask: Value,
        turned: (bool, bool),
        state: Option<Value>,
    ) -> Value {
        let along = || json!({ "axis": 1 });
        let mut op = |part: &str, class, args: Vec<Value>, config: Value| {
            self.apply(format!("{name}.{part}"), class, args, config)
        };
        let mask = if turned.0 { op("mask", "Flip", vec![mask], along()) } else { mask };
        let y = if turned.1 { op("taken", "Flip", vec![y], along()) } else { y };
        let sum = || json!({ "axis": 1, "dtype": "int32" });
        // The steps that count, and then the others: each step takes the last of the former that is not after it.
        let count = op("count", "Cumsum", vec![mask.clone()], sum());
        let all = op("all", "GreaterEqual", vec![count.clone(), json!(0)], Value::Null);
        let step = op("step", "Cumsum", vec![all], sum());
        let later = op("later", "Add", vec![step.clone(), json!(1 << 24)], Value::Null);
        let key = op("key", "Where", vec![mask, step, later], Value::Null);
        let order = op("order", "Argsort", vec![key], along());
        let last = op("last", "Subtract", vec![count.clone(), json!(1)], Value::Null);
        let last = op("last.known", "Maximum", vec![last, json!(0)], Value::Null);
        let index = op("index", "TakeAlongAxis", vec![order, last], along());
        let over = || json!({ "axis": -1 });
        let index = op("index.over", "ExpandDims", vec![index], over());
        let taken = op("repeated", "TakeAlongAxis", vec![y, index], along());
        let begun = op("begun", "Greater", vec![count, json!(0)], Value::Null);
        let begun = op("begun.over", "ExpandDims", vec![begun], over());
        let first = match state {
            Some(state) => op("state", "ExpandDims", vec![state], along()),
            None => json!(0.0),
        };
        let new = op("outputs", "Where", vec![begun, taken, first], Value::Null);
        if turned.1 { op("turned", "Flip", vec![new], along()) } else { new }
    }

    /// [`repeated`](Self::repeated), and then zeros where the mask leaves out steps in their own order, in whichever they were taken.
    pub(in crate::saving::legacy) fn unrolled(
        &mut self,
        name: &str,
        y: Value,
        mask: Value,
        turned: (bool, bool),
    ) -> Value {
        let x = self.repeated(&format!("{name}.all"), y, mask.clone(), turned, None);
        let mask = match turned.1 {
            true => self.apply(format!("{name}.where"), "Flip", vec![mask], json!({ "axis": 1 })),
            false => mask,
        };
        let over = self.apply(format!("{name}.over"), "ExpandDims", vec![mask], json!({ "axis": -1 }));
        self.apply(name.to_owned(), "Where", vec![over, x, json!(0.0)], Value::Null)
    }

    /// Both directions as one, as a `merge_mode` says.
    pub(in crate::saving::legacy) fn merge(&mut self, name: String, mode: &str, both: Vec<Value>) -> Value {
        match mode {
            "mul" => self.apply(name, "Multiply", both, Value::Null),
            "sum" => self.apply(name, "Add", both, Value::Null),
            "ave" => {
                let sum = self.apply(format!("{name}.sum"), "Add", both, Value::Null);
                self.apply(name, "Multiply", vec![sum, json!(0.5)], Value::Null)
            }
            _ => self.apply(name, "Concatenate", vec![both.into()], json!({ "axis": -1 })),
        }
    }

    /// Adds a layer without weights.
    fn layer(&mut self, name: String, class: &str, x: Value, kwargs: Value, mut config: Value) -> Value {
        config["name"] = name.clone().into();
        self.layers.push(json!({
            "module": "keras.layers",
            "class_name": class,
            "config": config,
            "registered_name": null,
            "name": name,
            "inbound_nodes": [{ "args": [x], "kwargs": kwargs }],
        }));
        tensor(name, 0)
    }

    fn apply(&mut self, name: String, class: &'static str, args: Vec<Value>, config: Value) -> Value {
        self.push(Operation::new(name.clone(), class, args, config));
        tensor(name, 0)
    }
}

fn tensor_at((name, call, result): &Place) -> Value {
    let mut of = tensor(name.clone(), *call);
    of["config"]["keras_history"][2] = (*result).into();
    of
}

fn with_dtype(mut config: Value, dtype: Option<Value>) -> Value {
    if let Some(dtype) = dtype.filter(|d| !d.is_null()) {
        config["dtype"] = dtype;
    }
    config
}
