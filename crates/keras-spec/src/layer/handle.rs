//! [`LayerRef`]: a shared layer with what all layers have in common.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;

use crate::contracts::Regularizer;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result, ResultExt};
use crate::layer::build::Builder;
use crate::layer::call::{Argument, Call, Outputs};
use crate::layer::{Child, Layer, sharing};
use crate::object::{Class, Config, Serialized, Shared, make};
use crate::policy::DTypePolicy;
use crate::random::SeedGenerator;
use crate::scope;
use crate::shape::{PartialShape, TensorSpec};
use crate::tensor::Tensor;
use crate::variable::Variable;

/// A layer that can be shared: cheap to clone, every clone is the same layer.
#[derive(Clone)]
pub struct LayerRef(Arc<Cell>);

struct Cell {
    layer: Box<dyn Layer>,
    name: String,
    policy: DTypePolicy,
    trainable: AtomicBool,
    activity_regularizer: Option<Shared<dyn Regularizer>>,
    built: OnceLock<Built>,
    building: Mutex<()>,
}

struct Built {
    inputs: Vec<PartialShape>,
    weights: Vec<Variable>,
}

/// What all layers take beside their own arguments.
#[derive(Default)]
struct Common {
    name: Option<String>,
    policy: Option<DTypePolicy>,
    trainable: Option<bool>,
    activity_regularizer: Option<Shared<dyn Regularizer>>,
}

/// A layer with a name, a dtype or the like, on its way to a [`LayerRef`].
pub struct Configured {
    layer: Box<dyn Layer>,
    common: Common,
}

/// The arguments that all layers have (`keras.layers.Layer`, Keras 3.15.1). Own arguments come first:
/// `Dense::new(10).use_bias(false).name("head")`.
pub trait LayerExt: Sized {
    /// Takes the layer and what has been said of it so far.
    fn configured(self) -> Configured;

    /// The layer's name, unique within a model.
    fn name(self, name: impl Into<String>) -> Configured {
        let mut c = self.configured();
        c.common.name = Some(name.into());
        c
    }

    /// Whether training changes the layer's weights.
    fn trainable(self, trainable: bool) -> Configured {
        let mut c = self.configured();
        c.common.trainable = Some(trainable);
        c
    }

    /// The dtype policy.
    fn dtype(self, policy: DTypePolicy) -> Configured {
        let mut c = self.configured();
        c.common.policy = Some(policy);
        c
    }

    /// A penalty on the outputs, per sample.
    fn activity_regularizer(self, regularizer: impl Into<Shared<dyn Regularizer>>) -> Configured {
        let mut c = self.configured();
        c.common.activity_regularizer = Some(regularizer.into());
        c
    }
}

impl<L: Layer> LayerExt for L {
    fn configured(self) -> Configured {
        Configured { layer: Box::new(self), common: Common::default() }
    }
}

impl LayerExt for Configured {
    fn configured(self) -> Configured {
        self
    }
}

impl From<Configured> for LayerRef {
    fn from(c: Configured) -> Self {
        let name = c.common.name.unwrap_or_else(|| auto_name(c.layer.class().name));
        let policy = c.common.policy.or_else(|| c.layer.default_policy()).unwrap_or_else(DTypePolicy::global);
        c.layer.make_parts(policy);
        c.layer.draw_seeds();
        LayerRef(Arc::new(Cell {
            layer: c.layer,
            name,
            policy,
            trainable: AtomicBool::new(c.common.trainable.unwrap_or(true)),
            activity_regularizer: c.common.activity_regularizer,
            built: OnceLock::new(),
            building: Mutex::new(()),
        }))
    }
}

impl<L: Layer> From<L> for LayerRef {
    fn from(layer: L) -> Self {
        layer.configured().into()
    }
}

impl From<&LayerRef> for LayerRef {
    fn from(layer: &LayerRef) -> Self {
        layer.clone()
    }
}

impl LayerRef {
    /// A layer from its file form: the arguments of all layers are taken here, the rest by the class.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a class that is not registered; [`Error::Config`] for a wrong configuration.
    pub fn from_value(value: &Value) -> Result<Self> {
        LayerRef::from_owned(value.clone())
    }

    /// [`from_value`](LayerRef::from_value) of a form that nobody else needs, which is not copied.
    ///
    /// # Errors
    /// As [`from_value`](LayerRef::from_value).
    pub fn from_owned(mut value: Value) -> Result<Self> {
        let id = value.get("shared_object_id").and_then(Value::as_i64);
        if let Some(layer) = sharing::known(id) {
            return Ok(layer);
        }
        let mut common = Common::default();
        if let Some(config) = value.get_mut("config").and_then(Value::as_object_mut) {
            common = Common::take(config)?;
        }
        let place = || common.name.clone().unwrap_or_else(|| "layer".to_owned());
        let layer = make::<dyn Layer>(&value).at(|| format!("layer `{}`", place()))?;
        let made: LayerRef = Configured { layer, common }.into();
        sharing::remember(id, &made);
        Ok(made)
    }

