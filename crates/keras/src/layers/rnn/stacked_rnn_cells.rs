use keras_spec::layer::{Argument, Arguments, Cell, Child};
use keras_spec::object::from_config;
use keras_spec::{
    Builder, Call, Class, Config, DType, Device, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor,
};
use serde::Deserialize;
use serde_json::Value;

use super::any_cell::{cell_of, stepped};

/// Cells one upon the other as one: each gets the output of the one before it (`keras.layers.StackedRNNCells`, Keras 3.15.1).
///
/// Called with a step `(batch, features)` and the states of all cells, it gives the last cell's output and the new states.
#[derive(Clone, Debug)]
pub struct StackedRNNCells {
    cells: Vec<LayerRef>,
}

const CLASS: Class = Class::keras("keras.layers", "StackedRNNCells");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    cells: Vec<Value>,
}

keras_spec::register!(dyn Layer, CLASS, |config| {
    let FromFile { cells } = from_config(CLASS, config)?;
    let stack = StackedRNNCells { cells: cells.iter().map(LayerRef::from_value).collect::<Result<_>>()? };
    stack.parts()?;
    Ok(Box::new(stack))
});

impl StackedRNNCells {
    /// The cells, the one that gets the inputs first.
    pub fn new(cells: impl IntoIterator<Item = impl Into<LayerRef>>) -> Self {
        StackedRNNCells { cells: cells.into_iter().map(Into::into).collect() }
    }

    /// The cells with what they say of themselves, at least one.
    fn parts(&self) -> Result<Vec<(&LayerRef, &dyn Cell)>> {
        if self.cells.is_empty() {
            return Err(Error::argument("cells", "at least one cell", "none"));
        }
        self.cells.iter().map(|layer| Ok((layer, cell_of(layer)?))).collect()
    }

    /// What each cell says of itself; nothing of layers that are no cells, which calls refuse.
    fn known(&self) -> impl DoubleEndedIterator<Item = &dyn Cell> {
        self.cells.iter().filter_map(|layer| layer.layer().as_cell())
    }
}

/// Takes the first states, those of a cell, off the list.
fn own<'a>(cell: &dyn Cell, states: &mut &'a [Tensor]) -> Result<&'a [Tensor]> {
    let (own, rest) = states
        .split_at_checked(cell.state_size().len())
        .ok_or_else(|| Error::argument("states", "those of all cells", "fewer"))?;
    *states = rest;
    Ok(own)
}

impl Object for StackedRNNCells {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let forms = self.cells.iter().map(|cell| Ok(cell.serialize()?.to_value()));
        Ok(Config::from_iter([("cells".to_owned(), Value::Array(forms.collect::<Result<_>>()?))]))
    }
}

impl Layer for StackedRNNCells {
    fn check_inputs(&self, _inputs: &[PartialShape]) -> Result<()> {
        self.parts().map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let Some(mut step) = inputs.first().cloned() else {
            return Err(Error::argument("inputs", "a tensor and the states", "nothing"));
        };
        for (layer, cell) in self.parts()? {
            builder.child(layer, std::slice::from_ref(&step))?;
            step = PartialShape::from([step.first().copied().flatten(), Some(cell.output_size())]);
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [x, states @ ..] = inputs else {
            return Err(Error::argument("inputs", "a tensor and the states", "nothing"));
        };
        let (mut x, mut states, mut new) = (x.clone(), states, Vec::new());
        for (i, (layer, cell)) in self.parts()?.into_iter().enumerate() {
            let mut inner = call.inner();
            let prefix = format!("{i}/");
            let constant = |(name, value): (&String, &Argument)| {
                name.strip_prefix(&prefix).map(|name| (name.to_owned(), value.clone()))
            };
            inner.arguments = call.arguments.iter().filter_map(constant).collect();
            let (y, own_new) = stepped(layer, &x, own(cell, &mut states)?, &inner)?;
            x = y;
            new.extend(own_new);
        }
        if !states.is_empty() {
            return Err(Error::argument("states", "those of all cells", "more"));
        }
        Ok(std::iter::once(x).chain(new).collect())
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::list("cells", &self.cells)]
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for StackedRNNCells {
    fn state_size(&self) -> Vec<usize> {
        self.known().flat_map(Cell::state_size).collect()
    }

    fn output_size(&self) -> usize {
        self.known().next_back().map_or(0, Cell::output_size)
    }

    fn initial_state(&self, batch: usize, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        let mut states = Vec::new();
        for (_, cell) in self.parts()? {
            states.extend(cell.initial_state(batch, dtype, device)?);
        }
        Ok(states)
    }

    fn output_state(&self) -> usize {
        let mut cells = self.known();
        let last = cells.next_back().map_or(0, Cell::output_state);
        last + cells.map(|cell| cell.state_size().len()).sum::<usize>()
    }

    fn constants(&self, step: &Tensor, states: &[Tensor], call: &Call) -> Result<Arguments> {
        let (mut x, mut states, mut all) = (step.clone(), states, Arguments::new());
        for (i, (_, cell)) in self.parts()?.into_iter().enumerate() {
            let own = cell.constants(&x, own(cell, &mut states)?, call)?;
            all.extend(own.into_iter().map(|(name, value)| (format!("{i}/{name}"), value)));
            // Only the shape of what the next cell gets matters.
            x = Tensor::full([x.shape()[0], cell.output_size()], x.dtype(), 1.0, x.device())?;
        }
        Ok(all)
    }
}
