//! A layer of one's own: it trains, is saved and is loaded like a built-in one.
//!
//! `cargo run --example custom_layer`

use keras::prelude::*;
use keras_spec::{Builder, Call, Class, Layer, Weight, WeightSpec};
use serde::{Deserialize, Serialize};

/// Multiplies each feature by a number that is learnt, and all of them by one that is not.
#[derive(Debug, Serialize, Deserialize)]
struct Scale {
    gain: f64,
    #[serde(skip)]
    factor: Weight,
}

keras_spec::class!(dyn Layer, Class::of("examples", "Scale"), Scale);

impl Layer for Scale {
    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(&inputs[0], -1)?;
        builder.weight(&self.factor, WeightSpec::new("factor", [features]).initializer("ones")?)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![((&inputs[0] * self.factor.value()?)? * self.gain)?])
    }
}

fn main() -> Result<()> {
    let x = HostTensor::new([4, 2], vec![1.0f32, 1.0, 2.0, 1.0, 1.0, 3.0, 2.0, 2.0])?;
    let y = HostTensor::new([4, 2], vec![3.0f32, -1.0, 6.0, -1.0, 3.0, -3.0, 6.0, -2.0])?;

    let mut model =
        Sequential::new().add(Input::new([2])).add(Scale { gain: 2.0, factor: Weight::default() }).build()?;
    model.compile(Compile::new(SGD::new(0.05), "mse"))?;
    let history = model.fit(&x, &y, Fit::new().epochs(100).verbose(0))?;
    println!("loss {:.6}", history.last("loss").unwrap_or(f64::NAN));
    println!("factors {:?}, should be near [1.5, -0.5]", model.get_weights()?[0].to_f64_vec());

    let path = std::env::temp_dir().join("custom_layer.keras");
    model.save(&path)?;
    let mut loaded = keras::load_model(&path)?;
    println!("the loaded model predicts the same: {}", loaded.predict(&x)? == model.predict(&x)?);
    Ok(())
}
