"""Model files of other tools, and how they can be used."""

from pathlib import Path
from typing import Literal

_ARRAYS = (".npy", ".npz", ".mat", ".hdf5")
_LIBRARIES = {
    ".pt": "PyTorch", ".pth": "PyTorch", ".ckpt": "PyTorch", ".bin": "PyTorch", ".h5": "Keras",
    ".keras": "Keras", ".pb": "TensorFlow", ".tflite": "TensorFlow Lite", ".engine": "TensorRT",
    ".trt": "TensorRT", ".xml": "OpenVINO", ".mlmodel": "Core ML", ".gguf": "llama.cpp",
    ".msgpack": "Flax", ".pkl": "pickle", ".pickle": "pickle", ".joblib": "scikit-learn",
    ".caffemodel": "Caffe",
}  # fmt: skip
_KERAS_AS_TEACHER = "give it as it is to `inficond distill --teacher`, which needs the extra `keras`"


def library_of(path: Path) -> str | None:
    """Return the tool whose models have the suffix of a file, or None."""
    return _LIBRARIES.get(path.suffix.lower())


def advice_for_file(path: Path, kind: Literal["encoder", "teacher"]) -> str:
    """Return what to do with a file that is given in place of a model folder.

    Parameters
    ----------
    path : Path
        Only its suffix is used.
    kind : {"encoder", "teacher"}
        What the file is given as.

    Returns
    -------
    str
        A clause that follows a colon.
    """
    suffix, library = path.suffix.lower(), library_of(path)
    if suffix in _ARRAYS:
        return "write its answers as a table of image, class, probability (CSV, JSON or Parquet)"
    if suffix in (".safetensors", ".json"):
        return "give the folder that holds config.json and the weights"
    if library is None:
        return f"give a folder made by `inficond export {kind}`" + (
            ", an .onnx file or a table" if kind == "teacher" else ""
        )
    if kind == "encoder":
        return f"it is a model of {library}, which is not loaded; export the model to ONNX"
    if suffix == ".keras":
        return f"it is a model of Keras: {_KERAS_AS_TEACHER}"
    if suffix == ".h5":
        return (
            "it is a model of Keras in its old format: save it as .keras (model.save) and "
            f"{_KERAS_AS_TEACHER}, or export it to ONNX and give the .onnx file"
        )
    if library == "PyTorch":
        return (
            "it holds weights of PyTorch: if they belong to a model of torchvision, run `inficond export "
            f"teacher torchvision/NAME --checkpoint {path.name}`; else export the model to ONNX and give the "
            ".onnx file"
        )
    return (
        f"it is a model of {library}, which is not loaded; export the model to ONNX and give the .onnx file"
    )
