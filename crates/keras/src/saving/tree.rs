//! Where Keras 3 keeps the weights of a model in a file: by the way from the model to the object that has them.

use std::collections::{BTreeMap, HashMap, HashSet};

use keras_spec::layer::{Child, to_snake_case};
use keras_spec::{Error, HostTensor, LayerRef, Result, ResultExt, Tensor, Variable};
use serde_json::{Map, Value, json};

use super::container::{ASSETS, Archive};
use super::error::FileError;
use super::legacy::weights::is_of_virtual_batch;
use super::legacy::{Groups, Report, Version};
use super::{LoadOptions, h5, optimizer_state};
use crate::models::{Chain, Functional, Model};

/// The attribute of a model that holds its optimizer.
pub(super) const OPTIMIZER: &str = "optimizer";

/// Where `Bidirectional` keeps the layer that goes forward.
const FORWARD: &str = "/forward_layer";

/// Where it keeps the layer that it made that one from.
const ORIGIN: &str = "/layer";

/// What tf-keras calls the list of a model's layers.
const OLD_LAYERS: &str = "_layer_checkpoint_dependencies";

/// The variables of one object, and where they are.
struct Place {
    layer: Option<LayerRef>,
    path: String,
    name: String,
    /// The variable of each array, and what is written to it.
    saved: Vec<(Variable, Tensor)>,
    /// Weights that have no array, which are zero in a loaded model.
    unsaved: Vec<Variable>,
}

impl Place {
    fn group(&self) -> String {
        join(&self.path, "vars")
    }

    /// The arrays that are written, by their names in the group.
    ///
    /// # Errors
    /// A layer cannot compute what it keeps beside its weights, or calls it by a number.
    fn arrays(&self) -> Result<impl Iterator<Item = Result<(String, HostTensor)>>> {
        let named = self.layer.as_ref().map(|l| l.layer().saved_arrays()).transpose()?.unwrap_or_default();
        if let Some(number) = named.keys().find(|name| is_number(name)) {
            return Err(
                Error::argument("saved_arrays", "names that are no numbers", number).context(&self.name)
            );
        }
        let numbered =
            self.saved.iter().enumerate().map(|(i, (_, value))| Ok((i.to_string(), value.to_host()?)));
        Ok(numbered.chain(named.into_iter().map(Ok)))
    }
}

/// Whether an array of this name is a weight of its layer.
fn is_number(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_digit())
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// Every object of a layer, each at the first place where a walk finds it (`_walk_saveable`, Keras 3.15.1).
fn places(root: &LayerRef) -> Result<Vec<Place>> {
    places_named(root, &Groups::new())
}

/// [`places`] of a model that had these layers when it was saved.
fn places_named(root: &LayerRef, groups: &Groups) -> Result<Vec<Place>> {
    let (mut seen, mut out) = (HashSet::new(), Vec::new());
    visit(root, String::new(), groups, &mut seen, &mut out)?;
    Ok(out)
}

fn as_they_are(variables: Vec<Variable>) -> Vec<(Variable, Tensor)> {
    variables.into_iter().map(|v| (v.clone(), v.get())).collect()
}

