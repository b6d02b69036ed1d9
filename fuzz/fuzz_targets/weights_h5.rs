//! Weights alone in HDF5: by layer, and by the way to the object.
#![no_main]

use std::fs;

use keras::layers::Dense;
use keras::{Input, Sequential};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzzed-{}.weights.h5", std::process::id()));
    let model = Sequential::new().add(Input::new([3])).add(Dense::new(4)).add(Dense::new(2)).build();
    if let (Ok(model), Ok(())) = (model, fs::write(&path, bytes)) {
        let _ = model.load_weights(&path);
    }
});
