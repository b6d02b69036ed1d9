//! Parts of a configuration that are structs of their own: what `#[serde(flatten)]` lacks.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

/// Reads a flattened struct: `#[serde(flatten, deserialize_with = "flattened")]`. Its errors name the key, as those of
/// [`keras_spec::object::from_config`] do; serde's own do not.
pub(crate) fn flattened<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    T::deserialize(Named(d))
}

/// Hands a struct its entries by way of [`Entries`].
struct Named<I>(I);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Named<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Named(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Entries { map, key: String::new() })
    }
}

struct Entries<A> {
    map: A,
    key: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.map.next_key::<String>()? else { return Ok(None) };
        self.key.clone_from(&key);
        let key: StringDeserializer<A::Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed).map_err(|e| A::Error::custom(format_args!("`{}`: {e}", self.key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        _own: u8,
        #[serde(flatten, deserialize_with = "flattened")]
        _part: Part,
    }

    #[derive(Debug, Deserialize)]
    struct Part {
        _given: u8,
        #[serde(default)]
        _default: u8,
    }

    #[test]
    fn errors_name_the_key() {
        let error = |text: &str| serde_json::from_str::<Whole>(text).unwrap_err().to_string();
        assert!(serde_json::from_str::<Whole>(r#"{"_own": 1, "_given": 2}"#).is_ok());
        assert!(error(r#"{"_own": 1, "_given": "two"}"#).starts_with("`_given`: "));
        assert!(error(r#"{"_own": 1}"#).contains("missing field `_given`"));
        assert!(error(r#"{"_own": 1, "_given": 2, "other": 3}"#).contains("unknown field `other`"));
    }
}