    /// The file form (`keras.saving.serialize_keras_object`).
    ///
    /// # Errors
    /// If the configuration cannot be written.
    pub fn serialize(&self) -> Result<Serialized> {
        let mut config = Config::new();
        config.insert("name".to_owned(), self.name().into());
        config.insert("trainable".to_owned(), self.is_trainable().into());
        config.insert("dtype".to_owned(), self.0.policy.to_value());
        if let Some(r) = &self.0.activity_regularizer {
            config.insert("activity_regularizer".to_owned(), Serialized::of(&**r)?.to_value());
        }
        config.extend(self.0.layer.config().at(|| format!("layer `{}`", self.name()))?);
        self.0.layer.adjust_config(self, &mut config);
        let mut out = Serialized::new(self.class(), config);
        out.shared_object_id = sharing::met(self);
        out.build_config = self.0.layer.build_config(self.0.built.get().map_or(&[], |b| &b.inputs));
        Ok(out)
    }

    /// The layer itself.
    pub fn layer(&self) -> &dyn Layer {
        &*self.0.layer
    }

    /// The layer as its own type, if it is an `L`.
    pub fn downcast<L: Layer>(&self) -> Option<&L> {
        (self.layer() as &dyn std::any::Any).downcast_ref()
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.0.layer.class()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The dtype policy.
    pub fn policy(&self) -> DTypePolicy {
        self.0.policy
    }

    /// Whether both are the same layer.
    pub fn same(a: &LayerRef, b: &LayerRef) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// A number that no other layer has while this one lives.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether the layer has its weights.
    pub fn is_built(&self) -> bool {
        self.0.built.get().is_some()
    }

    /// The input shapes that the layer was built for.
    pub fn build_shapes(&self) -> Option<&[PartialShape]> {
        self.0.built.get().map(|b| b.inputs.as_slice())
    }

    /// Creates the weights on the default device; does nothing the second time.
    ///
    /// # Errors
    /// If the shapes do not fit the layer.
    pub fn build(&self, inputs: &[PartialShape]) -> Result<()> {
        if self.is_built() {
            return Ok(());
        }
        self.build_on(&Device::default_device()?, inputs)
    }

    /// Creates the weights on a device; does nothing the second time.
    ///
    /// # Errors
    /// If the shapes do not fit the layer.
    pub fn build_on(&self, device: &Device, inputs: &[PartialShape]) -> Result<()> {
        if self.is_built() {
            return Ok(());
        }
        let _one = self.0.building.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_built() {
            return Ok(());
        }
        let place = || format!("layer `{}` ({})", self.name(), self.class().name);
        let mut builder = Builder::new(*device, self.0.policy, self.0.activity_regularizer.clone());
        self.0.layer.check_inputs(inputs).at(place)?;
        // Weights are made for good even where only shapes are asked for.
        scope::concretely(|| {
            scope::named(self.name(), || self.0.layer.build(&mut builder, inputs)).at(place)
        })?;
        let built = Built { inputs: inputs.to_vec(), weights: builder.finish() };
        if self.0.built.set(built).is_err() {
            return Err(Error::other(format!("{} was built twice", place())));
        }
        if !self.is_trainable() {
            // Layers inside keep what they say of themselves, as in Keras; only their weights are frozen.
            self.weights().iter().for_each(|w| w.set_trainable(false));
        }
        Ok(())
    }

    /// Runs the layer: builds it if that has not happened, casts float inputs to the compute dtype, and computes outputs
    /// and their masks.
    ///
    /// # Errors
    /// If the inputs do not fit; the error names the layer.
    pub fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        self.run(inputs, call).at(|| format!("layer `{}` ({})", self.name(), self.class().name))
    }

