//! Objects with a configuration: how layers, losses, initializers and the like are named, written to files and found again.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The constructor arguments of an object, as JSON.
pub type Config = Map<String, Value>;

/// Where a class belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// The module that `keras` exports it from (`keras.layers`), or the package of a third party.
    pub module: &'static str,
    /// The class's name.
    pub name: &'static str,
    /// Whether it is one of Keras's own.
    pub built_in: bool,
}

impl Class {
    /// A class of Keras, exported from `module`.
    pub const fn keras(module: &'static str, name: &'static str) -> Self {
        Class { module, name, built_in: true }
    }

    /// A class of another package; files know it as `package>name`.
    pub const fn of(package: &'static str, name: &'static str) -> Self {
        Class { module: package, name, built_in: false }
    }

    /// The `registered_name` in files: none for Keras's own classes, unless they are not exported (`Functional`).
    pub fn registered_name(&self) -> Option<String> {
        match self.built_in {
            false => Some(format!("{}>{}", self.module, self.name)),
            true => self.module.starts_with("keras.src").then(|| self.name.to_owned()),
        }
    }
}

/// What every object that files can hold has in common.
pub trait Object: Any + Send + Sync + fmt::Debug {
    /// Its class.
    fn class(&self) -> Class;

    /// Its constructor arguments. For a struct that derives `Serialize`, [`to_config`] gives them.
    ///
    /// # Errors
    /// If they cannot be written as JSON.
    fn config(&self) -> Result<Config>;
}

/// The serialised fields of an object as its configuration.
///
/// # Errors
/// [`Error::Config`] if the type does not serialise to a JSON object.
pub fn to_config<T: Serialize + ?Sized>(object: &T) -> Result<Config> {
    match serde_json::to_value(object) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Config::new()),
        Ok(other) => Err(Error::config(std::any::type_name::<T>(), format!("serialises to {other}"))),
        Err(e) => Err(Error::config(std::any::type_name::<T>(), e)),
    }
}

/// An object from its configuration by its `Deserialize`.
///
/// # Errors
/// [`Error::Config`] with the key at fault and what serde finds wrong with its value.
pub fn from_config<T: DeserializeOwned>(class: Class, config: &Config) -> Result<T> {
    let entries = Entries { rest: config.iter(), next: None };
    T::deserialize(MapAccessDeserializer::new(entries)).map_err(|e| Error::config(class.name, e))
}

/// The entries of a configuration, as serde reads them; errors name the key, which serde's own do not.
struct Entries<'a> {
    rest: serde_json::map::Iter<'a>,
    next: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.next = self.rest.next().map(|(k, v)| (k.as_str(), v));
        self.next.map(|(key, _)| seed.deserialize(key.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let (key, value) = self.next.take().ok_or_else(|| Self::Error::custom("a value without a key"))?;
        seed.deserialize(value.clone()).map_err(|e| Self::Error::custom(format_args!("`{key}`: {e}")))
    }
}

/// Keras's file form of an object (`keras.saving.serialize_keras_object`, Keras 3.15.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Serialized {
    /// The module that it is imported from.
    #[serde(default)]
    pub module: Option<String>,
    /// The class's name.
    pub class_name: String,
    /// The constructor arguments: an object, or a name for functions.
    pub config: Value,
    /// `package>name` for classes that are not Keras's own.
    #[serde(default)]
    pub registered_name: Option<String>,
    /// What `build` was called with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_config: Option<Value>,
    /// What `compile` was called with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_config: Option<Value>,
    /// Equal for places that hold one and the same object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_object_id: Option<i64>,
}

impl Serialized {
    /// The file form of an object.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn of(object: &(impl Object + ?Sized)) -> Result<Self> {
        let class = object.class();
        Ok(Serialized::new(class, object.config()?))
    }

    /// A file form of `class` with `config`.
    pub fn new(class: Class, config: Config) -> Self {
        Serialized {
            module: Some(class.module.to_owned()),
            class_name: class.name.to_owned(),
            config: Value::Object(config),
            registered_name: class.registered_name(),
            build_config: None,
            compile_config: None,
            shared_object_id: None,
        }
    }

    /// As a JSON value.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// A class that files can name, of one family of objects (`dyn Layer`, `dyn Initializer`, …).
///
/// ```ignore
/// keras_spec::register!(dyn Layer, CLASS, |config| Ok(Box::new(from_config::<Scale>(CLASS, config)?)));
/// ```
pub struct Entry<T: ?Sized + 'static> {
    /// The class.
    pub class: Class,
    /// Other names it answers to (`"mse"`, `"glorot_uniform"`, names of earlier versions).
    pub aliases: &'static [&'static str],
    /// Makes the object from its configuration.
    pub make: fn(&Config) -> Result<Box<T>>,
}

impl<T: ?Sized> Clone for Entry<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Entry<T> {}

