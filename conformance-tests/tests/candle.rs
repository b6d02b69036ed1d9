//! The whole suite on the backend `candle`.

conformance_tests::main!("candle", "../crates/backend-candle/conformance.toml");
