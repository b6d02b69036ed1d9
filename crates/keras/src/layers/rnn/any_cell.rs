use keras_spec::layer::{Cell, Child};
use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Builder, Call, Class, Config, DType, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor,
    TensorSpec, scope,
};
use serde_json::Value;

use super::sequence::{Sequence, sequence_build_config, sequence_methods, step_mask, step_shape, used_mask};
use crate::layers::common::input_of_min_rank;

/// A recurrent layer around any cell: `(batch, steps, …)` → `(batch, features)`, or `(batch, steps, features)` with
/// `return_sequences` (`keras.layers.RNN`, Keras 3.15.1).
///
/// A cell is a layer that computes one step: Keras's own, such as [`LSTMCell`](super::LSTMCell), several of them one upon the
/// other ([`StackedRNNCells`](super::StackedRNNCells)), or one of another crate, which implements
/// [`Cell`](keras_spec::layer::Cell).
///
/// Further inputs, or the keyword argument `initial_state`, are the initial states, those of the first of stacked cells first.
/// With `return_state` the last states follow the output. A mask `(batch, steps)` says which steps count: at others the
/// states stay.
///
/// ```
/// use keras::layers::{GRUCell, LSTMCell, RNN, StackedRNNCells};
/// use keras_spec::LayerRef;
///
/// let cells: [LayerRef; 2] = [LSTMCell::new(8).into(), GRUCell::new(4).into()];
/// let layer = RNN::new(StackedRNNCells::new(cells)).return_sequences(true);
/// # let _ = layer;
/// ```
#[derive(Debug)]
pub struct RNN {
    pub(super) sequence: Sequence,
    cell: LayerRef,
}

const CLASS: Class = Class::keras("keras.layers", "RNN");

keras_spec::register!(dyn Layer, CLASS, |config| {
    let mut rest = config.clone();
    let cell = rest.shift_remove("cell").unwrap_or(Value::Null);
    let layer = RNN { sequence: from_config(CLASS, &rest)?, ..RNN::new(LayerRef::from_value(&cell)?) };
    cell_of(&layer.cell)?;
    Ok(Box::new(layer))
});

impl RNN {
    /// Takes the steps with `cell`.
    pub fn new(cell: impl Into<LayerRef>) -> Self {
        RNN { sequence: Sequence::default(), cell: cell.into() }
    }

    sequence_methods!();

    /// The cell.
    pub fn cell(&self) -> &LayerRef {
        &self.cell
    }

    /// The states before the first step, for a batch of so many samples.
    fn first_states(&self, batch: usize, x: &Tensor) -> Result<Vec<Tensor>> {
        let dtype = self.cell.policy().compute_dtype();
        cell_of(&self.cell)?.initial_state(batch, dtype, x.device())
    }
}

/// What a layer says of itself as a cell.
pub(super) fn cell_of(layer: &LayerRef) -> Result<&dyn Cell> {
    layer.layer().as_cell().ok_or_else(|| {
        let found = format!("{} `{}`", layer.class().name, layer.name());
        Error::argument("cell", "a layer with states (`Layer::as_cell`)", found)
    })
}

/// Calls a cell: the output and the new states.
pub(super) fn stepped(
    cell: &LayerRef,
    x: &Tensor,
    states: &[Tensor],
    call: &Call,
) -> Result<(Tensor, Vec<Tensor>)> {
    let inputs: Vec<Tensor> = std::iter::once(x).chain(states).cloned().collect();
    let mut outputs = cell.call(&inputs, call)?.tensors;
    if outputs.len() != states.len() + 1 {
        let found = format!("{} outputs", outputs.len());
        return Err(Error::argument("cell", format!("an output and {} states", states.len()), found));
    }
    let states = outputs.split_off(1);
    Ok((outputs.remove(0), states))
}

impl Object for RNN {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let mut config = to_config(&self.sequence)?;
        config.insert("cell".to_owned(), self.cell.serialize()?.to_value());
        Ok(config)
    }
}

impl Layer for RNN {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        cell_of(&self.cell)?;
        let x = input_of_min_rank(&inputs[..inputs.len().min(1)], 3)?;
        self.sequence.check(x)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let x = input_of_min_rank(&inputs[..inputs.len().min(1)], 3)?;
        let cell = cell_of(&self.cell)?;
        builder.child(&self.cell, &[step_shape(x)])?;
        let dtype = builder.variable_dtype();
        self.sequence.build(builder, x, |batch| cell.initial_state(batch, dtype, builder.device()))
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, given @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor", "nothing"));
        };
        let cell = cell_of(&self.cell)?;
        let mask = used_mask(call, given).map(|m| step_mask(m, x)).transpose()?;
        let dtype = self.cell.policy().compute_dtype();
        let states =
            self.sequence.initial_states(given, call, dtype, || self.first_states(x.shape()[0], x))?;
        let mut inner = call.inner();
        inner.arguments = cell.constants(&x.index(1, 0)?, &states, call)?;
        let step = |t: usize, states: &[Tensor]| stepped(&self.cell, &x.index(1, t)?, states, &inner);
        let done = self.sequence.run(x.shape()[1], mask.as_ref(), states, cell.output_state(), step)?;
        self.sequence.finish(done, call.compute_dtype())
    }

    fn output_spec(&self, inputs: &[TensorSpec], _call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        // The outputs have the layer's dtype, which the inputs have unless they are integers.
        let Some(x) = inputs.first().filter(|x| x.dtype.is_float()) else { return Ok(None) };
        let step = TensorSpec::new(step_shape(&x.shape), x.dtype);
        let device = keras_spec::Device::default_device()?;
        let states = scope::abstractly(|| {
            let dtype = self.cell.policy().compute_dtype();
            cell_of(&self.cell)?.initial_state(1, dtype, &device)
        })?;
        let spec = |t: &Tensor| {
            let mut shape = PartialShape::from(t.shape());
            if let Some(batch) = shape.0.first_mut() {
                *batch = x.shape[0];
            }
            TensorSpec::new(shape, t.dtype())
        };
        let states: Vec<TensorSpec> = states.iter().map(spec).collect();
        let inputs: Vec<TensorSpec> = std::iter::once(step).chain(states.iter().cloned()).collect();
        let in_dtype = |dtype: DType| move |spec: TensorSpec| TensorSpec { dtype, ..spec };
        let mut outputs =
            self.cell.output_spec(&inputs, &Call::inference())?.into_iter().map(in_dtype(x.dtype));
        let Some(y) = outputs.next() else {
            return Err(Error::argument("cell", "an output", "none"));
        };
        Ok(Some(self.sequence.output_specs(x.shape[1], y, outputs)))
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, _inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(self.sequence.mask(masks))
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::one("cell", &self.cell)]
    }

    fn build_config(&self, shapes: &[PartialShape]) -> Option<Value> {
        sequence_build_config(shapes)
    }
}
