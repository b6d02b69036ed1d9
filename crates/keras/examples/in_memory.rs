//! A model without files or threads, as in a web page: it learns exclusive or, becomes the bytes of a `.keras` file
//! and is made from them again. The exit status is 0 if the second model predicts what the first does.
//!
//! `cargo run --example in_memory`, or in WebAssembly as `.ci/run` does.

use std::process::ExitCode;

use keras::prelude::*;

fn learn_and_reload() -> Result<bool> {
    keras::random::set_random_seed(1);
    let x = HostTensor::new([4, 2], vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    let y = HostTensor::new([4, 1], vec![0.0f32, 1.0, 1.0, 0.0])?;

    let mut model = Sequential::new()
        .add(Input::new([2]))
        .add(Dense::new(8).activation(Activation::Tanh))
        .add(Dense::new(1).activation(Activation::Sigmoid))
        .build()?;
    model.compile(Compile::new(Adam::new(0.1), BinaryCrossentropy::new()))?;
    let history = model.fit(&x, &y, Fit::new().epochs(100).verbose(0))?;
    let loss = history.last("loss").unwrap_or(f64::NAN);

    let bytes = model.to_keras_bytes()?;
    let mut loaded = keras::load_model_from_bytes(bytes.as_slice())?;
    let (before, after) = (model.predict(&x)?, loaded.predict(&x)?);
    let shown: Vec<_> = after.iter().map(HostTensor::to_f64_vec).collect();
    println!("loss {loss:.4}, {} bytes, predictions {shown:?}", bytes.len());
    Ok(loss < 0.1 && before == after)
}

fn main() -> ExitCode {
    match learn_and_reload() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
