//! Architectures in JSON, of every version, and what is done with a model.
#![no_main]

use keras::saving::LoadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((model, _)) = LoadOptions::new().report_json(text) {
        let _ = model.summary_text(Default::default());
        let _ = model.to_json();
    }
});