fn visit(
    layer: &LayerRef,
    path: String,
    groups: &Groups,
    seen: &mut HashSet<usize>,
    out: &mut Vec<Place>,
) -> Result<()> {
    if !seen.insert(layer.id()) {
        return Ok(());
    }
    let is_model = layer.downcast::<Functional>().is_some() || layer.downcast::<Chain>().is_some();
    let mut children = layer.children();
    let rank = |c: &Child| (!is_model || c.attribute != "layers", c.attribute.starts_with('_'), c.attribute);
    children.sort_by(|a, b| rank(a).cmp(&rank(b)));
    let own = layer.own_weights();
    let (saved, unsaved) = match layer.layer().saved_weights(&own)? {
        None => (as_they_are(own), Vec::new()),
        Some(saved) => {
            let left = own.into_iter().filter(|v| !saved.iter().any(|(s, _)| Variable::same(s, v))).collect();
            (saved, left)
        }
    };
    let name = layer.name().to_owned();
    let of = groups.get(&name).filter(|_| is_model);
    out.push(Place { layer: Some(layer.clone()), path: path.clone(), name, saved, unsaved });
    for child in children {
        let path = join(&path, child.attribute);
        let mut used: HashMap<String, usize> = HashMap::new();
        let of = of.filter(|_| child.attribute == "layers");
        let classes =
            of.map(|layers| layers.iter().enumerate().map(|(i, (name, class))| (&**name, (i, class))));
        let classes: HashMap<&str, (usize, &String)> = classes.into_iter().flatten().collect();
        let mut layers: Vec<&LayerRef> = child.layers.iter().collect();
        layers.sort_by_key(|layer| classes.get(layer.name()).map_or(usize::MAX, |(i, _)| *i));
        for layer in layers {
            if !child.list {
                visit(layer, path.clone(), groups, seen, out)?;
                continue;
            }
            let class = match classes.get(layer.name()) {
                // tf-keras does not count what it has saved elsewhere.
                Some(_) if seen.contains(&layer.id()) => continue,
                Some((_, class)) => (*class).clone(),
                // The program that wrote the file did not have it.
                None if of.is_some() => format!("new_{}", to_snake_case(layer.class().name)),
                None => to_snake_case(layer.class().name),
            };
            let n = used.entry(class.clone()).or_default();
            let name = if *n == 0 { class } else { format!("{class}_{n}") };
            *n += 1;
            visit(layer, join(&path, &name), groups, seen, out)?;
        }
    }
    Ok(())
}

/// Gives layers what the archive has for them beside configurations and weights.
///
/// # Errors
/// A member is damaged, belongs to no layer, or is not what its layer keeps.
pub(super) fn load_assets(root: &LayerRef, archive: &mut Archive) -> Result<()> {
    let mut folders: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    let members: Vec<String> = archive.members().iter().filter(|m| m.starts_with(ASSETS)).cloned().collect();
    for member in members {
        let (folder, file) = member[ASSETS.len()..].rsplit_once('/').unwrap_or(("", &member[ASSETS.len()..]));
        folders.entry(folder.to_owned()).or_default().insert(file.to_owned(), archive.read(&member)?);
    }
    if folders.is_empty() {
        return Ok(());
    }
    for place in places(root)? {
        if let (Some(layer), Some(files)) = (place.layer, folders.remove(&place.path)) {
            let at = || format!("{}: layer `{}`: {ASSETS}{}", archive.name(), place.name, place.path);
            layer.layer().load_assets(&files).at(at)?;
        }
    }
    match folders.into_keys().next() {
        None => Ok(()),
        Some(folder) => {
            let found = "files that no layer of the model has a place for";
            let object = format!("{ASSETS}{folder}");
            Err(FileError::unexpected(archive.name(), object, "files of layers of the model", found).into())
        }
    }
}

/// The only one of `earlier` places whose object has the class, the name and the arguments of that of `place`.
fn twin<'a>(place: &Place, earlier: &'a [Place]) -> Option<&'a Place> {
    let identity = |p: &Place| {
        let form = p.layer.as_ref()?.serialize().ok()?;
        Some((form.class_name, form.config))
    };
    let own = identity(place)?;
    let mut equal = earlier.iter().filter(|p| p.name == place.name && identity(p).as_ref() == Some(&own));
    equal.next().filter(|_| equal.next().is_none())
}

/// The objects of a model that have weights, and its optimizer.
fn written(model: &Model) -> Result<Vec<Place>> {
    let mut all = places(model.as_layer())?;
    if let Some(compiled) = &model.compiled {
        let variables = compiled.optimizer.variables();
        if !variables.is_empty() {
            let (path, name) = (OPTIMIZER.to_owned(), compiled.optimizer.name());
            all.push(Place { layer: None, path, name, saved: as_they_are(variables), unsaved: Vec::new() });
        }
    }
    Ok(all)
}

