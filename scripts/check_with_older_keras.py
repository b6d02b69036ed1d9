"""Reads models that `exchange_models write` wrote for older programs, compares predictions, trains on and compares again.

Usage: check_with_older_keras.py PROGRAM FROM, where PROGRAM is tf-keras, or a version of Keras 3 that is installed.

Models that the writer refused, since the program cannot have them, are listed with the reason.
"""

import pathlib
import sys

from exchanged import check_training, compare, models, numbered, predict
from safetensors.numpy import load_file

program, source = sys.argv[1], pathlib.Path(sys.argv[2])
if program == "tf-keras":
    import tf_keras as keras

    extension = "tf-keras.h5"
else:
    import keras

    extension = f"{program}.keras"

read, trained, failures, refused, missing = 0, 0, 0, [], []
for path in models(source):
    file = path.with_name(f"{path.stem}.{extension}")
    why = file.with_name(f"{file.name}.refused")
    if why.exists():
        refused.append(f"{path.stem}: {why.read_text()}")
        continue
    if not file.exists():
        missing.append(path.stem)
        continue
    read += 1
    try:
        arrays = load_file(path)
        model = keras.models.load_model(file)
        compare(predict(model, numbered(arrays, "x")), numbered(arrays, "y"), extension)
        trained += check_training(model, arrays, path.stem, keras.__version__)
    except Exception as error:
        failures += 1
        print(f"  {path.stem}: FAILED: {type(error).__name__}: {str(error)[:600]}", flush=True)
for line in refused:
    print(f"  not written for {program}: {line}")
for name in missing:
    print(f"  {name}: FAILED: neither written nor refused")
print(f"{read} models read by {program} ({keras.__version__}), {trained} trained on; {failures} fail; {len(refused)} are refused")
sys.exit(1 if failures or missing or not read or not trained else 0)
