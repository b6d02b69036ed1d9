//! Arrays of layers of Keras 1 in the order and the layouts of Keras 2.

use std::collections::HashMap;

use keras_spec::{Error, HostTensor, Result, Shape};
use serde_json::{Value, json};

use super::{DEPTH, Version, class, config, layers_of, list, name, normalized};
use crate::saving::legacy::weights::rearranged;
use crate::saving::legacy::{Origin, Report};

/// An array with its name in the file.
type Named = (String, HostTensor);

/// A layer's name, Keras 1's object of it, and its arrays.
type Owned = (String, Value, Vec<Named>);

/// The arrays of a layer of Keras 0.3 to 1.2.2 in the order and the layouts of Keras 2. `layer` is Keras 1's object of it,
/// those of a model follow each other: first what training changes, then the rest.
///
/// Nothing is done about Theano's kernels, which files of Keras 2 have turned around too.
///
/// # Errors
/// There are not as many arrays as the layer has, or they have other shapes.
pub(crate) fn upgrade_weights(
    layer: &Value,
    weights: Vec<(String, HostTensor)>,
    origin: &Origin,
    report: &mut Report,
) -> Result<Vec<(String, HostTensor)>> {
    // Up to Keras 0.3 objects had no `class_name`, and models wrote all arrays of one layer, then those of the next.
    let by_layer = layer.get("class_name").is_none();
    let layer = normalized(layer, &mut HashMap::new(), 0)?;
    Conversion { origin, report, by_layer, trainable_only: false }.layer(&layer, weights)
}

/// The layers of a file of Keras 0.3 with the names that [`upgrade_config`](super::upgrade_config) gives them: it numbers them
/// (`layer_0`), with the branches of a `Merge` as one, and has all arrays of a `Graph` in one group. Each comes with Keras's
/// object of it; those without arrays are left out. None if the file is of a later version.
///
/// # Errors
/// The model cannot be read, or has more layers than the file has arrays for.
pub(crate) fn numbered(model: &Value, file: &[(String, Vec<Named>)]) -> Result<Option<Vec<Owned>>> {
    let number = |name: &str| name.strip_prefix("layer_")?.parse::<usize>().ok();
    let places: Option<Vec<usize>> = match file {
        [(name, _)] if name == "graph" => Some(vec![0]),
        _ => file.iter().map(|(name, _)| number(name)).collect(),
    };
    let Some(places) = places else { return Ok(None) };
    let normal = normalized(model, &mut HashMap::new(), 0)?;
    let raw = model.get("layers").or_else(|| model.get("config")).and_then(Value::as_array);
    let of = |place: usize| match class(&normal) {
        "Sequential" => Some((normal["config"].get(place)?, raw?.get(place)?)),
        _ => Some((&normal, model)),
    };
    let mut all = Vec::new();
    for (place, (group, arrays)) in places.into_iter().zip(file).filter(|(_, (_, arrays))| !arrays.is_empty())
    {
        let missing = || Error::argument(group, "a layer of the model", "none");
        let (layer, raw) = of(place).ok_or_else(missing)?;
        if !["Merge", "Graph"].contains(&class(layer)) {
            all.push((name(layer).to_owned(), raw.clone(), arrays.clone()));
            continue;
        }
        let mut rest = arrays.iter();
        for layer in sublayers(layer)? {
            let count: usize = counts(&layer, 0)?.iter().sum();
            let own: Vec<Named> = rest.by_ref().take(count).cloned().collect();
            if own.len() < count {
                return Err(Error::argument(name(&layer), format!("{count} arrays"), own.len()));
            }
            if count > 0 {
                all.push((name(&layer).to_owned(), layer, own));
            }
        }
    }
    Ok(Some(all))
}

