use third_party_backend as _; // so that it is linked and registers itself

conformance_tests::main!("third-party");
