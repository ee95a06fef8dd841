"""Reasons why ONNX Runtime refuses a graph, in the user's terms."""

import re

from inficond.core.errors import first_line

_POSITION = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE_LINE = re.compile(r"\S*/onnxruntime\S*/\S+\.(?:cc|h):\d+ .*\)(?: const)? (?=[A-Z])")


def load_failure(error: BaseException) -> str:
    """Return the reason of a failure to load or run a graph, with what to do where that is known.

    Parameters
    ----------
    error : BaseException
        As ONNX Runtime raised it.

    Returns
    -------
    str
        One line, without the library's error numbers and source positions.
    """
    text = " ".join(str(error).split())
    if "PosixThread" in text or "pthread_create" in text:
        return "the system allows no more threads: raise its limits (`ulimit -u`, `ulimit -v`)"
    version = re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", text)
    if version:
        return (
            f"its IR version {version[1]} is newer than this ONNX Runtime reads (at most {version[2]}): "
            "upgrade onnxruntime, or save the model with an older version of onnx"
        )
    opset = re.search(r"Opset (\d+) is under development.*?(?:till|to) opset (\d+)", text)
    if opset:
        return (
            f"its opset {opset[1]} is newer than this ONNX Runtime runs (at most {opset[2]}): upgrade "
            "onnxruntime, or export the model with opset_version=17"
        )
    operator = re.search(
        r"No Op registered for (\w+)|Could not find an implementation for (\w+)|(\w+) is not a registered "
        r"function/op",
        text,
    )
    if operator:
        name = next(group for group in operator.groups() if group)
        return (
            f"this ONNX Runtime has no operator {name} for it: upgrade onnxruntime, or export the model with "
            "standard operators and another opset_version"
        )
    return _SOURCE_LINE.sub("", _POSITION.sub("", first_line(error, 300)))
