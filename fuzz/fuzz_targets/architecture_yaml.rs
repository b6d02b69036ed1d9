//! Architectures in YAML, up to TensorFlow 2.5, and what is done with a model.
#![no_main]

use keras::saving::LoadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((model, _)) = LoadOptions::new().report_yaml(text) {
        let _ = model.summary_text(Default::default());
        let _ = model.to_json();
    }
});
