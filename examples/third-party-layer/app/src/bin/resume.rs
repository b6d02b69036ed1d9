//! Loads what `train` saved, checks that it predicts the same, and trains on: `resume FILE`.

use std::error::Error;

use keras::prelude::*;
// Without this line the linker drops the crate, and with it what it registers.
use my_layers as _;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: resume FILE")?;
    let (x, y) = app::data()?;
    let mut model = keras::load_model(&path)?;
    if format!("{:?}", model.predict(&x)?) != std::fs::read_to_string(format!("{path}.txt"))? {
        return Err("the loaded model predicts something else".into());
    }
    let before = model.evaluate(&x, &y, Evaluate::new().verbose(0))?;
    let history = model.fit(&x, &y, Fit::new().epochs(80).verbose(0))?;
    let (loss, within) = (history.last("loss").unwrap_or(f64::NAN), history.last("within").unwrap_or(0.0));
    println!("loss {} before, {loss} after; within {within}", before["loss"]);
    if loss < before["loss"] && within == 1.0 { Ok(()) } else { Err("training did not go on".into()) }
}
