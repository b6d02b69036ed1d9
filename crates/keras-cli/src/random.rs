//! Random data for models.

use keras::Model;
use keras::models::{Chain, Functional};
use keras_spec::random::{distributions, draw_seed};
use keras_spec::{Call, DType, Error, HostTensor, LayerRef, PartialShape, Result, Shape, TensorSpec};

/// What dimensions other than the batch are taken for where a model leaves them open: the first that it can do with.
const OPEN: [usize; 5] = [32, 128, 512, 2048, 16384];
/// How many numbers an array has at most.
const MAX_ELEMENTS: usize = 1 << 28;

/// One array for each input: numbers between 0 and 1, or small integers where they are looked up in an embedding.
///
/// # Errors
/// If the model does not know its inputs.
pub(crate) fn inputs(model: &Model, batch: usize, seed: u32) -> Result<Vec<HostTensor>> {
    let specs: Vec<TensorSpec> = model.inputs()?.into_iter().map(|(_, spec)| spec).collect();
    let fits = |open: &usize| {
        let filled =
            |spec: &TensorSpec| TensorSpec::new(&Shape::from(filled(&spec.shape, batch, *open)), spec.dtype);
        let filled: Vec<TensorSpec> = specs.iter().map(filled).collect();
        model.as_layer().output_spec(&filled, &Call::inference()).is_ok()
    };
    let open = OPEN.into_iter().find(fits).unwrap_or(OPEN[0]);
    let one = |(i, spec): (usize, &TensorSpec)| {
        let words = vocabulary(model.as_layer(), i);
        array(&filled(&spec.shape, batch, open), spec.dtype, words, seed + i as u32)
    };
    specs.iter().enumerate().map(one).collect()
}

/// The shape with a batch size, and the first of [`OPEN`] for what else is open.
pub(crate) fn shape(shape: &PartialShape, batch: usize) -> Vec<usize> {
    filled(shape, batch, OPEN[0])
}

fn filled(shape: &PartialShape, batch: usize, open: usize) -> Vec<usize> {
    let dims = shape.dims().iter().enumerate();
    dims.map(|(i, n)| if i == 0 { batch } else { n.unwrap_or(open) }).collect()
}

/// Random numbers; integers below `limit` where there is one or the dtype asks for them.
///
/// # Errors
/// If there are more than anybody waits for.
pub(crate) fn array(shape: &[usize], dtype: DType, limit: Option<usize>, seed: u32) -> Result<HostTensor> {
    let count = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS);
    let count =
        count.ok_or_else(|| Error::other(format!("too much random data: shape {}", Shape::from(shape))))?;
    let key = draw_seed(Some(&seed.into()));
    let numbers = match limit.or((!dtype.is_float()).then_some(2)) {
        Some(limit) => {
            let below = i64::try_from(limit).unwrap_or(i64::MAX).clamp(1, 1 << 30);
            HostTensor::new(shape, distributions::randint::<i32>(key, count, 0, below))?
        }
        None => HostTensor::new(shape, distributions::uniform::<f32>(key, count, 0.0, 1.0))?,
    };
    Ok(numbers.cast(dtype))
}

/// How many rows the embeddings have that read input `i` first.
fn vocabulary(layer: &LayerRef, i: usize) -> Option<usize> {
    if let Some(graph) = layer.downcast::<Functional>() {
        let input = graph.inputs().get(i)?;
        let reads = |t: &&keras::models::KerasTensor| std::ptr::eq(&**t.node(), &**input.node());
        let readers = graph.nodes().iter().filter_map(|node| {
            let at = node.positional().iter().position(reads)?;
            vocabulary(node.layer(), at)
        });
        return readers.min();
    }
    if let Some(chain) = layer.downcast::<Chain>() {
        return chain.layers().first().and_then(|first| vocabulary(first, i));
    }
    if layer.class().name != "Embedding" {
        return None;
    }
    let config = layer.serialize().ok()?.config;
    config.get("input_dim")?.as_u64().and_then(|n| usize::try_from(n).ok())
}
