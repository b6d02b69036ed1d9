//! The layer around a cell: steps, masks, states.

use std::sync::OnceLock;

use keras_spec::layer::{Cell, Child};
use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Builder, Call, Class, Config, Constraint, DTypePolicy, Error, Initializer, Layer, LayerExt, LayerRef,
    Object, Op, PartialShape, Regularizer, Result, Shared, Tensor, TensorSpec,
};
use serde_json::{Value, json};

use super::cell::{
    Masks, RecurrentCell, RecurrentKind, Run, Step, Weights, cell_arguments, check_states, take,
};
use super::sequence::{Sequence, Stepped, sequence_build_config, sequence_methods, step_mask, used_mask};
use super::{GRU, LSTM};
use crate::activations::Activation;
use crate::layers::common::{axis_length, input_of_rank};

/// Registers the cell and the layer of a kind.
macro_rules! register {
    ($Kind:ident) => {
        keras_spec::register!(dyn Layer, <$Kind as RecurrentKind>::CELL, |config| {
            Ok(Box::new(RecurrentCell::<$Kind>::from_config($Kind::CELL, config)?))
        });
        keras_spec::register!(dyn Layer, <$Kind as RecurrentKind>::LAYER, |config| {
            Ok(Box::new(Recurrent::<$Kind>::from_config(config)?))
        });
    };
}
pub(super) use register;

/// Whether the steps of an [`LSTM`](super::LSTM) or [`GRU`](super::GRU) are done by one operation of the backend: what Keras
/// asks cuDNN for. Files do not hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseCudnn {
    /// If there is such an operation for the layer's arguments.
    #[default]
    Auto,
    /// Yes; if there is none, calls fail.
    Always,
    /// No: each step is a sequence of operations.
    Never,
}

impl From<bool> for UseCudnn {
    fn from(use_cudnn: bool) -> Self {
        if use_cudnn { UseCudnn::Always } else { UseCudnn::Never }
    }
}

impl UseCudnn {
    fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Bool(b) => Ok((*b).into()),
            Value::String(s) if s == "auto" => Ok(UseCudnn::Auto),
            other => Err(Error::argument("use_cudnn", "one of \"auto\", true, false", other)),
        }
    }

    pub(super) fn to_value(self) -> Value {
        match self {
            UseCudnn::Auto => json!("auto"),
            UseCudnn::Always => json!(true),
            UseCudnn::Never => json!(false),
        }
    }
}

/// A recurrent layer; [`SimpleRNN`](super::SimpleRNN), [`LSTM`](super::LSTM) and [`GRU`](super::GRU) are the kinds.
///
/// Inputs are `(batch, steps, features)` and, if wanted, the initial states, each `(batch, units)`; they may also be the
/// keyword argument `initial_state`. The output is that of the last step, or those of all steps with `return_sequences`; with
/// `return_state` the last states follow it. A mask `(batch, steps)` says which steps count: at others the states stay.
///
/// Weights belong to the cell: `kernel` `(features, gates · units)`, `recurrent_kernel` `(units, gates · units)`, `bias`.
#[derive(Debug)]
pub struct Recurrent<K: RecurrentKind> {
    pub(super) sequence: Sequence,
    pub(super) use_cudnn: UseCudnn,
    pub(super) cell: RecurrentCell<K>,
    /// The cell as a layer; shares weights and generator with `cell`.
    part: OnceLock<LayerRef>,
}

impl<K: RecurrentKind> Recurrent<K> {
    /// A layer with states of `units` numbers per sample.
    pub fn new(units: usize) -> Self {
        Recurrent::of(Sequence::default(), UseCudnn::Auto, RecurrentCell::new(units))
    }

    cell_arguments!(cell.arguments);

    fn of(sequence: Sequence, use_cudnn: UseCudnn, cell: RecurrentCell<K>) -> Self {
        Recurrent { sequence, use_cudnn, cell, part: OnceLock::new() }
    }

    pub(super) fn from_config(config: &Config) -> Result<Self> {
        let mut rest = config.clone();
        let sequence = take(&mut rest, &Sequence::default())?;
        let sequence = from_config(K::LAYER, &sequence)?;
        // Only kinds that have a single operation take the argument.
        let cudnn = if K::HAS_FUSED { rest.shift_remove("use_cudnn") } else { None };
        let cudnn = cudnn.map_or(Ok(UseCudnn::Auto), |v| UseCudnn::from_value(&v))?;
        Ok(Recurrent::of(sequence, cudnn, RecurrentCell::from_config(K::LAYER, &rest)?))
    }
}

impl<K: RecurrentKind> Recurrent<K> {
    sequence_methods!();

    fn units(&self) -> usize {
        self.cell.arguments.units
    }

