//! `keras summary`

use std::collections::HashMap;
use std::mem::ManuallyDrop;

use keras::Model;
use keras::models::{Chain, Functional, Node};
use keras_spec::{Call, LayerRef, TensorSpec, Variable};
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, Result};
use crate::model::{ModelFile, NewWeights};

#[derive(Debug, clap::Args)]
pub(crate) struct Summary {
    #[command(flatten)]
    model: ModelFile,
    /// List the layers of nested models too
    #[arg(long)]
    expand_nested: bool,
    /// Say which layers are trained
    #[arg(long)]
    show_trainable: bool,
    /// The width of the table
    #[arg(long, value_name = "CHARACTERS")]
    line_length: Option<usize>,
    /// Leave out what the model was compiled with, as where an optimizer or a loss is not known
    #[arg(long)]
    no_compile: bool,
}

impl Summary {
    /// Computes the text or the JSON, whichever is asked for: each takes long for models of many layers.
    pub(crate) fn run(self, json: bool) -> Result<Answer> {
        // The process ends after this, and freeing a hundred thousand layers takes as long as listing them.
        let model = &*ManuallyDrop::new(self.model.open(!self.no_compile, NewWeights::Unused)?.model);
        if json {
            return Ok(Answer::new("", describe(model)?));
        }
        let mut options = keras::visual::Summary::new()
            .expand_nested(self.expand_nested)
            .show_trainable(self.show_trainable);
        if let Some(length) = self.line_length {
            options = options.line_length(length);
        }
        let fail = |e| Failure::file(self.model.path(), e);
        Ok(Answer::new(model.summary_text(options).map_err(fail)?, Value::Null))
    }
}

fn describe(model: &Model) -> Result<Value> {
    let count = |all: &[Variable]| all.iter().map(|v| v.shape().size()).sum::<usize>();
    let specs = |specs: keras::Result<Vec<(String, TensorSpec)>>| {
        let one = |(name, spec): (String, TensorSpec)| json!({ "name": name, "shape": spec.shape, "dtype": spec.dtype.name() });
        specs.ok().map(|all| all.into_iter().map(one).collect::<Vec<_>>())
    };
    let layer = model.as_layer();
    let optimizer = keras_spec::Model::optimizer(model).map(|o| count(&o.variables()));
    let (trainable, fixed) = (count(&layer.trainable_weights()), count(&layer.non_trainable_weights()));
    Ok(json!({
        "name": model.name(),
        "class": layer.class().name,
        "inputs": specs(model.inputs()),
        "outputs": specs(model.outputs()),
        "layers": layers(layer),
        "params": {
            "total": trainable + fixed + optimizer.unwrap_or(0),
            "trainable": trainable,
            "non_trainable": fixed,
            "optimizer": optimizer,
        },
    }))
}

/// The layers of a model; null of another layer.
fn layers(layer: &LayerRef) -> Value {
    let (list, nodes) = match (layer.downcast::<Functional>(), layer.downcast::<Chain>()) {
        (Some(graph), _) => (graph.operations(), graph.nodes()),
        (_, Some(chain)) => (chain.layers(), &[][..]),
        _ => return Value::Null,
    };
    // Each layer's first call.
    let calls: HashMap<usize, &Node> = nodes.iter().rev().map(|n| (n.layer().id(), &**n)).collect();
    let one = |layer: &LayerRef| {
        let nested = layers(layer);
        let mut entry = json!({
            "name": layer.name(),
            "class": layer.class().name,
            "output_shapes": output_shapes(layer, calls.get(&layer.id()).copied()),
            "params": layer.count_params(),
            "trainable": layer.is_trainable(),
        });
        if !nested.is_null() {
            entry["layers"] = nested;
        }
        entry
    };
    list.iter().map(one).collect()
}

/// The shapes of a layer's first call; null if it was not built.
fn output_shapes(layer: &LayerRef, call: Option<&Node>) -> Value {
    let specs = match call {
        Some(node) => Some(node.outputs().to_vec()),
        None => layer.build_shapes().and_then(|shapes| {
            let dtype = layer.policy().compute_dtype();
            let inputs: Vec<_> = shapes.iter().map(|s| TensorSpec::new(s.clone(), dtype)).collect();
            layer.output_spec(&inputs, &Call::inference()).ok()
        }),
    };
    specs.map_or(Value::Null, |all| all.iter().map(|s| json!(s.shape)).collect())
}
