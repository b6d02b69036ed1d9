#!/bin/sh
# Exchanges model files with the real Keras 3.15.1, both ways, and has older programs (Keras 3.0, 3.3 and 3.6, tf-keras 2.21)
# read what is written for them. It takes a Python with pip; the programs are installed once, 2 GB of them, into
# ${XDG_CACHE_HOME:-$HOME/.cache}/keras.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/keras/$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

# install FOLDER ARGUMENT…: a folder of packages, which is there when it is complete.
install() {
    [ ! -d "$1" ] || return 0
    installed=$1
    shift
    rm -rf "$installed.new"
    "$python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-warn-script-location \
        --root-user-action=ignore --retries 5 --target "$installed.new" "$@"
    mv "$installed.new" "$installed"
}

new=$cache/keras-3.15.1
install "$new" keras==3.15.1 tensorflow-cpu==2.21.0 h5py==3.14.0 safetensors==0.8.0
# They run on the same TensorFlow, each from a folder of its own.
older="keras==3.0.5 keras==3.3.3 keras==3.6.0 tf-keras==2.21.0"
for program in $older; do
    install "$cache/$(echo "$program" | tr -s = -)" --no-deps "$program" dm-tree==0.1.9
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo run --quiet --package keras --example exchange_models -- write "$folder/ours"

# run NAME PACKAGES ARGUMENT…: one of the programs, beside the others; what it says comes afterwards.
run() {
    name=$1 packages=$2
    shift 2
    {
        env PYTHONPATH="$packages" KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$python" "$@" \
            >"$folder/$name.log" 2>&1 || touch "$folder/$name.failed"
    } &
}
run newest "$new" scripts/check_with_keras.py "$folder/ours" "$folder/theirs"
for program in $older; do
    name=$(echo "$program" | tr -s = -)
    case $program in
        tf-keras*) which=tf-keras ;;
        *) which=${name%.*} ;;
    esac
    run "$name" "$cache/$name:$new" scripts/check_with_older_keras.py "$which" "$folder/ours"
done
wait
cat "$folder"/*.log
cargo run --quiet --package keras --example exchange_models -- read "$folder/theirs" || touch "$folder/reading.failed"
! ls "$folder"/*.failed 2>/dev/null