/// Adds the weights of a model, and the state of its optimizer, to a file for `version` of Keras or the one that is written
/// otherwise.
///
/// # Errors
/// A device fails, or two objects claim one place; the version cannot take the state of the optimizer back.
pub(super) fn write(model: &Model, version: Option<Version>, file: &mut h5::Writer) -> Result<()> {
    let mut places = written(model)?;
    if version.is_some_and(|v| v < Version::new(3, 10, 0)) {
        let states = places.iter_mut().filter(|p| p.path == OPTIMIZER);
        states.for_each(|state| optimizer_state::product_first(&mut state.saved, |(v, _)| v.name()));
    }
    // Keras before 3.3 asks for the weights of the layer, too, that `Bidirectional` made its two from.
    let has_origin =
        |p: &&Place| version.is_some_and(|v| v < Version::new(3, 3, 0)) && p.path.contains(FORWARD);
    let origins: Vec<&Place> = places.iter().filter(has_origin).collect();
    if let (Some(version), false, true) =
        (version, origins.is_empty(), places.iter().any(|p| p.path == OPTIMIZER))
    {
        let why = format!(
            "Keras {version} does not read the state of the optimizer back of a model with such a layer: save the model \
             before it is compiled, or for Keras 3.3"
        );
        return Err(Error::config("Bidirectional", why));
    }
    let copies = origins.into_iter().map(|place| (place, place.path.replace(FORWARD, ORIGIN)));
    for (place, path) in places.iter().map(|p| (p, p.path.clone())).chain(copies) {
        let group = file.group(&join(&path, "vars"));
        group.text("name", place.name.clone());
        for array in place.arrays()? {
            let (name, array) = array?;
            group.dataset(&name, &array)?;
        }
    }
    Ok(())
}

/// Whether an array is that of the layer that a `Bidirectional` made its two from.
fn is_origin(path: &str, used: &HashSet<String>) -> bool {
    let forward = |(at, _)| format!("{}{FORWARD}{}", &path[..at], &path[at + ORIGIN.len()..]);
    path.match_indices(ORIGIN).any(|found| used.contains(&forward(found)))
}

/// Spreads the weights of a model, and the state of its optimizer, over files of at most `limit` bytes of arrays. Each is given
/// to `done` with its number; the index of all is returned (`ShardedH5IOStore`, Keras 3.15.1).
///
/// # Errors
/// An array alone is larger than `limit`; a device or `done` fails.
pub(super) fn write_shards(
    model: &Model,
    limit: u64,
    name_of: impl Fn(usize) -> String,
    mut done: impl FnMut(usize, h5::Writer) -> Result<()>,
) -> Result<Value> {
    let (mut file, mut number, mut size, mut total) = (h5::Writer::new(), 0, 0u64, 0u64);
    let mut map = Map::new();
    for place in &written(model)? {
        let path = place.group();
        file.group(&path).text("name", place.name.clone());
        let mut shards: Vec<String> = Vec::new();
        for array in place.arrays()? {
            let (name, array) = array?;
            let bytes = (array.data().len() * array.dtype().size()) as u64;
            if bytes > limit {
                let found = format!("{bytes} bytes in `{path}/{name}`");
                return Err(Error::argument("max_shard_size", "room for every array", found));
            }
            total += bytes;
            if size + bytes > limit {
                done(number, std::mem::take(&mut file))?;
                (number, size) = (number + 1, 0);
            }
            size += bytes;
            file.group(&path).dataset(&name, &array)?;
            let shard = name_of(number);
            if !shards.contains(&shard) {
                shards.push(shard);
            }
        }
        let several = place.saved.len() > 1;
        let entry = if several { json!(shards) } else { shards.into_iter().next().into() };
        if !entry.is_null() {
            map.insert(format!("/{path}"), entry);
        }
    }
    done(number, file)?;
    Ok(json!({ "metadata": { "total_size": total }, "weight_map": map }))
}