    /// All steps as one operation: the output or outputs, and the last states. `None` if there is no such operation.
    fn at_once(
        &self,
        x: &Tensor,
        weights: &Weights,
        masks: &Masks,
        mask: Option<&Tensor>,
        states: &[Tensor],
        zero_states: bool,
    ) -> Result<Option<(Tensor, Vec<Tensor>)>> {
        // Unrolled, Keras gives zeros before the first step that counts, whatever the initial state.
        let unrolled = self.sequence.unroll && mask.is_some() && !zero_states;
        if self.use_cudnn == UseCudnn::Never
            || masks.inputs.len() > 1
            || !masks.recurrent.is_empty()
            || unrolled
        {
            return Ok(None);
        }
        let run = Run {
            reverse: self.sequence.go_backwards,
            mask: mask.is_some(),
            zero_output_for_mask: self.sequence.zeroes(),
        };
        let Some(fused) = self.cell.kind.fused(&self.cell.arguments, run) else { return Ok(None) };
        let x = match masks.inputs.first() {
            Some(dropped) => (x * dropped)?,
            None => x.clone(),
        };
        let bias = match &weights.bias {
            Some(bias) => bias.clone(),
            None => Tensor::full(
                self.cell.kind.bias_shape(self.units()),
                weights.kernel.dtype(),
                0.0,
                x.device(),
            )?,
        };
        let mut operands = vec![x, weights.kernel.clone(), weights.recurrent.clone(), bias];
        operands.extend(states.iter().chain(mask).cloned());
        let results = Tensor::apply(Op::Fused(fused), operands)?;
        let (Some(outputs), Some(last)) = (results.first(), results.get(1..=K::STATES)) else {
            return Err(Error::other("an operation with too few results"));
        };
        let output = match (self.sequence.return_sequences, mask.is_some() && self.sequence.zeroes()) {
            (true, _) => outputs.clone(),
            (false, true) => outputs.index(1, outputs.shape()[1] - 1)?,
            (false, false) => last[0].clone(),
        };
        Ok(Some((output, last.to_vec())))
    }

    /// The same step by step.
    fn by_steps(
        &self,
        x: &Tensor,
        weights: &Weights,
        masks: &Masks,
        mask: Option<&Tensor>,
        states: Vec<Tensor>,
    ) -> Result<Stepped> {
        let projected = self.cell.project(x, weights, &masks.inputs)?;
        let at = Step { arguments: &self.cell.arguments, weights, masks: &masks.recurrent };
        let step = |t: usize, states: &[Tensor]| {
            let new = self.cell.kind.step(&at, &projected.index(1, t)?, states)?;
            Ok((new[0].clone(), new))
        };
        self.sequence.run(x.shape()[1], mask, states, 0, step)
    }
}

impl<K: RecurrentKind> Object for Recurrent<K> {
    fn class(&self) -> Class {
        K::LAYER
    }

    fn config(&self) -> Result<Config> {
        let mut config = to_config(&self.sequence)?;
        config.extend(self.cell.arguments_config()?);
        if !K::SEED_IN_CONFIG {
            config.shift_remove("seed");
        }
        Ok(config)
    }
}

impl<K: RecurrentKind> Layer for Recurrent<K> {
    fn make_parts(&self, policy: DTypePolicy) {
        self.part.get_or_init(|| self.cell.clone().name(K::CELL_NAME).dtype(policy).into());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.cell.validate()?;
        let (x, states) = inputs.split_at(inputs.len().min(1));
        let x = input_of_rank(x, 3)?;
        self.sequence.check(x)?;
        if let Some(kernel) = self.cell.kernel.get() {
            axis_length(x, -1, kernel.shape()[0])?;
        }
        if states.is_empty() { Ok(()) } else { check_states(states, K::STATES, x, self.units()) }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let x = input_of_rank(inputs.get(..1).unwrap_or_default(), 3)?;
        if let Some(part) = self.part.get() {
            builder.child(part, &[PartialShape::from([x[0], x[2]])])?;
        }
        let dtype = builder.variable_dtype();
        self.sequence.build(builder, x, |batch| self.cell.initial_state(batch, dtype, builder.device()))
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, given @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor", "nothing"));
        };
        let weights = self.cell.weights(x)?;
        let dtype = weights.kernel.dtype();
        let x = x.cast(dtype)?;
        let mask = used_mask(call, given).map(|m| step_mask(m, &x)).transpose()?;
        let first = || self.cell.initial_state(x.shape()[0], dtype, x.device());
        let states = self.sequence.initial_states(given, call, dtype, first)?;
        let zero_states =
            given.is_empty() && call.tensors("initial_state").is_empty() && !self.sequence.stateful;
        let mut masks = self.cell.draw_masks(&x.index(1, 0)?, &states[0], call.training)?;
        for mask in &mut masks.inputs {
            *mask = mask.expand_dims(1)?;
        }
        let at_once = self.at_once(&x, &weights, &masks, mask.as_ref(), &states, zero_states)?;
        let (output, last) = match at_once {
            Some(done) => done,
            None if self.use_cudnn == UseCudnn::Always => {
                let found = "activations, dropout or masks for which there is none";
                return Err(Error::argument("use_cudnn", "a layer that one operation can do", found));
            }
            None => self.by_steps(&x, &weights, &masks, mask.as_ref(), states)?,
        };
        self.sequence.finish((output, last), call.compute_dtype())
    }

    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let Some(x) = inputs.first() else { return Ok(None) };
        let dtype = self.part.get().map_or(call.compute_dtype(), |p| p.policy().compute_dtype());
        let state = || TensorSpec::new([x.shape[0], Some(self.units())], dtype);
        let states = (0..K::STATES).map(|_| state());
        Ok(Some(self.sequence.output_specs(x.shape[1], state(), states)))
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, _inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(self.sequence.mask(masks))
    }

    fn children(&self) -> Vec<Child> {
        self.part.get().map(|part| Child::one("cell", part)).into_iter().collect()
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
    }

    fn build_config(&self, shapes: &[PartialShape]) -> Option<Value> {
        sequence_build_config(shapes)
    }
}

/// The argument `use_cudnn` of a layer that has it.
pub(super) fn use_cudnn(layer: &LayerRef) -> Option<UseCudnn> {
    let lstm = layer.downcast::<LSTM>().map(|l| l.use_cudnn);
    lstm.or_else(|| layer.downcast::<GRU>().map(|l| l.use_cudnn))
}
