//! Looks for libtorch where `torch-sys` will.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// What tch 0.26 is made for.
const VERSION: &str = "2.13.0";

fn main() -> ExitCode {
    for name in ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LIBTORCH_BYPASS_VERSION_CHECK"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match check() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!(
                "\n{why}\n\nbackend-tch needs libtorch {VERSION}. In a checkout of this project\n\n    \
                 scripts/setup-libtorch.sh\n\ninstalls it for the CPU and prints the line that sets LIBTORCH; or set \
                 LIBTORCH to the folder of another\ninstallation of that version, which holds include/ and lib/.\n"
            );
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<(), String> {
    // Then `torch-sys` asks Python, and checks the version itself.
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Ok(());
    }
    let folder = match env::var_os("LIBTORCH") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ if Path::new("/usr/lib/libtorch.so").exists() => PathBuf::from("/usr"),
        _ => return Err("LIBTORCH is not set, and there is no libtorch in /usr/lib.".to_owned()),
    };
    let shown = folder.display();
    println!("cargo::rerun-if-changed={}", folder.join("build-version").display());
    if !folder.join("lib").is_dir() {
        return Err(format!("LIBTORCH is `{shown}`, which has no folder `lib`."));
    }
    let found = version(&folder)
        .ok_or_else(|| format!("LIBTORCH is `{shown}`, which has no version of libtorch."))?;
    if found != VERSION && env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_none() {
        return Err(format!("LIBTORCH is `{shown}`, which is libtorch {found}."));
    }
    Ok(())
}

/// The version, of a release's `build-version` or of the headers.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return text.trim().split('+').next().map(str::to_owned);
    }
    let header = fs::read_to_string(folder.join("include/torch/headeronly/version.h")).ok()?;
    let number = |name: &str| {
        let define = format!("#define TORCH_VERSION_{name} ");
        header.lines().find_map(|line| line.strip_prefix(&define)).map(|n| n.trim().to_owned())
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}
