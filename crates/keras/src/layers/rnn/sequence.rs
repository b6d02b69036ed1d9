//! What all recurrent layers do around their cell: the order of the steps, masks, and the states that are kept.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use keras_spec::{
    Builder, Call, DType, Error, LayerRef, PartialShape, Result, Shape, Tensor, TensorSpec, Variable,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, GRU, LSTM, RNN, SimpleRNN};
use crate::layers::common::axis_length;

/// The arguments of a recurrent layer beside those of its cell, and its states if it is stateful.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sequence {
    pub(super) return_sequences: bool,
    pub(super) return_state: bool,
    pub(super) go_backwards: bool,
    pub(super) stateful: bool,
    pub(super) unroll: bool,
    /// `Bidirectional` sets it in layers that it is given.
    pub(super) zero_output_for_mask: AtomicBool,
    #[serde(skip)]
    states: OnceLock<Vec<Variable>>,
}

/// Writes the builder methods of a layer that has a [`Sequence`] in its field `sequence`, and what it says of its states.
macro_rules! sequence_methods {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: bool) -> Self {
            self.sequence.$name = $name.into();
            self
        })+

        /// Whether the layer keeps its states between batches.
        pub fn is_stateful(&self) -> bool {
            self.sequence.stateful
        }

        /// The states that a stateful layer keeps; empty before it is built.
        pub fn states(&self) -> &[keras_spec::Variable] {
            self.sequence.states()
        }

        /// Sets the states of a stateful layer to 0 (`RNN.reset_state`).
        ///
        /// # Errors
        /// If the device fails.
        pub fn reset_state(&self) -> Result<()> {
            self.sequence.reset_state()
        }
    };
    () => {
        $crate::layers::rnn::sequence::sequence_methods! {
            /// Whether the outputs of all steps are returned, and not only the last.
            return_sequences;
            /// Whether the last states follow the output.
            return_state;
            /// Whether the steps are taken from the last to the first; outputs are in that order.
            go_backwards;
            /// Whether a batch starts with the states that the one before it ended with.
            stateful;
            /// Whether the number of steps is fixed; then outputs at masked steps before the first that counts are 0.
            unroll;
            /// Whether outputs at masked steps are 0, and not that of the step before. Not with `unroll`.
            zero_output_for_mask;
        }
    };
}
pub(super) use sequence_methods;

/// What a cell makes of a step: the output and the new states.
pub(super) type Stepped = (Tensor, Vec<Tensor>);

impl Sequence {
    /// The part of a recurrent layer that says how its steps are run through, if it is one of Keras's.
    pub(super) fn of(layer: &LayerRef) -> Option<&Sequence> {
        macro_rules! first {
            ($($Layer:ty),*) => { None$(.or_else(|| layer.downcast::<$Layer>().map(|l| &l.sequence)))* };
        }
        first!(LSTM, GRU, SimpleRNN, RNN, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D)
    }

