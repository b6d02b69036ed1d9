//! A model that is trained by this backend, and read back.

use keras::prelude::*;
use third_party_backend as _;

fn main() -> Result<()> {
    keras::random::set_random_seed(1);
    let device = keras::set_backend("third-party")?;
    println!("training on {device}");

    // Which of two spirals a point lies on.
    let points = 200;
    let mut x = Vec::new();
    let mut y = Vec::new();
    for i in 0..points {
        let (turn, arm) = (i as f32 / points as f32 * 6.0, (i % 2) as f32);
        let angle = turn + arm * std::f32::consts::PI;
        x.extend([turn * angle.cos() / 6.0, turn * angle.sin() / 6.0]);
        y.push(arm);
    }
    let x = HostTensor::new([points, 2], x)?;
    let y = HostTensor::new([points, 1], y)?;

    let mut model = Sequential::new()
        .add(Input::new([2]))
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(1).activation(Activation::Sigmoid))
        .build()?;
    model.compile(Compile::new(Adam::new(0.01), BinaryCrossentropy::new()).metrics(["accuracy"]))?;
    let history = model.fit(&x, &y, Fit::new().epochs(60).verbose(0))?;
    let accuracy = history.last("accuracy").unwrap_or_default();
    println!("accuracy {accuracy:.3}");

    let bytes = model.to_keras_bytes()?;
    let mut loaded = keras::load_model_from_bytes(bytes.as_slice())?;
    assert_eq!(loaded.predict(&x)?, model.predict(&x)?);
    println!("saved, loaded, predicts the same");
    Ok(())
}
