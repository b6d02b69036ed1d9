use keras_spec::{Builder, Call, Class, Layer, PartialShape, Result, Tensor, Weight, WeightSpec};
use serde::{Deserialize, Serialize};

/// Multiplies each feature by a factor that is learnt and all of them by `gain`: `(batch, …, features)` →
/// `(batch, …, features)`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scale {
    gain: f64,
    #[serde(skip)]
    factor: Weight,
}

keras_spec::class!(dyn Layer, Class::of("my_layers", "Scale"), Scale);

impl Scale {
    /// With this gain.
    pub fn new(gain: f64) -> Self {
        Scale { gain, factor: Weight::default() }
    }
}

impl Layer for Scale {
    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(&inputs[0], -1)?;
        builder.weight(&self.factor, WeightSpec::new("factor", [features]).initializer("ones")?)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![((&inputs[0] * self.factor.value()?)? * self.gain)?])
    }
}
