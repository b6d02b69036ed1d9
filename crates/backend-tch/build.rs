//! Builds the C++ file, and tells tests where libtorch is at run time.

use std::env;
use std::path::PathBuf;

fn main() {
    // From `torch-sys`, which has found it.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else { return };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    #[cfg(feature = "shim")]
    shim(&lib);
}

#[cfg(feature = "shim")]
fn shim(lib: &std::path::Path) {
    println!("cargo::rerun-if-changed=src/shim.cpp");
    println!("cargo::rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let include = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    let include = include.unwrap_or_else(|| lib.parent().unwrap_or(lib).to_owned()).join("include");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        // libtorch's threads are OpenMP's.
        .flag_if_supported("-fopenmp")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .file("src/shim.cpp")
        .compile("backend_tch_shim");
}
