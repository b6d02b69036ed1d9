use std::sync::{Arc, OnceLock};

use keras_spec::Error;
use keras_spec::random::{Seed, SeedGenerator, make_default_seed};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// The seed of an initializer: a number, a generator, or one that is drawn once when it is first needed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct InitializerSeed {
    given: Option<Seed>,
    drawn: Arc<OnceLock<u32>>,
}

impl InitializerSeed {
    /// The seed, drawn now if none was given.
    pub(crate) fn get(&self) -> Seed {
        self.given.clone().unwrap_or_else(|| Seed::Int(*self.drawn.get_or_init(make_default_seed)))
    }
}

impl<S: Into<Seed>> From<S> for InitializerSeed {
    fn from(seed: S) -> Self {
        InitializerSeed { given: Some(seed.into()), drawn: Arc::default() }
    }
}

impl Serialize for InitializerSeed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.given {
            None => s.serialize_none(),
            Some(Seed::Int(seed)) => seed.serialize(s),
            Some(Seed::Generator(generator)) => json!({
                "module": "keras.random",
                "class_name": "SeedGenerator",
                "config": {"seed": generator.seed(), "name": "seed_generator"},
                "registered_name": null,
            })
            .serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for InitializerSeed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let wrong = |found: &Value| {
            serde::de::Error::custom(Error::argument("seed", "null, a number or a SeedGenerator", found))
        };
        let number = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| wrong(v));
        match &Value::deserialize(d)? {
            Value::Null => Ok(InitializerSeed::default()),
            form @ Value::Object(_) if form["class_name"] == "SeedGenerator" => {
                let seed = match &form["config"]["seed"] {
                    Value::Null => None,
                    seed => Some(number(seed)?),
                };
                Ok(SeedGenerator::new(seed).into())
            }
            other => Ok(number(other)?.into()),
        }
    }
}
