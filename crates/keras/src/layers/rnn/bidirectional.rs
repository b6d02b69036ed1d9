use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use keras_spec::layer::Child;
use keras_spec::object::from_config;
use keras_spec::{
    Builder, Call, Class, Config, DTypePolicy, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor,
    TensorSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::recurrent::use_cudnn;
use super::sequence::{Sequence, sequence_build_config, used_mask};
use crate::layers::defaults::yes;

/// How the outputs of both directions become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeMode {
    /// One after the other along the last axis.
    #[default]
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
}

/// Two recurrent layers, of which one reads the steps backwards: `(batch, steps, features)` → the outputs of both, merged
/// (`keras.layers.Bidirectional`, Keras 3.15.1).
///
/// The given layer is copied, once for each direction; with `return_sequences` both give zeros at masked steps, and outputs
/// of the backward layer are put in the order of the steps. Initial states are those of the forward layer, then those of the
/// backward one; so are the states that `return_state` gives.
///
/// ```
/// use keras::layers::{Bidirectional, LSTM, MergeMode};
///
/// let layer = Bidirectional::new(LSTM::new(32).return_sequences(true)).merge_mode(MergeMode::Sum);
/// # let _ = layer;
/// ```
#[derive(Debug)]
pub struct Bidirectional {
    layer: LayerRef,
    backward_layer: Option<LayerRef>,
    merge_mode: Option<MergeMode>,
    zero_output_for_mask: bool,
    parts: OnceLock<Result<Parts>>,
}

const CLASS: Class = Class::keras("keras.layers", "Bidirectional");

#[derive(Clone, Debug)]
struct Parts {
    forward: LayerRef,
    backward: LayerRef,
    shared: Shared,
}

/// What both layers must agree on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shared {
    stateful: bool,
    return_sequences: bool,
    return_state: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    layer: Value,
    #[serde(default)]
    backward_layer: Option<Value>,
    #[serde(default = "concat")]
    merge_mode: Option<MergeMode>,
    #[serde(default = "yes")]
    zero_output_for_mask: bool,
}

fn concat() -> Option<MergeMode> {
    Some(MergeMode::Concat)
}

keras_spec::register!(dyn Layer, CLASS, |config| {
    let arguments: Arguments = from_config(CLASS, config)?;
    let layer = LayerRef::from_value(&arguments.layer)?;
    let backward = arguments.backward_layer.as_ref().map(LayerRef::from_value).transpose()?;
    Ok(Box::new(Bidirectional {
        merge_mode: arguments.merge_mode,
        zero_output_for_mask: arguments.zero_output_for_mask,
        backward_layer: backward,
        ..Bidirectional::new(layer)
    }))
});

impl Bidirectional {
    /// Both directions of a recurrent layer, one after the other along the last axis.
    pub fn new(layer: impl Into<LayerRef>) -> Self {
        Bidirectional {
            layer: layer.into(),
            backward_layer: None,
            merge_mode: concat(),
            zero_output_for_mask: true,
            parts: OnceLock::new(),
        }
    }

    /// How the outputs become one; `None` gives both. Default: `Concat`.
    #[must_use]
    pub fn merge_mode(mut self, merge_mode: impl Into<Option<MergeMode>>) -> Self {
        self.merge_mode = merge_mode.into();
        self
    }

    /// The layer that reads backwards, with `go_backwards` set. Default: like the forward one.
    #[must_use]
    pub fn backward_layer(mut self, layer: impl Into<LayerRef>) -> Self {
        self.backward_layer = Some(layer.into());
        self
    }

    /// Whether outputs at masked steps are 0 with `return_sequences`; otherwise they are those of the step before, as in
    /// Keras 1 and in Keras 2 outside TensorFlow, whose files say it by this argument. Default: yes, as in Keras 3, which does
    /// not have the argument.
    #[must_use]
    pub fn zero_output_for_mask(mut self, zero: bool) -> Self {
        self.zero_output_for_mask = zero;
        self
    }

    /// Sets the states of stateful layers to 0.
    ///
    /// # Errors
    /// If the layer is not stateful.
    pub fn reset_state(&self) -> Result<()> {
        let parts = self.parts()?;
        if !parts.shared.stateful {
            return Err(Error::argument("stateful", "true, for a state to be reset", "false"));
        }
        for layer in [&parts.forward, &parts.backward] {
            if let Some(sequence) = Sequence::of(layer) {
                sequence.reset_state()?;
            }
        }
        Ok(())
    }

    fn parts(&self) -> Result<&Parts> {
        match self.parts.get() {
            Some(parts) => parts.as_ref().map_err(Clone::clone),
            None => Err(Error::other("a `Bidirectional` that is not yet a layer")),
        }
    }

    fn make(&self) -> Result<Parts> {
        let forward = self.copy("forward_", false)?;
        let (forward_goes, shared) = attributes(&forward)?;
        let backward = match &self.backward_layer {
            Some(given) => given.clone(),
            None => self.copy("backward_", true)?,
        };
        let (backward_goes, backward_shared) = attributes(&backward)?;
        if forward_goes == backward_goes {
            let found = format!("{forward_goes} for both");
            return Err(Error::argument("go_backwards", "different values for both layers", found));
        }
        if shared != backward_shared {
            let expected = format!("{shared:?}, as the forward layer has it");
            return Err(Error::argument("backward_layer", expected, format!("{backward_shared:?}")));
        }
        for layer in [&forward, &backward] {
            if let Some(sequence) = Sequence::of(layer) {
                let zero = shared.return_sequences && self.zero_output_for_mask;
                sequence.zero_output_for_mask.store(zero, Ordering::Relaxed);
            }
        }
        Ok(Parts { forward, backward, shared })
    }

