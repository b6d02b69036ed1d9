//! Builds a model with the parts of `my_layers`, trains it and saves it: `train FILE`.

use std::error::Error;

use keras::prelude::*;
use my_layers::{Pinball, Scale, SignSgd, Within};

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: train FILE")?;
    let (x, y) = app::data()?;
    let mut model = Sequential::new().add(Input::new([2])).add(Scale::new(2.0).name("scale")).build()?;
    model.compile(Compile::new(SignSgd::new(0.01), Pinball::new(0.5)).metrics([Within::new(0.25)]))?;
    let history = model.fit(&x, &y, Fit::new().epochs(20).verbose(0))?;
    println!("loss {:?}, within {:?}", history.last("loss"), history.last("within"));
    model.save(&path)?;
    std::fs::write(format!("{path}.txt"), format!("{:?}", model.predict(&x)?))?;
    Ok(())
}
