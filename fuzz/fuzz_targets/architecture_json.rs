//! Architectures in JSON, of every version.
#![no_main]

use keras::saving::LoadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = LoadOptions::new().report_json(text);
});
