//! With the feature `tch`, tells the command where libtorch is at run time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let (Some(_), Ok(libtorch)) = (std::env::var_os("CARGO_FEATURE_TCH"), std::env::var("LIBTORCH")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
