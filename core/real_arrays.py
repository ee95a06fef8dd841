"""Conversion of arrays, frames and tensors of any library to NumPy arrays of real numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def real_array(name: str, value: Any) -> NDArray[Any]:
    """Convert to an array of real numbers.

    Lists, pandas and polars frames, and torch tensors are converted; sparse matrices and masked arrays are
    rejected.

    Raises
    ------
    ValueError
        If the value cannot be converted.
    """
    if type(value) is np.ndarray and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8:
        return value
    if isinstance(value, Iterator):
        raise ValueError(
            f"{name} must be an array of real numbers: a {type(value).__name__} would become an array of "
            "dtype object; use list(…)"
        )
    libraries = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if hasattr(value, "tocsr"):
        kind = type(value).__name__
        raise ValueError(f"{name} must be a dense array: it is a sparse {kind}; use .toarray()")
    if "torch" in libraries and hasattr(value, "detach"):
        value = _from_torch(name, value)
    elif "pandas" in libraries and hasattr(value, "to_numpy"):
        value = _from_pandas(name, value)
    elif isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise ValueError(f"{name} must have no masked entries; use .filled(value), or remove such rows")
        value = value.data
    try:
        array = np.asarray(value)
    except Exception as error:  # of any library's conversion
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{name} must be an array of real numbers: converting {type(value).__name__} failed ({detail})"
        ) from None
    if array.dtype.name.startswith(("bfloat16", "float8")):  # extension types of ml_dtypes
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        hint = _object_hint(name, value, array) if array.dtype.kind == "O" else ""
        raise ValueError(f"{name} must be an array of real numbers: its dtype is {array.dtype}{hint}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # infinite values are found later
            array = array.astype(np.float64)
    return array


def _object_hint(name: str, value: Any, array: NDArray[Any]) -> str:
    """Return how to make numbers of objects; empty where that is not known."""
    if not array.ndim:
        return f", as it is a {type(value).__name__}"
    first = array.flat[0] if array.size else None
    if isinstance(first, list | tuple | np.ndarray) or type(first).__module__.startswith("pyarrow"):
        return f" with a sequence in each entry; use np.stack(list({name}))"
    return "; use .astype(float)" if hasattr(value, "astype") else "; use np.array(…, float)"


def _from_torch(name: str, value: Any) -> Any:
    """Convert a torch tensor of any device and precision."""
    if "sparse" in str(value.layout):
        raise ValueError(f"{name} must be a dense array: it is a sparse tensor; use .to_dense()")
    if value.is_complex() or getattr(value, "is_quantized", False):
        raise ValueError(f"{name} must be an array of real numbers: it is a tensor of dtype {value.dtype}")
    try:
        value = value.detach().cpu().resolve_conj().resolve_neg()
        if "mkldnn" in str(value.layout):
            value = value.to_dense()
    except (NotImplementedError, RuntimeError) as error:
        detail = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(
            f"{name} must hold values: the tensor on device {value.device} has none ({detail})"
        ) from None
    if value.is_floating_point() and str(value.dtype) not in (
        "torch.float16",
        "torch.float32",
        "torch.float64",
    ):
        value = value.float()
    try:
        return value.numpy()
    except (TypeError, RuntimeError) as error:  # nested tensors, tensors of functorch
        raise ValueError(
            f"{name} must be an array of real numbers: the tensor of layout {value.layout} cannot be "
            f"converted ({str(error).splitlines()[0][:200]})"
        ) from None


def _from_pandas(name: str, value: Any) -> Any:
    """Convert a pandas frame or series, whose extension types NumPy would turn into objects."""
    dtypes = list(value.dtypes) if value.ndim == 2 else [value.dtype]
    labels = list(value.columns) if value.ndim == 2 else [value.name]
    for label, dtype in zip(labels, dtypes):
        kind = getattr(dtype, "kind", "O")
        if kind == "O" and len(value):
            cell = (value.iloc[:, labels.index(label)] if value.ndim == 2 else value).iloc[0]
            if isinstance(cell, list | tuple | np.ndarray):
                raise ValueError(
                    f"{name} must be an array of real numbers: column {label!r:.60} has dtype {dtype} with a "
                    "sequence in each entry; use np.stack(column.tolist())"
                )
        if kind not in "fiub" or "Sparse" in str(dtype):
            raise ValueError(
                f"{name} must be an array of real numbers: column {label!r:.60} has dtype {dtype}; "
                "use .to_numpy(float), or drop the column"
            )
    if dtypes and all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return value.to_numpy(np.result_type(*dtypes))
    single = all(str(dtype) == "Float32" or dtype == np.float32 for dtype in dtypes)
    return value.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
