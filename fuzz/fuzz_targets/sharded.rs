//! The index of weights that are spread over files.
#![no_main]

use std::fs;

use keras::layers::Dense;
use keras::{Input, Sequential};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = std::env::temp_dir().join(format!("fuzzed-{}.weights.json", std::process::id()));
    let model = Sequential::new().add(Input::new([3])).add(Dense::new(4)).build();
    if let (Ok(model), Ok(())) = (model, fs::write(&path, text)) {
        let _ = model.load_weights(&path);
    }
});
