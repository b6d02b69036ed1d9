"""Runs models exported as ONNX in onnxruntime and compares with what the real Keras computed.

    pip install onnx onnxruntime safetensors numpy
    cargo build -p keras-cli
    python scripts/check_onnx.py [target/debug/keras] [FOLDER …]

Each FOLDER below spec/vectors/models (all, without one) has golden cases. A model that cannot be exported must say so with
the name of a layer; a model that was exported must agree. Exits with 1 otherwise.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).parent.parent / "spec/vectors/models"


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "target/debug/keras"
    folders = [pathlib.Path(f) for f in sys.argv[2:]] or sorted(f for f in ROOT.iterdir() if f.is_dir())
    passed, refused, failed = 0, {}, []
    for folder in folders:
        for vectors in sorted(folder.glob("*.json")):
            cases = json.loads(vectors.read_text()).get("cases")
            if not cases:
                continue
            arrays = load_file(vectors.with_suffix(".safetensors"))
            for case in cases:
                if case["kind"] != "model" or "config_file" in case or not case["file"].endswith(".keras"):
                    continue
                why = check(program, folder / case["file"], case, arrays)
                if why is None:
                    passed += 1
                elif "cannot be exported to ONNX" in why:
                    refused[case["id"]] = why.split("cannot be exported")[0].split("error: ")[-1] + why.split("ONNX: ")[-1]
                else:
                    failed.append((case["id"], why))
    for name, why in refused.items():
        print(f"not exported: {name}: {why.strip()}")
    for name, why in failed:
        print(f"FAILED: {name}: {why}")
    print(f"{passed} agree, {len(refused)} are not exported, {len(failed)} fail")
    sys.exit(bool(failed) or not passed)


def flat(value, arrays):
    """The arrays in a value of a case, in order."""
    if isinstance(value, dict):
        if "tensor" in value:
            return [arrays[value["tensor"]]]
        return [a for v in (value.get("list") or value.get("dict", {}).values()) for a in flat(v, arrays)]
    return [a for v in value for a in flat(v, arrays)]


def check(program, model, case, arrays):
    """What is wrong; None if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        ran = subprocess.run([program, "convert", "--no-compile", model, path], capture_output=True, text=True)
        if ran.returncode:
            return ran.stderr
        onnx.checker.check_model(path, full_check=True)
        try:
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            inputs = flat(case["inputs"], arrays)
            dtypes = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
            given = {i.name: x.astype(dtypes[i.type]) for i, x in zip(session.get_inputs(), inputs)}
            outputs = session.run(None, given)
        except Exception as e:
            return f"onnxruntime: {e}"
    expected = flat(case["outputs"], arrays)
    if len(outputs) != len(expected):
        return f"{len(outputs)} outputs where {len(expected)} are expected"
    for found, right in zip(outputs, expected):
        if found.shape != right.shape:
            return f"shape {found.shape} where {right.shape} is expected"
        if not np.allclose(found, right, rtol=1e-4, atol=1e-5, equal_nan=True):
            return f"the largest difference is {np.abs(found - right).max()}"
    return None


main()