/// What an optimizer keeps for the arrays of a model that training changes, all of one kind after all of another, in the order
/// and the layouts of Keras 2. Keras 1 sorted the arrays of a kind by the names of the model's, which are those of the layers
/// in `file`. Where the state does not fit the model it stays as it is.
///
/// # Errors
/// The model cannot be read.
pub(crate) fn upgrade_optimizer(
    model: &Value,
    file: &[(String, Vec<String>)],
    state: Vec<(String, HostTensor)>,
    origin: &Origin,
    report: &mut Report,
) -> Result<Vec<(String, HostTensor)>> {
    let model = normalized(model, &mut HashMap::new(), 0)?;
    let [trainable, _] = counts(&model, 0)?;
    let mut names: Vec<&String> = Vec::new();
    let layers = layers_of(&model, file.iter().map(|(name, arrays)| (&**name, arrays.len())))?;
    for ((_, arrays), layer) in file.iter().zip(layers) {
        let count = layer.map_or(Ok([0, 0]), |layer| counts(&layer, 0))?[0];
        names.extend(arrays.iter().take(count));
    }
    let steps = state.iter().take_while(|(_, array)| array.shape().rank() == 0).count();
    if trainable == 0 || names.len() != trainable || !(state.len() - steps).is_multiple_of(trainable) {
        return Ok(state);
    }
    let mut sorted: Vec<usize> = (0..trainable).collect();
    sorted.sort_by_key(|&i| names[i]);
    let mut conversion = Conversion { origin, report, by_layer: false, trainable_only: true };
    let mut state = state.into_iter();
    let mut upgraded: Vec<Named> = state.by_ref().take(steps).collect();
    loop {
        let group: Vec<Named> = state.by_ref().take(trainable).collect();
        if group.is_empty() {
            return Ok(upgraded);
        }
        let mut ordered: Vec<(usize, Named)> = sorted.iter().copied().zip(group).collect();
        ordered.sort_by_key(|(i, _)| *i);
        let group = ordered.into_iter().map(|(_, array)| array).collect();
        upgraded.extend(conversion.layer(&model, group)?);
    }
}

/// Gives layers with weights for each element of a sample `shared_axes`, which Keras 1 does not write, where their arrays have
/// one element along an axis. `shapes` are those of a layer's arrays.
pub(crate) fn share_axes(model: &mut Value, shapes: &impl Fn(&str) -> Option<Vec<Vec<usize>>>) {
    match model {
        Value::Array(list) => list.iter_mut().for_each(|v| share_axes(v, shapes)),
        Value::Object(map) => {
            let class = map.get("class_name").and_then(Value::as_str).unwrap_or_default();
            if ["PReLU", "SReLU", "ParametricSoftplus"].contains(&class) {
                let config = map.get_mut("config").and_then(Value::as_object_mut);
                let name = |c: &Value| c.as_str().and_then(shapes);
                if let Some(config) = config
                    && let Some(shape) = config.get("name").and_then(name).and_then(|s| s.into_iter().next())
                {
                    let shared: Vec<usize> =
                        (1..=shape.len()).filter(|&axis| shape.len() > 1 && shape[axis - 1] == 1).collect();
                    if !shared.is_empty() {
                        config.insert("shared_axes".to_owned(), json!(shared));
                    }
                }
            }
            map.values_mut().for_each(|v| share_axes(v, shapes));
        }
        _ => {}
    }
}

struct Conversion<'a> {
    origin: &'a Origin,
    report: &'a mut Report,
    by_layer: bool,
    /// Whether there are no arrays but those that training changes.
    trainable_only: bool,
}

