//! The whole suite on the backend `tch`.

conformance_tests::main!("tch", "../crates/backend-tch/conformance.toml");
