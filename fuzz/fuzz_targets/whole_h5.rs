//! Whole models in HDF5, of every version.
#![no_main]

use keras::saving::LoadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = LoadOptions::new().report_bytes("fuzzed", bytes.to_vec());
});