/// A family of objects that files can name.
pub trait Family: Object {
    /// What members are called in messages: "layer", "initializer", …
    const KIND: &'static str;

    /// Every class that has been registered when the program was linked.
    fn linked() -> Vec<Entry<Self>>;

    /// Classes registered at run time.
    fn added() -> &'static Mutex<Vec<Entry<Self>>>;
}

/// Makes `dyn $Trait` a [`Family`]; used once per family, in this crate.
macro_rules! family {
    ($Trait:ident, $kind:literal) => {
        inventory::collect!($crate::object::Entry<dyn $Trait>);

        impl<T: $Trait> From<T> for $crate::object::Shared<dyn $Trait> {
            fn from(object: T) -> Self {
                $crate::object::Shared::from(std::sync::Arc::new(object) as std::sync::Arc<dyn $Trait>)
            }
        }

        impl<T: $Trait> From<T> for $crate::Identifier<dyn $Trait> {
            fn from(object: T) -> Self {
                $crate::Identifier::Object(object.into())
            }
        }

        impl<T: $Trait> From<T> for $crate::Nested<$crate::Identifier<dyn $Trait>> {
            fn from(object: T) -> Self {
                $crate::Nested::One(object.into())
            }
        }

        impl $crate::object::Family for dyn $Trait {
            const KIND: &'static str = $kind;

            fn linked() -> Vec<$crate::object::Entry<Self>> {
                inventory::iter::<$crate::object::Entry<dyn $Trait>>.into_iter().copied().collect()
            }

            fn added() -> &'static std::sync::Mutex<Vec<$crate::object::Entry<Self>>> {
                static ADDED: std::sync::Mutex<Vec<$crate::object::Entry<dyn $Trait>>> =
                    std::sync::Mutex::new(Vec::new());
                &ADDED
            }
        }
    };
}
pub(crate) use family;

/// Registers classes of a family when the program is linked: `register!(dyn Layer, CLASS, make)`, with aliases as an optional
/// last argument.
#[macro_export]
macro_rules! register {
    ($Family:ty, $class:expr, $make:expr) => {
        $crate::register!($Family, $class, $make, &[]);
    };
    ($Family:ty, $class:expr, $make:expr, $aliases:expr) => {
        $crate::inventory::submit! {
            $crate::object::Entry::<$Family> { class: $class, aliases: $aliases, make: $make }
        }
    };
}

