//! Architectures in YAML, up to TensorFlow 2.5.
#![no_main]

use keras::saving::LoadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = LoadOptions::new().report_yaml(text);
});