    fn run(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let layer = self.layer();
        let compute = self.0.policy.compute_dtype();
        let cast = |t: &Tensor| match t.dtype().is_float() && layer.autocast() {
            true => t.cast(compute),
            false => Ok(t.clone()),
        };
        let inputs = inputs.iter().map(cast).collect::<Result<Vec<_>>>()?;
        let mut call = call.clone();
        call.compute_dtype = Some(compute);
        call.frozen = !self.is_trainable();
        for argument in call.arguments.values_mut() {
            if let Argument::Tensors(tensors) = argument {
                *tensors = tensors.iter().map(cast).collect::<Result<_>>()?;
            }
        }
        call.masks.resize(inputs.len(), None);
        let shapes: Vec<PartialShape> = inputs.iter().map(|t| t.shape().into()).collect();
        if self.is_built() {
            layer.check_inputs(&shapes)?;
        } else {
            let device = inputs.first().map(|t| *t.device());
            self.build_on(&device.map_or_else(Device::default_device, Ok)?, &shapes)?;
        }
        let autocast = (compute != self.0.policy.variable_dtype() && layer.autocast()).then_some(compute);
        let losses_before = call.loss_count();
        let outputs = scope::autocasting(autocast, || layer.call_masked(&inputs, &call))?;
        if let Some(regularizer) = self.0.activity_regularizer.as_ref().filter(|_| !layer.regularizes_parts())
        {
            let of = |t: &Tensor| {
                let batch = t.shape().first().copied().unwrap_or(1).max(1);
                regularizer.call(t)? / batch as f64
            };
            let own = outputs.tensors.iter().map(of).collect::<Result<_>>()?;
            call.add_losses_before(losses_before, own);
        }
        Ok(outputs)
    }

    /// The shapes and dtypes of the outputs for inputs of which only that is known. Builds the layer if that has not
    /// happened.
    ///
    /// # Errors
    /// If the inputs do not fit; the error names the layer.
    pub fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Vec<TensorSpec>> {
        let shapes: Vec<PartialShape> = inputs.iter().map(|s| s.shape.clone()).collect();
        self.build(&shapes)?;
        let place = || format!("layer `{}` ({})", self.name(), self.class().name);
        self.0.layer.check_inputs(&shapes).at(place)?;
        let inputs = &inputs.iter().map(|s| self.cast_spec(s)).collect::<Vec<_>>()[..];
        if let Some(specs) = self.0.layer.output_spec(inputs, call).at(place)? {
            return Ok(specs);
        }
        let device = Device::default_device()?;
        let unknown = inputs.iter().any(|s| s.shape.known().is_none());
        let run = |fill: usize| -> Result<Vec<(crate::Shape, DType)>> {
            let placeholder = |s: &TensorSpec| Tensor::placeholder(s.shape.filled(fill), s.dtype, device);
            let tensors: Vec<Tensor> = inputs.iter().map(placeholder).collect();
            let outputs = scope::abstractly(|| self.call(&tensors, call))?;
            Ok(outputs.tensors.iter().map(|t| (t.shape().clone(), t.dtype())).collect())
        };
        // Large primes: no real layer's window or factor maps both to the same number by accident. What divides an unknown
        // dimension needs numbers that can be divided.
        let (first, second) = match run(10_007) {
            Ok(first) if unknown => (first, run(20_011)?),
            Ok(first) => (first.clone(), first),
            Err(error) if unknown => match (run(27_720), run(55_440)) {
                (Ok(first), Ok(second)) => (first, second),
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if first.len() != second.len() || first.iter().zip(&second).any(|(a, b)| a.0.rank() != b.0.rank()) {
            return Err(Error::other("the number or rank of outputs depends on an unknown dimension"))
                .at(place);
        }
        let merge = |(a, b): (&(crate::Shape, DType), &(crate::Shape, DType))| TensorSpec {
            shape: a.0.iter().zip(b.0.iter()).map(|(x, y)| (x == y).then_some(*x)).collect(),
            dtype: a.1,
        };
        Ok(first.iter().zip(&second).map(merge).collect())
    }

    /// What a call makes of an input before the layer sees it.
    fn cast_spec(&self, spec: &TensorSpec) -> TensorSpec {
        let casts = spec.dtype.is_float() && self.0.layer.autocast();
        let dtype = if casts { self.0.policy.compute_dtype() } else { spec.dtype };
        TensorSpec { shape: spec.shape.clone(), dtype }
    }

    /// Layers inside this one, by attribute.
    pub fn children(&self) -> Vec<Child> {
        self.0.layer.children()
    }

    /// This layer and all layers inside it, each once.
    pub fn flatten(&self) -> Vec<LayerRef> {
        let mut out: Vec<LayerRef> = Vec::new();
        let mut seen = HashSet::new();
        let mut pending = vec![self.clone()];
        while let Some(layer) = pending.pop() {
            if !seen.insert(layer.id()) {
                continue;
            }
            pending.extend(layer.children().into_iter().rev().flat_map(|c| c.layers.into_iter().rev()));
            out.push(layer);
        }
        out
    }

    /// The variables of this layer alone, in the order in which files number them: trainable ones first.
    pub fn own_weights(&self) -> Vec<Variable> {
        let all = self.0.built.get().map_or(&[][..], |b| &b.weights);
        let created_trainable = |v: &&Variable| v.was_trainable();
        let rest = all.iter().filter(|v| !v.was_trainable());
        all.iter().filter(created_trainable).chain(rest).cloned().collect()
    }

    /// All weights, this layer's own first (`Layer.weights`).
    pub fn weights(&self) -> Vec<Variable> {
        let mut seen = HashSet::new();
        let all = self.flatten().into_iter().flat_map(|layer| layer.own_weights());
        all.filter(|w| seen.insert(w.id())).collect()
    }

    /// The weights that training changes by gradients.
    pub fn trainable_weights(&self) -> Vec<Variable> {
        self.weights().into_iter().filter(Variable::trainable).collect()
    }

    /// The weights that it does not.
    pub fn non_trainable_weights(&self) -> Vec<Variable> {
        self.weights().into_iter().filter(|v| !v.trainable()).collect()
    }

    /// Whether training changes this layer's weights.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Freezes or thaws this layer and all layers inside it. Weights that are never trained stay so.
    pub fn set_trainable(&self, trainable: bool) {
        for layer in self.flatten() {
            layer.0.trainable.store(trainable, Ordering::Relaxed);
            for w in layer.own_weights() {
                w.set_trainable(trainable && w.was_trainable());
            }
        }
    }

    /// The penalties on weights that have a regularizer.
    ///
    /// # Errors
    /// If a regularizer fails.
    pub fn regularization_losses(&self) -> Result<Vec<Tensor>> {
        let penalised = self.trainable_weights().into_iter();
        penalised.filter_map(|w| w.regularizer().map(|r| r.call(&w.watched()))).collect()
    }

    /// All generators of random numbers, in the order of the layers.
    pub fn seed_generators(&self) -> Vec<SeedGenerator> {
        self.flatten().iter().flat_map(|l| l.0.layer.seed_generators()).collect()
    }

    /// How many numbers the weights have.
    pub fn count_params(&self) -> usize {
        self.weights().iter().map(|w| w.shape().size()).sum()
    }
}

impl Common {
    fn take(config: &mut Config) -> Result<Self> {
        let class = "layer";
        let present = |v: Option<Value>| v.filter(|v| !v.is_null());
        let name = match present(config.remove("name")) {
            None => None,
            Some(Value::String(s)) => Some(s),
            Some(other) => {
                return Err(Error::config(class, format!("`name` must be a string, found {other}")));
            }
        };
        let trainable = match present(config.remove("trainable")) {
            None => None,
            Some(Value::Bool(b)) => Some(b),
            Some(other) => {
                return Err(Error::config(class, format!("`trainable` must be a bool, found {other}")));
            }
        };
        let policy = present(config.remove("dtype")).map(|v| DTypePolicy::from_value(&v)).transpose()?;
        let activity_regularizer = present(config.remove("activity_regularizer"))
            .map(|v| make::<dyn Regularizer>(&v).map(Shared::from))
            .transpose()?;
        Ok(Common { name, policy, trainable, activity_regularizer })
    }
}

impl fmt::Debug for LayerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.class().name, self.name())
    }
}