/// Makes a struct with serde's `Serialize` and `Deserialize` a class that files can name: writes its [`Object`] and registers
/// it. Its fields are the constructor's arguments.
///
/// `class!(dyn Layer, Class::of("my_package", "Scale"), Scale)`, and behind that, in this order and each optional, other names
/// that it answers to (`aliases ["scale"]`) and a method `fn(&self) -> Result<()>` that refuses arguments which make no sense
/// (`check validate`).
///
/// ```
/// use keras_spec::{Class, Regularizer, Result, Tensor};
/// use serde::{Deserialize, Serialize};
///
/// /// `rate · sum(x⁴)`
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Fourth {
///     rate: f64,
/// }
/// keras_spec::class!(dyn Regularizer, Class::of("my_package", "Fourth"), Fourth);
///
/// impl Regularizer for Fourth {
///     fn call(&self, x: &Tensor) -> Result<Tensor> {
///         x.square()?.square()?.sum(&[], false)? * self.rate
///     }
/// }
/// ```
#[macro_export]
macro_rules! class {
    ($Family:ty, $class:expr, $Class:ident
        $(, aliases [$($alias:literal),* $(,)?])? $(, check $check:ident)?) => {
        impl $Class {
            const CLASS: $crate::Class = $class;
        }

        $crate::register!(
            $Family,
            $Class::CLASS,
            |config| {
                let object: $Class = $crate::object::from_config($Class::CLASS, config)?;
                $(object.$check()?;)?
                Ok(Box::new(object))
            },
            &[$($($alias),*)?]
        );

        impl $crate::Object for $Class {
            fn class(&self) -> $crate::Class {
                Self::CLASS
            }

            fn config(&self) -> $crate::Result<$crate::Config> {
                $crate::object::to_config(self)
            }
        }
    };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a class at run time; a later registration of a name replaces an earlier one (Keras's `custom_objects`).
pub fn register_object<T: Family + ?Sized>(entry: Entry<T>) {
    let mut added = lock(T::added());
    added.retain(|e| e.class != entry.class);
    added.push(entry);
}

/// Every registered class of a family, those added at run time last.
pub fn registered<T: Family + ?Sized>() -> Vec<Entry<T>> {
    let mut all = T::linked();
    all.extend(lock(T::added()).iter().copied());
    all
}

/// Finds the class that `name` stands for: a class name, an alias, or `package>name`. Of several, a class of Keras comes
/// after others.
fn find<T: Family + ?Sized>(name: &str) -> Result<Entry<T>> {
    // `linked` walks a linked list of all registrations; files ask thousands of times.
    static SNAPSHOT: OnceLock<Mutex<HashMap<std::any::TypeId, Box<dyn Any + Send>>>> = OnceLock::new();
    if let Some(e) = lock(T::added()).iter().rev().find(|e| answers(e, name)) {
        return Ok(*e);
    }
    let mut snapshots = lock(SNAPSHOT.get_or_init(Mutex::default));
    let index = snapshots.entry(std::any::TypeId::of::<T>()).or_insert_with(|| {
        let mut index: HashMap<String, Entry<T>> = HashMap::new();
        let mut all = T::linked();
        all.sort_by_key(|e| !e.class.built_in);
        for e in all {
            for alias in e.aliases {
                index.insert((*alias).to_owned(), e);
            }
            index.insert(e.class.name.to_owned(), e);
            if let Some(registered) = e.class.registered_name() {
                index.insert(registered, e);
            }
        }
        Box::new(index)
    });
    let index = index.downcast_ref::<HashMap<String, Entry<T>>>();
    if let Some(e) = index.and_then(|i| i.get(name)) {
        return Ok(*e);
    }
    let mut known: Vec<String> = registered::<T>().iter().map(|e| e.class.name.to_owned()).collect();
    known.sort();
    if T::KIND == "layer" {
        known = alike(name, known);
        let class: String = name.rsplit('>').next().unwrap_or(name).chars().take(100).collect();
        let line = format!("keras_spec::class!(dyn Layer, Class::of(\"my_package\", \"{class}\"), {class})");
        known.push(format!("and those that a program registers, each with `{line}`"));
    }
    Err(Error::unknown(T::KIND, name, known))
}

/// Of many names those that begin like one, or have it in them, and how many there are.
fn alike(name: &str, all: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 12;
    let count = all.len();
    let (name, lower) = (name.to_lowercase(), |s: &str| s.to_lowercase());
    let start: String = name.chars().take(3).collect();
    let is_alike = |s: &String| lower(s).starts_with(&start) || name.contains(&lower(s));
    let mut found: Vec<String> = all.into_iter().filter(is_alike).take(SHOWN).collect();
    found.push(format!("{}{count} classes in all", if found.is_empty() { "" } else { "… " }));
    found
}

fn answers<T: ?Sized>(e: &Entry<T>, name: &str) -> bool {
    e.class.name == name || e.aliases.contains(&name) || e.class.registered_name().is_some_and(|r| r == name)
}

/// Makes an object from what files and callers give: a name (`"glorot_uniform"`), or Keras's object form.
///
/// # Errors
/// [`Error::Unknown`] if nothing has the name; [`Error::Config`] if the form or the configuration is wrong.
pub fn make<T: Family + ?Sized>(value: &Value) -> Result<Box<T>> {
    match value {
        Value::String(name) => (find::<T>(name)?.make)(&Config::new()),
        Value::Object(map) => {
            let Some(class_name) = map.get("class_name").and_then(Value::as_str) else {
                return Err(Error::config(T::KIND, format!("`class_name` is missing in {value}")));
            };
            let registered = map.get("registered_name").and_then(Value::as_str).filter(|r| r.contains('>'));
            let entry = find::<T>(registered.unwrap_or(class_name))?;
            match map.get("config") {
                Some(Value::Object(config)) => (entry.make)(config),
                None | Some(Value::Null) => (entry.make)(&Config::new()),
                Some(other) => Err(Error::config(class_name, format!("expected an object, found {other}"))),
            }
        }
        other => Err(Error::config(T::KIND, format!("expected a name or an object, found {other}"))),
    }
    .map_err(|e| match value.get("class_name").and_then(Value::as_str) {
        Some(name) if !matches!(e, Error::Unknown { .. }) => e.context(format!("{} `{name}`", T::KIND)),
        _ => e,
    })
}

/// A shared object of a family, which serialises in Keras's form. An argument such as `kernel_initializer` is a
/// `Shared<dyn Initializer>`.
pub struct Shared<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Shared<T> {
    /// Whether both are the same object.
    pub fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized> From<Box<T>> for Shared<T> {
    fn from(object: Box<T>) -> Self {
        Shared(object.into())
    }
}

impl<T: ?Sized> From<Arc<T>> for Shared<T> {
    fn from(object: Arc<T>) -> Self {
        Shared(object)
    }
}

impl<T: Family + ?Sized> TryFrom<&str> for Shared<T> {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        make::<T>(&Value::String(name.to_owned())).map(Shared::from)
    }
}

impl<T: Object + ?Sized> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Serialized::of(&*self.0).map_err(serde::ser::Error::custom)?.serialize(s)
    }
}

impl<'de, T: Family + ?Sized> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        make::<T>(&Value::deserialize(d)?).map(Shared::from).map_err(serde::de::Error::custom)
    }
}