/// A layer, where it is in a file, and what that has for it beside its weights.
type Named = (LayerRef, String, BTreeMap<String, HostTensor>);

/// A file, or a part of one, that holds weights by their way through the model.
pub(super) struct Tree<'a> {
    /// How messages name the file.
    pub(super) file: &'a str,
    /// The file, or the files that the weights are spread over.
    pub(super) roots: Vec<h5::Group>,
    /// The layers of models when they were saved, if they may be others now.
    pub(super) groups: Groups,
}

impl Tree<'_> {
    /// The values of all weights of a layer. Nothing is assigned but what layers keep beside weights, last of
    /// all.
    ///
    /// # Errors
    /// An array is missing or damaged, has another shape than the weight, or belongs to no layer.
    pub(super) fn weights(
        &self,
        layer: &LayerRef,
        options: &LoadOptions,
        report: &mut Report,
    ) -> Result<Vec<(Variable, HostTensor)>> {
        let mut used = HashSet::new();
        let mut out = Vec::new();
        let all = places_named(layer, &self.groups)?;
        let named = self.named(&all, &mut used)?;
        let places: Vec<Place> = all.into_iter().filter(|p| !p.saved.is_empty()).collect();
        for (i, place) in places.iter().enumerate() {
            match self.values(place, &places[..i], &mut used) {
                Ok(values) => out.extend(values),
                Err(e) if options.skip_mismatch => {
                    report.dropped(&*place.name, format!("weights that do not fit: {e}"));
                }
                Err(e) => return Err(e),
            }
        }
        let give = || {
            named.iter().try_for_each(|(layer, path, arrays)| {
                let at = || format!("{}: /{path}: layer `{}`", self.file, layer.name());
                layer.layer().load_arrays(arrays).at(at)
            })
        };
        if options.skip_mismatch {
            give()?;
            return Ok(out);
        }
        // Older Keras saves the state of metrics too.
        let other = |path: &String| ["optimizer/", "metrics/"].iter().any(|p| path.starts_with(p));
        let mut paths = Vec::new();
        for root in &self.roots {
            let start = root.path();
            let absolute = |path: &String| format!("{}/{path}", start.trim_end_matches('/'));
            paths.extend(root.dataset_paths()?.iter().filter(|p| !other(p)).map(absolute));
        }
        if let Some(extra) = paths.into_iter().find(|p| !used.contains(p) && !is_origin(p, &used)) {
            let found = "an array that no layer of the model has a place for";
            return Err(FileError::unexpected(self.file, extra, "only weights of the model", found).into());
        }
        give()?;
        Ok(out)
    }

    /// What the file has for layers beside their weights: each layer, the path of its group, and the arrays in it whose names
    /// are no numbers.
    fn named(&self, places: &[Place], used: &mut HashSet<String>) -> Result<Vec<Named>> {
        let mut once = self.roots.iter().map(h5::Group::once).collect::<h5::Once>();
        let mut out = Vec::new();
        for place in places {
            let (path, mut arrays) = (place.group(), BTreeMap::new());
            let Some(layer) = place.layer.clone() else { continue };
            for root in &self.roots {
                let Some(group) = root.find_group(&path)? else { continue };
                for name in group.dataset_names()?.into_iter().filter(|name| !is_number(name)) {
                    let array = group.dataset(&name)?;
                    used.insert(array.path());
                    arrays.insert(name, once.read(&array)?);
                }
            }
            out.push((layer, path, arrays));
        }
        Ok(out)
    }

    /// The values of the variables of one place. `used` are the arrays that belong to a layer.
    fn values(
        &self,
        place: &Place,
        earlier: &[Place],
        used: &mut HashSet<String>,
    ) -> Result<Vec<(Variable, HostTensor)>> {
        let path = place.group();
        let mut arrays = self.numbered(&path, false)?;
        if let (None, Some(twin)) = (&arrays, twin(place, earlier)) {
            // In the file's model both were one layer, which an architecture alone does not say.
            arrays = self.numbered(&twin.group(), false)?;
        }
        let missing = || FileError::Missing { file: self.file.to_owned(), object: format!("/{path}") };
        let arrays = arrays.ok_or_else(missing)?;
        used.extend(arrays.iter().map(h5::Dataset::path));
        let expected = place.saved.len();
        if arrays.len() != expected {
            let expected = format!("{expected} arrays for `{}`", place.name);
            let found = format!("{} arrays", arrays.len());
            return Err(FileError::unexpected(self.file, format!("/{path}"), expected, found).into());
        }
        let normalizes = place.layer.as_ref().is_some_and(|l| l.class().name == "BatchNormalization");
        let read = |(variable, array): (&Variable, &h5::Dataset)| {
            let array = match normalizes && is_of_virtual_batch(array.shape(), variable) {
                true => array.read()?.reshape(variable.shape().clone())?,
                false => read_for(self.file, array, variable)?,
            };
            Ok((variable.clone(), array))
        };
        let variables = place.saved.iter().map(|(variable, _)| variable);
        let mut values = variables.zip(&arrays).map(read).collect::<Result<Vec<_>>>()?;
        let zeros = |v: &Variable| (v.clone(), HostTensor::full(v.shape().clone(), v.dtype(), 0.0));
        values.extend(place.unsaved.iter().map(zeros));
        Ok(values)
    }

    /// The optimizer's state, if the file has one.
    ///
    /// # Errors
    /// An array is damaged.
    pub(super) fn optimizer(&self) -> super::Result<Option<Vec<HostTensor>>> {
        match self.numbered(&join(OPTIMIZER, "vars"), true)? {
            Some(arrays) => {
                let mut once = self.roots.iter().map(h5::Group::once).collect::<h5::Once>();
                arrays.iter().map(|array| once.read(array)).collect::<super::Result<_>>().map(Some)
            }
            None => Ok(None),
        }
    }

    /// The arrays `0`, `1`, … of a group; `None` if there is no such group. What else is in a layer's own group is
    /// [`named`](Tree::named).
    fn numbered(&self, path: &str, strict: bool) -> super::Result<Option<Vec<h5::Dataset>>> {
        let old: Vec<&str> = path.split('/').map(|p| if p == "layers" { OLD_LAYERS } else { p }).collect();
        // tf-keras has the parts of attention in private attributes: `_key_dense`.
        let private = match path.rsplitn(3, '/').collect::<Vec<_>>()[..] {
            [vars, part, rest] => Some(format!("{rest}/_{part}/{vars}")),
            _ => None,
        };
        let names: Vec<String> = [path.to_owned(), old.join("/")].into_iter().chain(private).collect();
        let mut found = None;
        for root in &self.roots {
            let mut group = None;
            for name in &names {
                if group.is_none() {
                    group = root.find_group(name)?;
                }
            }
            let Some(group) = group else { continue };
            let arrays: &mut Vec<h5::Dataset> = found.get_or_insert_default();
            // An array that is spread over files goes on where the file before ends.
            for name in group.dataset_names()?.into_iter().filter(|name| strict || is_number(name)) {
                if name != arrays.len().to_string() {
                    let expected = format!("the array {}", arrays.len());
                    return Err(FileError::unexpected(
                        self.file,
                        group.path(),
                        expected,
                        format!("`{name}`"),
                    ));
                }
                arrays.push(group.dataset(&name)?);
            }
        }
        Ok(found)
    }
}

/// Reads an array for a variable of which it must have the shape.
///
/// # Errors
/// It is damaged, or has another shape.
pub(super) fn read_for(file: &str, array: &h5::Dataset, variable: &Variable) -> super::Result<HostTensor> {
    if array.shape() != variable.shape().dims() {
        let expected = format!("shape {} for `{}`", variable.shape(), variable.path());
        let found = format!("shape {}", keras_spec::Shape::from(array.shape()));
        return Err(FileError::unexpected(file, array.path(), expected, found));
    }
    array.read()
}