    /// The layer with its name after `prefix`.
    fn copy(&self, prefix: &str, backwards: bool) -> Result<LayerRef> {
        let mut form = self.layer.serialize()?.to_value();
        let name = self.layer.name();
        form["config"]["name"] = format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name)).into();
        if backwards {
            form["config"]["go_backwards"] = true.into();
        }
        if let Some(use_cudnn) = use_cudnn(&self.layer) {
            form["config"]["use_cudnn"] = use_cudnn.to_value();
        }
        LayerRef::from_value(&form)
    }
}

/// `go_backwards` of a layer, and what both must agree on.
fn attributes(layer: &LayerRef) -> Result<(bool, Shared)> {
    let config = layer.layer().config()?;
    let flag = |key: &str| {
        config.get(key).and_then(Value::as_bool).ok_or_else(|| {
            let found = format!("{} `{}` without `{key}`", layer.class().name, layer.name());
            Error::argument("layer", "a recurrent layer", found)
        })
    };
    let shared = Shared {
        stateful: flag("stateful")?,
        return_sequences: flag("return_sequences")?,
        return_state: flag("return_state")?,
    };
    Ok((flag("go_backwards")?, shared))
}

impl Object for Bidirectional {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let parts = self.parts()?;
        let mut config = Config::new();
        config.insert("merge_mode".to_owned(), json!(self.merge_mode));
        config.insert("layer".to_owned(), parts.forward.serialize()?.to_value());
        config.insert("backward_layer".to_owned(), parts.backward.serialize()?.to_value());
        if !self.zero_output_for_mask {
            config.insert("zero_output_for_mask".to_owned(), false.into());
        }
        Ok(config)
    }
}

impl Layer for Bidirectional {
    fn make_parts(&self, _policy: DTypePolicy) {
        self.parts.get_or_init(|| self.make());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.parts()?.forward.layer().check_inputs(&inputs[..inputs.len().min(1)])?;
        match inputs.len() {
            0 | 1 => Ok(()),
            n if n % 2 == 1 => Ok(()),
            n => Err(Error::argument("initial_state", "as many states for both layers", n - 1)),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let parts = self.parts()?;
        let x = &inputs[..inputs.len().min(1)];
        builder.child(&parts.forward, x)?;
        builder.child(&parts.backward, x)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let Parts { forward, backward, shared } = self.parts()?;
        let [x, states @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor", "nothing"));
        };
        let states = if states.is_empty() { call.tensors("initial_state") } else { states };
        if states.len() % 2 == 1 {
            return Err(Error::argument("initial_state", "as many states for both layers", states.len()));
        }
        let (forward_states, backward_states) = states.split_at(states.len() / 2);
        let run = |layer: &LayerRef, states: &[Tensor]| -> Result<(Tensor, Vec<Tensor>)> {
            let mut inner = call.inner().with_masks(vec![used_mask(call, states).cloned()]);
            if !states.is_empty() {
                inner = inner.with_tensors("initial_state", states.to_vec());
            }
            let mut outputs = layer.call(std::slice::from_ref(x), &inner)?.tensors;
            if outputs.is_empty() {
                return Err(Error::argument("layer", "a layer with an output", "none"));
            }
            Ok((outputs.remove(0).into_dtype(call.compute_dtype())?, outputs))
        };
        let (y, mut last) = run(forward, forward_states)?;
        let (mut back, backward_last) = run(backward, backward_states)?;
        last.extend(backward_last);
        if shared.return_sequences {
            back = back.flip(&[1])?;
        }
        let mut outputs = match self.merge_mode {
            None => vec![y, back],
            Some(MergeMode::Concat) => vec![Tensor::concatenate(&[y, back], -1)?],
            Some(MergeMode::Sum) => vec![(y + back)?],
            Some(MergeMode::Mul) => vec![(y * back)?],
            Some(MergeMode::Ave) => vec![((y + back)? / 2.0)?],
        };
        if shared.return_state {
            outputs.extend(last);
        }
        Ok(outputs)
    }

    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let Parts { forward, backward, .. } = self.parts()?;
        let x = &inputs[..inputs.len().min(1)];
        let [mut one, mut other] = [forward.output_spec(x, call)?, backward.output_spec(x, call)?];
        if one.is_empty() || other.is_empty() {
            return Ok(None);
        }
        let (mut y, mut back) = (one.remove(0), other.remove(0));
        // Outputs, but not states, are cast to this layer's dtype, which the inputs have unless they are integers.
        for output in [&mut y, &mut back] {
            if let Some(x) = x.first().filter(|x| x.dtype.is_float()) {
                output.dtype = x.dtype;
            }
        }
        let mut outputs = match self.merge_mode {
            None => vec![y, back],
            Some(MergeMode::Concat) => {
                if let (Some(last), Some(Some(more))) = (y.shape.0.last_mut(), back.shape.last()) {
                    *last = last.map(|n| n + more);
                }
                vec![y]
            }
            Some(_) => vec![y],
        };
        outputs.extend(one);
        outputs.extend(other);
        Ok(Some(outputs))
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, _inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let sequences = self.parts()?.shared.return_sequences;
        let mask = masks.first().cloned().flatten().filter(|_| sequences);
        Ok(if self.merge_mode.is_none() { vec![mask.clone(), mask] } else { vec![mask] })
    }

    fn children(&self) -> Vec<Child> {
        self.parts().map_or_else(
            |_| Vec::new(),
            |p| vec![Child::one("forward_layer", &p.forward), Child::one("backward_layer", &p.backward)],
        )
    }

    fn build_config(&self, shapes: &[PartialShape]) -> Option<Value> {
        sequence_build_config(shapes)
    }
}
