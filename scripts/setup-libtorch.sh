#!/usr/bin/env bash
# Installs the libtorch that backend-tch is built with: 2.13.0 for the CPU of 64-bit x86 Linux.
#
#   scripts/setup-libtorch.sh [FOLDER]     (default: ~/.cache/keras/libtorch-2.13.0-cpu)
#
# It comes from the wheel of torch in Python's package index, of which only the headers and the libraries for the CPU are
# kept (0.4 GB; 0.55 GB are downloaded, 1 GB is needed meanwhile). A second run returns at once.
#
# Keep the folder out of the checkout: C++ code of several minutes is built anew when its path changes.
set -euo pipefail

version=2.13.0
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/keras/libtorch-$version-cpu}

fail() { printf 'setup-libtorch: %s\n' "$*" >&2; exit 1; }
finish() { printf 'export LIBTORCH=%q\n' "$folder/torch"; }

if [ -e "$folder/complete" ]; then finish; exit; fi
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
    fail "this script knows Linux on x86_64 only; unpack libtorch $version for this machine and set LIBTORCH to it"
python3 -m pip --version >/dev/null 2>&1 || fail "python3 with pip is needed (Debian: apt-get install python3-pip)"

mkdir -p "$(dirname "$folder")"
# Beside its destination, so that moving it there is one step.
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT

# libtorch_cpu.so of this wheel is built with CUDA's profiler, so two small libraries of CUDA have to be there. They do nothing
# without a GPU.
cat >"$work/requirements.txt" <<'LIST'
torch==2.13.0 --hash=sha256:60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
LIST
python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --retries 5 \
    --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
    --requirement "$work/requirements.txt" --dest "$work/wheels" ||
    fail "the download failed; is the package index within reach?"

python3 - "$work/wheels" "$work/new" <<'PYTHON'
import pathlib
import sys
import zipfile

wheels, target = map(pathlib.Path, sys.argv[1:])
wanted = {f"torch/lib/{name}" for name in ("libc10.so", "libtorch_cpu.so", "libgomp.so.1")}
wanted |= {f"nvidia/cu13/lib/{name}" for name in ("libcudart.so.13", "libcupti.so.13")}
for wheel in wheels.iterdir():
    with zipfile.ZipFile(wheel) as archive:
        headers = {name for name in archive.namelist() if name.startswith("torch/include/")}
        libraries = wanted.intersection(archive.namelist())
        archive.extractall(target, headers | libraries)
    wanted -= libraries
    wheel.unlink()
if wanted:
    sys.exit(f"setup-libtorch: the wheels lack {sorted(wanted)}")
PYTHON

# The wheel's own libtorch.so asks for the libraries of CUDA.
ln -s libtorch_cpu.so "$work/new/torch/lib/libtorch.so"
echo "$version" >"$work/new/torch/build-version"
if command -v strip >/dev/null; then
    strip --strip-unneeded "$work/new/torch/lib/libtorch_cpu.so" "$work/new/torch/lib/libc10.so"
fi
if env -u LD_LIBRARY_PATH ldd "$work/new/torch/lib/libtorch_cpu.so" | grep 'not found' >&2; then
    fail "these libraries are missing on this machine"
fi
touch "$work/new/complete"
rm -rf "$folder"
mv "$work/new" "$folder"
finish