impl Conversion<'_> {
    fn layer(&mut self, layer: &Value, weights: Vec<Named>) -> Result<Vec<Named>> {
        let class = class(layer);
        if is_model(class) {
            return self.model(layer, weights);
        }
        let wrong =
            |expected: &str| Error::argument(name(layer), expected, format!("{} arrays", weights.len()));
        let first = config(layer)?.get("dim_ordering").is_some_and(|o| o == "th");
        match class {
            "Bidirectional" => {
                let inner = inner(layer)?;
                let mut weights = weights;
                let backward = weights.split_off(weights.len() / 2);
                let mut all = self.layer(inner, weights)?;
                all.extend(self.layer(inner, backward)?);
                Ok(all)
            }
            "TimeDistributed" => self.layer(inner(layer)?, weights),
            "Convolution1D" | "AtrousConvolution1D" => {
                let number = |key: &str| {
                    let number = config(layer)?.get(key).and_then(Value::as_u64);
                    Ok::<_, Error>(number.and_then(|n| usize::try_from(n).ok()))
                };
                let (filters, window) = (number("nb_filter")?, number("filter_length")?);
                map_kernels(weights, 4, |kernel| {
                    // `(filters, channels, length, 1)` up to Keras 1.0, `(length, 1, channels, filters)` since.
                    let [first, second, _, last] = *kernel.shape().dims() else { return Ok(kernel) };
                    let old = last == 1 && (second != 1 || filters != Some(1) || window != Some(first));
                    let kernel = if old { permuted(&kernel, &[2, 3, 1, 0])? } else { kernel };
                    let [length, _, channels, filters] = *kernel.shape().dims() else { return Ok(kernel) };
                    kernel.reshape([length, channels, filters])
                })
            }
            "Convolution2D" | "AtrousConvolution2D" | "SeparableConvolution2D" if first => {
                self.report.converted(name(layer), "kernels have their channels last");
                map_kernels(weights, 4, |kernel| permuted(&kernel, &[2, 3, 1, 0]))
            }
            "Convolution3D" if first => {
                self.report.converted(name(layer), "kernels have their channels last");
                map_kernels(weights, 5, |kernel| permuted(&kernel, &[2, 3, 4, 1, 0]))
            }
            "Deconvolution2D" => {
                let axes = if first { [2, 3, 0, 1] } else { [0, 1, 3, 2] };
                map_kernels(weights, 4, |kernel| permuted(&kernel, &axes))
            }
            "LSTM" | "ConvLSTM2D" if weights.len() == 12 => {
                let weights = match first {
                    true => map_kernels(weights, 4, |kernel| permuted(&kernel, &[2, 3, 1, 0]))?,
                    false => weights,
                };
                self.report.converted(name(layer), "the matrices of the gates are one");
                // Written in the order input, candidate, forget, output.
                gates(&weights, &[0, 2, 1, 3])
            }
            "GRU" if weights.len() == 9 => {
                self.report.converted(name(layer), "the matrices of the gates are one");
                gates(&weights, &[0, 1, 2])
            }
            "LSTM" | "GRU" | "ConvLSTM2D" if weights.len() != 3 => Err(wrong("an array for each gate")),
            "Highway" if weights.len() == 4 && weights[1].1.shape().rank() == 1 => {
                let mut weights = weights;
                weights.swap(1, 2);
                self.report.converted(name(layer), "the kernels come before the biases");
                Ok(weights)
            }
            "BatchNormalization" => self.batch_normalization(layer, weights),
            _ => Ok(weights),
        }
    }

    /// Up to Keras 1.0.6 the last array is the deviation `sqrt(variance + ε)`, to which ε was added once more.
    fn batch_normalization(&mut self, layer: &Value, mut weights: Vec<Named>) -> Result<Vec<Named>> {
        let config = config(layer)?;
        let number = |key: &str| config.get(key).and_then(Value::as_f64);
        if number("mode").is_some_and(|mode| mode != 0.0) || !self.keeps_deviation(layer)? {
            return Ok(weights);
        }
        let epsilon = number("epsilon").unwrap_or(1e-6);
        let Some((_, deviation)) = weights.get_mut(3) else { return Ok(weights) };
        let variance =
            deviation.to_f64_vec().into_iter().map(|std| ((std + epsilon).powi(2) - epsilon).max(0.0));
        let variance: Vec<f64> = variance.collect();
        *deviation = HostTensor::new(deviation.shape().clone(), variance)?.cast(deviation.dtype());
        self.report.converted(name(layer), "the standard deviation is a variance");
        Ok(weights)
    }

    fn keeps_deviation(&mut self, layer: &Value) -> Result<bool> {
        let last = Version::new(1, 0, 6);
        match self.origin.version {
            Some(version) if version == last => Ok(self.origin.is_theano()),
            Some(version) => Ok(version < last),
            None if self.by_layer => Ok(true),
            None => {
                let is = |key: &str, default: f64| {
                    Ok::<_, Error>(config(layer)?.get(key).and_then(Value::as_f64) == Some(default))
                };
                // The defaults up to then: the file does not tell its version.
                let old = is("epsilon", 1e-6)? && is("momentum", 0.9)?;
                if old {
                    let text =
                        "by its default arguments of Keras before 1.0.7: it keeps the standard deviation";
                    self.report.guessed(name(layer), text);
                }
                Ok(old)
            }
        }
    }

    /// The arrays of the layers of a model.
    fn model(&mut self, model: &Value, weights: Vec<Named>) -> Result<Vec<Named>> {
        let layers = sublayers(model)?;
        let mut rest = weights.into_iter();
        let mut take = |count: usize| -> Result<Vec<Named>> {
            let taken: Vec<Named> = rest.by_ref().take(count).collect();
            match taken.len() == count {
                true => Ok(taken),
                false => Err(Error::argument(name(model), "an array for each weight", "fewer")),
            }
        };
        let mut counts = layers.iter().map(|l| counts(l, 0)).collect::<Result<Vec<_>>>()?;
        if self.trainable_only {
            counts.iter_mut().for_each(|[_, others]| *others = 0);
        }
        let mut parts = Vec::with_capacity(layers.len());
        if self.by_layer {
            for [trainable, others] in &counts {
                parts.push(take(trainable + others)?);
            }
        } else {
            for [trainable, _] in &counts {
                parts.push(take(*trainable)?);
            }
            for (part, [_, others]) in parts.iter_mut().zip(&counts) {
                part.extend(take(*others)?);
            }
        }
        if let Some((extra, _)) = rest.next() {
            return Err(Error::argument(name(model), "an array for each weight", format!("`{extra}` too")));
        }
        let (mut trainable, mut others) = (Vec::new(), Vec::new());
        for ((layer, part), [before, _]) in layers.iter().zip(parts).zip(counts) {
            let behind = part.len() - before;
            let mut converted = self.layer(layer, part)?;
            // No conversion changes how many arrays there are that training does not change, unless all are such.
            let split = if before == 0 { 0 } else { converted.len().saturating_sub(behind) };
            others.extend(converted.split_off(split));
            trainable.extend(converted);
        }
        trainable.extend(others);
        Ok(trainable)
    }
}

