//! Weights by layer, as HDF5 files up to Keras 2 have them, and whole models of Keras 3 in HDF5 still.

use std::collections::{HashMap, HashSet};

use keras_spec::{HostTensor, LayerRef, Optimizer, Result, Shared, Variable};

use super::error::{FileError, Result as FileResult};
use super::legacy::{Origin, Report, Source, Version, upgrade_weights, weights as conversions};
use super::{LoadOptions, assign, h5, optimizer_state};
use crate::models::{Chain, Functional, Model};

/// The attribute with the names of a layer's arrays.
pub(super) const NAMES: &str = "weight_names";

/// The group in which Keras 0 has all arrays of a `Graph`.
pub(super) const GRAPH: &str = "graph";

/// Weights in the order of these files: what training changes, then the rest.
pub(super) fn legacy_order(layer: &LayerRef) -> Vec<Variable> {
    let mut all = layer.trainable_weights();
    all.extend(layer.non_trainable_weights());
    all
}

/// The arrays of a layer in a file.
pub(super) struct SavedLayer {
    pub(super) name: String,
    /// The path of its group.
    path: String,
    pub(super) arrays: Vec<(String, HostTensor)>,
}

/// All weights in a file, by layer.
pub(super) struct SavedWeights {
    /// How messages name the file.
    file: String,
    /// The path of the group of all layers.
    path: String,
    pub(super) layers: Vec<SavedLayer>,
    /// Who wrote the arrays.
    pub(super) origin: Origin,
}

impl SavedWeights {
    /// Reads all arrays. `origin` is what else is known of who wrote them; what the group says goes before. `source` is
    /// the architecture that the arrays belong to, if that is older than Keras 3.
    ///
    /// # Errors
    /// An attribute or an array is missing or damaged.
    pub(super) fn read(
        file: &str,
        group: &h5::Group,
        origin: &Origin,
        options: &LoadOptions,
        source: Option<&Source>,
        report: &mut Report,
    ) -> Result<Self> {
        let attributes = group.attributes()?;
        let mut origin = match attributes.text("keras_version")? {
            Some(version) => options.origin(Some(version), attributes.text("backend")?),
            None => origin.clone(),
        };
        complete(&mut origin, group, report)?;
        let (mut layers, mut once) = (Vec::new(), group.once());
        for (name, layer, names) in groups(file, group)? {
            let arrays =
                names.into_iter().map(|name| once.read(&layer.dataset(&name)?).map(|array| (name, array)));
            layers.push((name, arrays.collect::<FileResult<Vec<_>>>()?));
        }
        let path = |name: &str| format!("{}/{name}", group.path().trim_end_matches('/'));
        if let Some(source) = source {
            let place = |name: &str| format!("{file}: {}", path(name));
            layers = upgrade_weights(source, &origin, layers, place, report)?;
        }
        let layers = layers.into_iter().filter(|(_, arrays)| !arrays.is_empty());
        let layers = layers.map(|(name, arrays)| SavedLayer { path: path(&name), name, arrays }).collect();
        Ok(SavedWeights { file: file.to_owned(), path: group.path(), layers, origin })
    }

    /// The values of the variables of a model's layers. Nothing is assigned. Layers go by their names, or by their order if
    /// the names are others.
    ///
    /// # Errors
    /// A layer or an array is missing, too much or of another shape, unless the options say that it may be.
    pub(super) fn fit(
        self,
        layers: &[LayerRef],
        options: &LoadOptions,
        report: &mut Report,
    ) -> Result<Fitted> {
        let mut fitted = Fitted::default();
        let (file, path, origin) = (self.file, self.path, self.origin);
        let layers: Vec<LayerRef> = layers.iter().filter(|l| !legacy_order(l).is_empty()).cloned().collect();
        let names: HashSet<&str> = self.layers.iter().map(|l| l.name.as_str()).collect();
        let layers = opened(layers, &names);
        let named: HashMap<&str, usize> =
            layers.iter().enumerate().rev().map(|(at, layer)| (layer.name(), at)).collect();
        let by_name = |saved: &SavedLayer| named.get(&*saved.name).copied();
        let places: Vec<Option<usize>> = self.layers.iter().map(by_name).collect();
        let all_named = layers.len() == self.layers.len() && places.iter().all(Option::is_some);
        let places = match (all_named, options.by_name) {
            (true, _) | (false, true) => places,
            (false, false) if layers.len() == self.layers.len() => (0..layers.len()).map(Some).collect(),
            (false, false) => {
                let expected = format!("weights of {} layers", layers.len());
                let found = format!("weights of {}", self.layers.len());
                return Err(FileError::unexpected(file, path, expected, found).into());
            }
        };
        for (saved, place) in self.layers.into_iter().zip(places) {
            let Some(layer) = place.map(|i| &layers[i]) else {
                report.dropped(&*saved.name, "weights of a layer that the model does not have");
                continue;
            };
            match fit_layer(&file, layer, saved, &origin, report) {
                Ok(one) => fitted.extend(one),
                Err(e) if options.skip_mismatch => {
                    report.dropped(layer.name(), format!("weights that do not fit: {e}"))
                }
                Err(e) => return Err(e),
            }
        }
        Ok(fitted)
    }
}

