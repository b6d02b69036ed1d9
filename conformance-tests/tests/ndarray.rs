//! The whole suite on the backend `ndarray`.

conformance_tests::main!("ndarray", "../crates/backend-ndarray/conformance.toml");