fn is_model(class: &str) -> bool {
    ["Sequential", "Model", "Graph", "Merge"].contains(&class)
}

/// The layers of a model, in the order of its weights.
pub(super) fn sublayers(model: &Value) -> Result<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    let mut add = |layer: Value| {
        let known = |l: &Value| name(l) == name(&layer) && class(l) == class(&layer) && !is_model(class(l));
        if !all.iter().any(known) {
            all.push(layer);
        }
    };
    match class(model) {
        "Sequential" => {
            for (i, layer) in list("Sequential", model.get("config"))?.iter().enumerate() {
                match class(layer) {
                    "Merge" if i == 0 => sublayers(layer)?.into_iter().for_each(&mut add),
                    _ => add(layer.clone()),
                }
            }
        }
        // One in a functional model has its inputs elsewhere.
        "Merge" => {
            for layer in model.pointer("/config/layers").and_then(Value::as_array).into_iter().flatten() {
                match is_model(class(layer)) {
                    true => sublayers(layer)?.into_iter().for_each(&mut add),
                    false => add(layer.clone()),
                }
            }
        }
        "Graph" => {
            let graph = super::graph::functional(model)?;
            list("Graph", graph.pointer("/config/layers"))?.iter().cloned().for_each(add);
        }
        _ => list("Model", model.pointer("/config/layers"))?.iter().cloned().for_each(add),
    }
    Ok(all)
}