/// `layers`, with models among them that the file does not name replaced by their layers: Keras 1 wrote the layers of models
/// at the beginning of a chain one by one.
fn opened(layers: Vec<LayerRef>, names: &HashSet<&str>) -> Vec<LayerRef> {
    let mut out = Vec::with_capacity(layers.len());
    for layer in layers {
        let inner = if let Some(graph) = layer.downcast::<Functional>() {
            graph.layers().to_vec()
        } else if let Some(chain) = layer.downcast::<Chain>() {
            chain.layers().to_vec()
        } else {
            Vec::new()
        };
        let inner: Vec<LayerRef> = inner.into_iter().filter(|l| !legacy_order(l).is_empty()).collect();
        let named = |l: &LayerRef| names.contains(l.name());
        match named(&layer) || !inner.iter().any(named) {
            true => out.push(layer),
            false => out.extend(opened(inner, names)),
        }
    }
    out
}

fn fit_layer(
    file: &str,
    layer: &LayerRef,
    saved: SavedLayer,
    origin: &Origin,
    report: &mut Report,
) -> Result<Fitted> {
    let variables = legacy_order(layer);
    if variables.len() != saved.arrays.len() {
        let expected = format!("{} arrays for `{}`", variables.len(), layer.name());
        let found = format!("{} arrays", saved.arrays.len());
        return Err(FileError::unexpected(file, saved.path, expected, found).into());
    }
    let (names, arrays): (Vec<String>, Vec<HostTensor>) = saved.arrays.into_iter().unzip();
    let converted = conversions::convert(layer, &variables, arrays, origin, report)?;
    for ((variable, array), name) in variables.iter().zip(&converted.arrays).zip(&names) {
        if variable.shape() != array.shape() {
            let expected = format!("shape {} for `{}`", variable.shape(), variable.path());
            let found = format!("shape {}", array.shape());
            return Err(FileError::unexpected(file, format!("{}/{name}", saved.path), expected, found).into());
        }
    }
    let values = variables.into_iter().zip(converted.arrays).collect();
    Ok(Fitted { values, flipped: converted.flipped, names })
}

/// Values for variables.
#[derive(Default)]
pub(super) struct Fitted {
    pub(super) values: Vec<(Variable, HostTensor)>,
    /// The kernels that were turned around; what an optimizer keeps for them has to be too.
    flipped: Vec<Variable>,
    /// What the file calls each value.
    names: Vec<String>,
}

impl Fitted {
    fn extend(&mut self, other: Fitted) {
        self.values.extend(other.values);
        self.flipped.extend(other.flipped);
        self.names.extend(other.names);
    }
}

/// An optimizer and the state with which it goes on.
pub(super) type Continued = (Shared<dyn Optimizer>, Vec<(String, HostTensor)>);

/// Weights, and the state of an optimizer, on their way into a model.
pub(super) struct Incoming {
    pub(super) weights: SavedWeights,
    pub(super) optimizer: Option<Continued>,
    pub(super) options: LoadOptions,
}

impl Incoming {
    /// Gives the layers, which are built, their weights.
    ///
    /// # Errors
    /// As [`SavedWeights::fit`].
    pub(super) fn assign(self, layers: &[LayerRef], report: &mut Report) -> Result<()> {
        let origin = self.weights.origin.clone();
        let fitted = self.weights.fit(layers, &self.options, report)?;
        let Fitted { values, flipped, names } = fitted;
        let called: Vec<(Variable, String)> = values.iter().map(|(v, _)| v.clone()).zip(names).collect();
        assign(values)?;
        let Some((optimizer, state)) = self.optimizer else { return Ok(()) };
        let mut seen = HashSet::new();
        let trainable = layers.iter().flat_map(LayerRef::trainable_weights);
        let mut trainable: Vec<Variable> = trainable.filter(|v| seen.insert(v.id())).collect();
        optimizer.build(&trainable)?;
        // Optimizers had the variables in the order of the file, which is another where a graph has been made of the model.
        let places: HashMap<usize, usize> =
            called.iter().enumerate().rev().map(|(place, (variable, _))| (variable.id(), place)).collect();
        trainable.sort_by_key(|v| places.get(&v.id()).copied().unwrap_or(usize::MAX));
        // The first versions of Keras 2 gave optimizers their variables in the order of their names.
        let sorted = Version::new(2, 0, 0)..Version::new(2, 0, 6);
        if origin.version.is_some_and(|v| sorted.contains(&v)) {
            let names: HashMap<usize, &String> =
                called.iter().rev().map(|(variable, name)| (variable.id(), name)).collect();
            trainable.sort_by_key(|v| names.get(&v.id()));
        }
        optimizer_state::restore_named(&*optimizer, &trainable, state, &flipped, &origin, report)
    }