    pub(super) fn states(&self) -> &[Variable] {
        self.states.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn reset_state(&self) -> Result<()> {
        for state in self.states() {
            state.assign(&Tensor::full(state.shape(), state.dtype(), 0.0, state.get().device())?)?;
        }
        Ok(())
    }

    /// Refuses sequences without steps, with an unknown number to unroll, or of another batch than the states that are kept.
    pub(super) fn check(&self, x: &PartialShape) -> Result<()> {
        if x[1] == Some(0) {
            return Err(Error::argument("inputs", "at least one step along axis 1", format!("shape {x}")));
        }
        if self.unroll && x[1].is_none() {
            let found = format!("shape {x} with `unroll`");
            return Err(Error::argument("inputs", "a known number of steps along axis 1", found));
        }
        match self.states().first() {
            Some(state) => axis_length(x, 0, state.shape()[0]),
            None => Ok(()),
        }
    }

    /// Makes the states of a stateful layer, for inputs of shape `x`, from those before the first batch.
    pub(super) fn build(
        &self,
        builder: &Builder,
        x: &PartialShape,
        first: impl FnOnce(usize) -> Result<Vec<Tensor>>,
    ) -> Result<()> {
        if !self.stateful {
            return Ok(());
        }
        let Some(batch) = x[0] else {
            let found = format!("shape {x}");
            return Err(Error::argument("inputs", "a known batch size, which `stateful` needs", found));
        };
        let state =
            |t: Tensor| Ok(Variable::new("rnn_state", t.into_dtype(builder.variable_dtype())?, false));
        let states = first(batch)?.into_iter().map(state).collect::<Result<_>>()?;
        self.states.get_or_init(|| states);
        Ok(())
    }

    /// The states before the first step: those that the call gives, those that are kept, or else `first`.
    pub(super) fn initial_states(
        &self,
        given: &[Tensor],
        call: &Call,
        dtype: DType,
        first: impl FnOnce() -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let given = if given.is_empty() { call.tensors("initial_state") } else { given };
        if given.is_empty() && self.stateful {
            return self.states().iter().map(|s| s.get().into_dtype(dtype)).collect();
        }
        let first = first()?;
        if given.is_empty() {
            return first.iter().map(|s| s.cast(dtype)).collect();
        }
        let shapes = |states: &[Tensor]| states.iter().map(|s| s.shape().clone()).collect::<Vec<_>>();
        let (expected, found) = (shapes(&first), shapes(given));
        if expected != found {
            let list = |shapes: &[Shape]| {
                let shapes: Vec<_> = shapes.iter().map(ToString::to_string).collect();
                format!("{} tensors of shapes {}", shapes.len(), shapes.join(", "))
            };
            return Err(Error::argument("initial_state", list(&expected), list(&found)));
        }
        given.iter().map(|s| s.cast(dtype)).collect()
    }

    /// Whether the output of a masked step is the state that stayed, or zero.
    pub(super) fn zeroes(&self) -> bool {
        self.zero_output_for_mask.load(Ordering::Relaxed) && !self.unroll
    }

    /// Takes `count` steps one by one: the output or outputs, and the last states. Where the mask `(batch, steps)` leaves a
    /// step out the states stay, of which number `output_state` is the output of the step before.
    pub(super) fn run(
        &self,
        count: usize,
        mask: Option<&Tensor>,
        mut states: Vec<Tensor>,
        output_state: usize,
        mut step: impl FnMut(usize, &[Tensor]) -> Result<Stepped>,
    ) -> Result<Stepped> {
        let mut outputs: Vec<Tensor> = Vec::new();
        for i in 0..count {
            let t = if self.go_backwards { count - 1 - i } else { i };
            let (y, new) = step(t, &states)?;
            if new.len() != states.len() {
                let found = format!("{} of them after a step", new.len());
                return Err(Error::argument("cell", format!("{} states", states.len()), found));
            }
            let Some(mask) = mask else {
                outputs.push(y);
                states = new;
                continue;
            };
            let counts = mask.index(1, t)?;
            let nothing = || Tensor::full(Shape::scalar(), y.dtype(), 0.0, y.device());
            let otherwise = match (self.unroll, outputs.last()) {
                (true, Some(earlier)) => earlier.clone(),
                (true, None) => nothing()?,
                (false, _) if self.zeroes() => nothing()?,
                (false, _) => match states.get(output_state) {
                    Some(state) => state.clone(),
                    None => return Err(Error::argument("cell", "a state that is the output", "none")),
                },
            };
            outputs.push(over(&counts, &y)?.select(&y, &otherwise)?);
            let kept = new.iter().zip(&states).map(|(new, old)| over(&counts, new)?.select(new, old));
            states = kept.collect::<Result<_>>()?;
        }
        let output = match self.return_sequences {
            true => Tensor::stack(&outputs, 1)?,
            false => outputs
                .pop()
                .ok_or_else(|| Error::argument("inputs", "at least one step along axis 1", "none"))?,
        };
        Ok((output, states))
    }

    /// Keeps the last states if the layer is stateful, and gives what the layer returns.
    pub(super) fn finish(&self, (output, last): Stepped, dtype: DType) -> Result<Vec<Tensor>> {
        if self.stateful {
            for (kept, state) in self.states().iter().zip(&last) {
                kept.assign(state)?;
            }
        }
        let last = last.into_iter().filter(|_| self.return_state);
        std::iter::once(output).chain(last).map(|t| t.into_dtype(dtype)).collect()
    }

    /// The outputs of the layer from those of one step, and the shapes of the states.
    pub(super) fn output_specs(
        &self,
        steps: Option<usize>,
        mut step: TensorSpec,
        states: impl IntoIterator<Item = TensorSpec>,
    ) -> Vec<TensorSpec> {
        if self.return_sequences {
            step.shape.0.insert(1, steps);
        }
        let states = states.into_iter().filter(|_| self.return_state);
        std::iter::once(step).chain(states).collect()
    }

    /// The mask of the output.
    pub(super) fn mask(&self, masks: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        vec![masks.first().cloned().flatten().filter(|_| self.return_sequences)]
    }
}

/// A mask `(batch,)` as it selects in `like` `(batch, …)`.
fn over(counts: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    if let Some(batch) = shape.first_mut() {
        *batch = counts.shape()[0];
    }
    counts.reshape(shape)
}

/// The mask that the steps of a call with these states heed. Keras 3 takes the mask that a tensor bears for the argument `mask`
/// only if there is no other tensor argument (`Layer.__call__`, Keras 3.15.1), so not beside states.
pub(super) fn used_mask<'a>(call: &'a Call, states: &[Tensor]) -> Option<&'a Tensor> {
    let has_states = !states.is_empty() || !call.tensors("initial_state").is_empty();
    call.mask(0).filter(|_| !(call.masks_borne && has_states))
}

/// The mask as `(batch, steps)` of dtype `bool`.
pub(super) fn step_mask(mask: &Tensor, x: &Tensor) -> Result<Tensor> {
    if mask.shape()[..] != x.shape()[..2] {
        let due = format!("shape ({}, {})", x.shape()[0], x.shape()[1]);
        return Err(Error::argument("mask", due, mask.shape()));
    }
    mask.cast(DType::Bool)
}

/// The shape of one step of a sequence `(batch, steps, …)`.
pub(super) fn step_shape(x: &PartialShape) -> PartialShape {
    let rest = x.iter().enumerate().filter(|(axis, _)| *axis != 1);
    rest.map(|(_, d)| *d).collect()
}

/// What files record of the shapes of sequences and initial states.
pub(super) fn sequence_build_config(shapes: &[PartialShape]) -> Option<Value> {
    let (x, states) = shapes.split_first()?;
    Some(match states {
        [] => json!({ "input_shape": x }),
        [one] => json!({ "shapes_dict": { "sequences_shape": x, "initial_state_shape": one } }),
        states => json!({ "shapes_dict": { "sequences_shape": x, "initial_state_shape": states } }),
    })
}