/// How many arrays of a layer training changes, and how many others there are.
pub(super) fn counts(layer: &Value, depth: usize) -> Result<[usize; 2]> {
    let class = class(layer);
    if depth > DEPTH {
        return Err(Error::config(class, "layers lie too deep within each other"));
    }
    let add = |[a, b]: [usize; 2], [c, d]: [usize; 2]| [a + c, b + d];
    // A model in a `Sequential` has no object of its own.
    let own = layer.get("config").and_then(Value::as_object);
    let flag = |key: &str| own.and_then(|c| c.get(key)).and_then(Value::as_bool).unwrap_or(true);
    let bias = usize::from(flag("bias"));
    let joined = own.and_then(|c| c.get("consume_less")).is_some_and(|c| c == "gpu");
    let all = match class {
        _ if is_model(class) => {
            let parts = sublayers(layer)?;
            let parts = parts.iter().map(|l| counts(l, depth + 1));
            parts.collect::<Result<Vec<_>>>()?.into_iter().fold([0, 0], add)
        }
        "Bidirectional" => {
            let one = counts(inner(layer)?, depth + 1)?;
            add(one, one)
        }
        "TimeDistributed" => counts(inner(layer)?, depth + 1)?,
        "Dense"
        | "TimeDistributedDense"
        | "MaxoutDense"
        | "Convolution1D"
        | "AtrousConvolution1D"
        | "Convolution2D"
        | "AtrousConvolution2D"
        | "Deconvolution2D"
        | "Convolution3D"
        | "LocallyConnected1D"
        | "LocallyConnected2D" => [1 + bias, 0],
        "SeparableConvolution2D" => [2 + bias, 0],
        "Highway" => [2 + 2 * bias, 0],
        "Embedding" | "PReLU" => [1, 0],
        "ParametricSoftplus" => [2, 0],
        "SReLU" => [4, 0],
        "BatchNormalization" => [2, 2],
        "SimpleRNN" => [3, 0],
        "GRU" => [if joined { 3 } else { 9 }, 0],
        "LSTM" => [if joined { 3 } else { 12 }, 0],
        "ConvLSTM2D" => [12, 0],
        _ => [0, 0],
    };
    Ok(if flag("trainable") { all } else { [0, all[0] + all[1]] })
}

fn inner(layer: &Value) -> Result<&Value> {
    let wrong = || Error::config(class(layer), "`layer` is missing");
    layer.pointer("/config/layer").filter(|l| l.is_object()).ok_or_else(wrong)
}

/// Changes the arrays of `rank` dimensions.
fn map_kernels(
    weights: Vec<Named>,
    rank: usize,
    change: impl Fn(HostTensor) -> Result<HostTensor>,
) -> Result<Vec<Named>> {
    let change = |(name, array): Named| match array.shape().rank() == rank {
        true => Ok((name, change(array)?)),
        false => Ok((name, array)),
    };
    weights.into_iter().map(change).collect()
}

/// `W, U, b` of each gate as three arrays, with the gates side by side along the last axis in the order `order`.
fn gates(weights: &[Named], order: &[usize]) -> Result<Vec<Named>> {
    (0..3)
        .map(|part| {
            let arrays: Vec<&HostTensor> = order.iter().map(|&gate| &weights[3 * gate + part].1).collect();
            let name = weights[part].0.clone();
            let joined = side_by_side(&arrays);
            joined.map(|array| (name.clone(), array)).ok_or_else(|| {
                Error::argument(name, "arrays of one shape for all gates", "arrays of different shapes")
            })
        })
        .collect()
}

/// Arrays of one shape joined along their last axis.
fn side_by_side(arrays: &[&HostTensor]) -> Option<HostTensor> {
    let (first, rest) = arrays.split_first()?;
    let mut shape = first.shape().clone();
    if rest.iter().any(|a| *a.shape() != shape || a.dtype() != first.dtype()) {
        return None;
    }
    let last = *shape.dims().last()?;
    let axis = shape.rank() - 1;
    shape.dims_mut()[axis] = last * arrays.len();
    let values: Vec<Vec<f64>> = arrays.iter().map(|a| a.to_f64_vec()).collect();
    let rows = first.shape().size().checked_div(last).unwrap_or(0);
    let joined: Vec<f64> = (0..rows)
        .flat_map(|row| values.iter().flat_map(move |v| &v[row * last..(row + 1) * last]))
        .copied()
        .collect();
    Some(HostTensor::new(shape, joined).ok()?.cast(first.dtype()))
}

/// The array with axis `axes[i]` at place `i`.
fn permuted(array: &HostTensor, axes: &[usize]) -> Result<HostTensor> {
    let (dims, strides) = (array.shape().dims(), array.shape().strides());
    let shape: Vec<usize> = axes.iter().map(|&axis| dims[axis]).collect();
    let from = |mut i: usize| {
        let mut place = 0;
        for (&axis, &length) in axes.iter().zip(&shape).rev() {
            place += i % length * strides[axis];
            i /= length;
        }
        place
    };
    rearranged(array, Shape::from(shape.clone()), from)
}