static NAMES: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);

/// A name for an object of a class: `dense`, then `dense_1`, … (`keras.src.utils.naming.auto_name`).
pub fn auto_name(class: &str) -> String {
    let base = to_snake_case(class);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let n = names.get_or_insert_default().entry(base.clone()).or_insert(0);
    *n += 1;
    if *n == 1 { base } else { format!("{base}_{}", *n - 1) }
}

/// Starts counting names anew (`keras.utils.clear_session`).
pub fn reset_names() {
    *NAMES.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// `Conv2DTranspose` → `conv2d_transpose`, as Keras does it.
pub fn to_snake_case(class: &str) -> String {
    // The only class that files know by another name than its own.
    let class = if class == "GroupQueryAttention" { "GroupedQueryAttention" } else { class };
    let chars: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let word_begins = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if i > 0 && c.is_ascii_uppercase() && (word_begins || chars[i - 1].is_ascii_lowercase()) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keras_names() {
        for (class, name) in [
            ("Conv2DTranspose", "conv2d_transpose"),
            ("ReLU", "re_lu"),
            ("LSTM", "lstm"),
            ("MaxPooling2D", "max_pooling2d"),
            ("BatchNormalization", "batch_normalization"),
            ("PReLU", "p_re_lu"),
            ("GRUCell", "gru_cell"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("GroupQueryAttention", "grouped_query_attention"),
        ] {
            assert_eq!(to_snake_case(class), name);
        }
    }
}
