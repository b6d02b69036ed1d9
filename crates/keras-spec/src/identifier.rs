//! Arguments of `compile` that are given once, per output in order, or per output by name.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::object::{Family, Serialized, Shared, make};

/// Something given once, in a list, or by name (`loss="mse"`, `loss=["mse", None]`, `loss={"age": "mse"}`).
#[derive(Clone, Debug, Default)]
pub enum Nested<T> {
    /// Nothing.
    #[default]
    None,
    /// One value.
    One(T),
    /// A list.
    List(Vec<Nested<T>>),
    /// By name.
    Dict(Vec<(String, Nested<T>)>),
}

impl<T> Nested<T> {
    /// Every value in it, in order.
    pub fn flatten(&self) -> Vec<&T> {
        match self {
            Nested::None => Vec::new(),
            Nested::One(x) => vec![x],
            Nested::List(list) => list.iter().flat_map(Nested::flatten).collect(),
            Nested::Dict(map) => map.iter().flat_map(|(_, x)| x.flatten()).collect(),
        }
    }

    /// Whether there is no value in it.
    pub fn is_none(&self) -> bool {
        self.flatten().is_empty()
    }

    /// By name.
    pub fn by_name<N: Into<String>, V: Into<Nested<T>>>(entries: impl IntoIterator<Item = (N, V)>) -> Self {
        Nested::Dict(entries.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }

    /// As JSON, with `write` for each value.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn to_value(&self, write: &impl Fn(&T) -> Result<Value>) -> Result<Value> {
        Ok(match self {
            Nested::None => Value::Null,
            Nested::One(x) => write(x)?,
            Nested::List(list) => list.iter().map(|x| x.to_value(write)).collect::<Result<Vec<_>>>()?.into(),
            Nested::Dict(map) => {
                let entries = map.iter().map(|(n, x)| Ok((n.clone(), x.to_value(write)?)));
                Value::Object(entries.collect::<Result<_>>()?)
            }
        })
    }

    /// From JSON: `read` takes strings, numbers and objects with a `class_name`.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn from_value(value: &Value, read: &impl Fn(&Value) -> Result<T>) -> Result<Self> {
        Ok(match value {
            Value::Null => Nested::None,
            Value::Array(list) => {
                Nested::List(list.iter().map(|v| Nested::from_value(v, read)).collect::<Result<_>>()?)
            }
            Value::Object(map) if !map.contains_key("class_name") => {
                let entries = map.iter().map(|(n, v)| Ok((n.clone(), Nested::from_value(v, read)?)));
                Nested::Dict(entries.collect::<Result<_>>()?)
            }
            other => Nested::One(read(other)?),
        })
    }
}

/// A class's name or alias, or an object: what `compile` takes for optimizers, losses and metrics.
pub enum Identifier<T: ?Sized> {
    /// A name such as `"mse"`.
    Name(String),
    /// An object.
    Object(Shared<T>),
}

impl<T: Family + ?Sized> Identifier<T> {
    /// From what files hold.
    ///
    /// # Errors
    /// If the object cannot be made.
    pub fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::String(name) => Ok(Identifier::Name(name.clone())),
            Value::Object(o) if o.get("class_name").is_some_and(|c| c == "function") => {
                match o.get("config").and_then(Value::as_str) {
                    Some(name) => Ok(Identifier::Name(name.to_owned())),
                    None => Err(Error::config(T::KIND, format!("cannot be read from {value}"))),
                }
            }
            other => make::<T>(other).map(|object| Identifier::Object(object.into())),
        }
    }

    /// As files hold it.
    ///
    /// # Errors
    /// If the object's configuration cannot be written.
    pub fn to_value(&self) -> Result<Value> {
        match self {
            Identifier::Name(name) => Ok(name.as_str().into()),
            Identifier::Object(object) => Ok(Serialized::of(&**object)?.to_value()),
        }
    }
}

impl<T: ?Sized> Clone for Identifier<T> {
    fn clone(&self) -> Self {
        match self {
            Identifier::Name(n) => Identifier::Name(n.clone()),
            Identifier::Object(o) => Identifier::Object(o.clone()),
        }
    }
}

impl<T: ?Sized + std::fmt::Debug> std::fmt::Debug for Identifier<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Identifier::Name(n) => n.fmt(f),
            Identifier::Object(o) => o.fmt(f),
        }
    }
}

impl<T: ?Sized> From<&str> for Identifier<T> {
    fn from(name: &str) -> Self {
        Identifier::Name(name.to_owned())
    }
}

impl<T: ?Sized> From<Shared<T>> for Identifier<T> {
    fn from(object: Shared<T>) -> Self {
        Identifier::Object(object)
    }
}

impl<T: ?Sized> From<&str> for Nested<Identifier<T>> {
    fn from(name: &str) -> Self {
        Nested::One(name.into())
    }
}

impl<T: ?Sized> From<Identifier<T>> for Nested<Identifier<T>> {
    fn from(one: Identifier<T>) -> Self {
        Nested::One(one)
    }
}

impl<T, V: Into<Nested<T>>, const N: usize> From<[V; N]> for Nested<T> {
    fn from(list: [V; N]) -> Self {
        Nested::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T, V: Into<Nested<T>>> From<Vec<V>> for Nested<T> {
    fn from(list: Vec<V>) -> Self {
        Nested::List(list.into_iter().map(Into::into).collect())
    }
}

impl From<f64> for Nested<f64> {
    fn from(x: f64) -> Self {
        Nested::One(x)
    }
}
