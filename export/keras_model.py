"""Keras classifiers as ONNX files, by the torch backend of Keras.

Keras reads its backend from the environment when it is imported, so a model file is converted in a child
process with ``KERAS_BACKEND=torch``. Neither TensorFlow nor JAX is needed.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError, first_line

DEFAULT_SIZE = 224
TOLERANCE = 1e-4
"""Largest difference between the outputs of Keras and of the ONNX file, relative to the largest output."""
SECONDS = 900
"""Time limit of the child process."""
SCALING = ("Rescaling", "Normalization")
"""Layers that turn pixels from 0 to 255 into the values that a network was trained on."""


def export_keras(model: Any, out: Path) -> None:
    """Write a Keras classifier as an ONNX file with the same input layout, usually NHWC.

    Parameters
    ----------
    model : Path or keras.Model
        A ``.keras`` file, or a model.
    out : Path
        ONNX file to write.

    Raises
    ------
    InputError
        Keras is not installed, the file is not a model of one picture and one output, or it cannot be
        converted.
    """
    if importlib.util.find_spec("keras") is None:
        raise InputError('a Keras model as teacher needs Keras: pip install "inficond[keras]"')
    if isinstance(model, Path):
        _convert_apart(model, out)
        return
    import keras  # pyright: ignore[reportMissingImports]

    if keras.backend.backend() == "torch":
        convert(model, out)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        _convert_apart(file, out)


def _convert_apart(file: Path, out: Path) -> None:
    """Convert a file in a child process with the torch backend."""
    if not file.is_file():
        raise InputError(f"{file} does not exist")
    command = [sys.executable, "-P", "-m", "inficond.export.keras_model", str(file), str(out)]
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{file}: converting it took more than {SECONDS} s: export it as ONNX yourself"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise InputError(lines[-1][:400] if lines else f"{file} cannot be converted")


def convert(model: Any, out: Path) -> None:
    """Write a model of Keras' torch backend as ONNX and compare the outputs.

    Raises
    ------
    InputError
        See `export_keras`.
    """
    import torch

    from inficond.export.graph import cpu_session, serialise, to_onnx

    shape, name = getattr(model, "input_shape", None), str(getattr(model, "name", "the model"))
    if not isinstance(shape, tuple) or len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise InputError(
            f"{name} takes input of shape {shape}: a classifier takes one picture (batch, height, width, 3)"
        )
    output = getattr(model, "output_shape", None)
    if not isinstance(output, tuple) or len(output) != 2:
        raise InputError(f"{name} returns {output}: a classifier returns one row of numbers per picture")
    sides = [side or (3 if i == 2 and shape[1] == 3 else DEFAULT_SIZE) for i, side in enumerate(shape[1:])]
    example = np.random.default_rng(0).uniform(0, 255, (2, *sides)).astype(np.float32)
    model.trainable = False
    model.eval()
    with torch.no_grad():
        expected = np.asarray(model(torch.from_numpy(example)))
    graph = to_onnx(model, [torch.from_numpy(example)], ["pixels"], ["output"])
    if _scales_pixels(model):  # it takes values from 0 to 255: see `inficond.core.teachers.onnx_file`
        for key, value in (("mean", "0, 0, 0"), ("std", ", ".join([str(1 / 255)] * 3))):
            graph.metadata_props.add(key=key, value=value)
    session = cpu_session(graph)
    worst = 0.0
    for batch in (example, example[:1], np.concatenate([example, example])):
        (found,) = session.run(["output"], {"pixels": batch})
        wanted = np.concatenate([expected, expected])[: len(batch)]
        worst = max(worst, float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max()))))
    if worst > TOLERANCE:
        raise InputError(f"verification failed: the outputs of {name} as ONNX differ by up to {worst:.2g}")
    out.write_bytes(serialise(graph))


def _scales_pixels(model: Any) -> bool:
    """Return whether a layer of the model scales its pixels, as in most models of `keras.applications`."""
    layers = getattr(model, "layers", [])
    return any(type(layer).__name__ in SCALING or _scales_pixels(layer) for layer in layers)


def main(file: str, out: str) -> int:
    """Convert a ``.keras`` file; print the reason of a failure as the last line of stderr."""
    import keras  # pyright: ignore[reportMissingImports]

    try:
        try:
            model = keras.models.load_model(file, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many types for damaged files and unknown layers
            first = first_line(error)
            raise InputError(f"{file} is not a Keras model that can be read ({first})") from None
        convert(model, Path(out))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