    /// Gives a model its weights: at once, or when a chain that does not know the shape of its inputs yet is built.
    ///
    /// # Errors
    /// As [`SavedWeights::fit`].
    pub(super) fn into_model(self, model: &Model, report: &mut Report) -> Result<()> {
        match model.as_layer().downcast::<Chain>() {
            Some(chain) if !model.is_built() && model.source.is_some() => {
                let text = "the file does not say the shape of the inputs: weights are given to it at the first call";
                report.converted(model.name(), text);
                let mut later = Report::new(report.origin.clone());
                chain.when_built(Box::new(move |layers| self.assign(layers, &mut later)));
                Ok(())
            }
            _ => self.assign(&model.layers(), report),
        }
    }
}

/// A list of names that must be there.
fn list(file: &str, group: &h5::Group, name: &str) -> FileResult<Vec<String>> {
    let object = || format!("{}@{name}", group.path());
    let missing = || FileError::Missing { file: file.to_owned(), object: object() };
    group.attributes()?.texts(name)?.ok_or_else(missing)
}

/// The groups of layers with the names of their arrays, in order.
///
/// # Errors
/// An attribute is missing or damaged.
fn groups(file: &str, group: &h5::Group) -> FileResult<Vec<(String, h5::Group, Vec<String>)>> {
    let attributes = group.attributes()?;
    let Some(count) = attributes.int("nb_layers")? else {
        if let Some(graph) = group.find_group(GRAPH)? {
            let arrays = graph.dataset_names()?;
            return Ok(vec![(GRAPH.to_owned(), graph, arrays)]);
        }
        let layers = list(file, group, "layer_names")?.into_iter();
        return layers
            .map(|name| {
                let layer = group.group(&name)?;
                let names = list(file, &layer, NAMES)?;
                Ok((name, layer, names))
            })
            .collect();
    };
    // Keras 0 numbers layers and arrays.
    let mut layers = Vec::new();
    for i in 0..count {
        let name = format!("layer_{i}");
        let layer = group.group(&name)?;
        let arrays = layer.dataset_names()?;
        layers.push((name, layer, arrays));
    }
    Ok(layers)
}

/// The names of the layers in a group of weights, and of the arrays of each.
///
/// # Errors
/// An attribute is missing or damaged.
pub(super) fn names(file: &str, group: &h5::Group) -> FileResult<Vec<(String, Vec<String>)>> {
    Ok(groups(file, group)?.into_iter().map(|(layer, _, arrays)| (layer, arrays)).collect())
}

/// The shapes of the arrays of a layer.
pub(super) fn shapes(group: &h5::Group, layer: &str) -> Option<Vec<Vec<usize>>> {
    let layer = group.find_group(layer).ok()??;
    let names = layer.attributes().ok()?.texts(NAMES).ok()??;
    names.iter().map(|name| layer.dataset(name).ok().map(|array| array.shape().to_vec())).collect()
}

/// Finds out on which backend arrays were written, where files do not say it: those of Keras 1.
///
/// # Errors
/// An attribute is damaged.
pub(super) fn complete(origin: &mut Origin, group: &h5::Group, report: &mut Report) -> FileResult<()> {
    let attributes = group.attributes()?;
    if attributes.text("keras_version")?.is_some() || origin.backend.is_some() {
        return Ok(());
    }
    let layers = attributes.texts("layer_names")?.unwrap_or_default();
    let names =
        layers.iter().map(|name| Ok(group.group(name)?.attributes()?.texts(NAMES)?.unwrap_or_default()));
    let names = names.collect::<FileResult<Vec<_>>>()?.concat();
    // TensorFlow's names end in `:0`.
    let guess = match names.first() {
        Some(name) if name.ends_with(":0") => Some(("tensorflow", "by the names of weights")),
        Some(name) if !name.starts_with("param_") => Some(("theano", "by the names of weights")),
        Some(_) => None,
        // Those of Keras 0 are numbers, which tell nothing.
        None => (attributes.int("nb_layers")?.is_some() || group.find_group(GRAPH)?.is_some())
            .then_some(("theano", "since nearly all did that used Keras 0")),
    };
    if let Some((backend, why)) = guess {
        report.guessed("backend", format!("the file does not say it: taken for {backend} {why}"));
        origin.backend = Some(backend.to_owned());
    }
    Ok(())
}
