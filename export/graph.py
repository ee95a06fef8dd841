"""Export of a torch module as an ONNX graph with a dynamic batch axis."""

import io
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from inficond.core.errors import InputError
from inficond.core.models.graph_file import map_file
from inficond.core.models.local_session import LocalSession
from inficond.export.exportable import exportable_functions
from inficond.export.padding import fold_padding

OPSET = 17


def to_onnx(
    module: torch.nn.Module,
    example: Sequence[torch.Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic: dict[str, dict[int, str]] | None = None,
    fused: bool = False,
) -> onnx.ModelProto:
    """Export a module with its weights in the graph and a dynamic batch axis.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example : sequence of Tensor
        One example per input, with a batch of at least 2: a batch of 1 may become a constant.
    inputs, outputs : sequence of str
        Names.
    dynamic : dict, optional
        Further dynamic axes: {input or output name: {axis: name}}.
    fused : bool
        Whether the module holds attention that is exported as one node (`attention.attend`).

    Returns
    -------
    onnx.ModelProto
        With zero padding merged into convolutions (`fold_padding`).

    Raises
    ------
    InputError
        The module cannot be written as ONNX.
    """
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*inputs, *outputs)}
    for name, extra in (dynamic or {}).items():
        axes[name] = axes[name] | extra
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        # The tracer warns about every Python number that becomes a constant; sizes are fixed on purpose.
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        try:
            with exportable_functions():
                torch.onnx.export(
                    module.eval(),
                    tuple(example),
                    str(path),
                    input_names=list(inputs),
                    output_names=list(outputs),
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    custom_opsets={"com.microsoft": 1} if fused else None,
                    dynamo=False,
                )
        except Exception as error:  # the tracer fails in as many ways as there are modules
            raise InputError(f"the model cannot be written as ONNX: {_reason(error)}") from error
        model = onnx.load(str(path))
    model.producer_name = "inficond"
    fold_padding(model)
    bad = first_bad_initializer(model)
    if bad:
        raise InputError(f"the exported graph has NaN or infinite values in {bad}")
    return model


def _reason(error: Exception) -> str:
    """Return one line with the reason why the exporter failed; its own messages contain the whole graph."""
    text = str(error)
    found = re.search(r"operator '?([\w:]+)'? to ONNX|translating (\w+)|operator.*?'([\w:]+)'", text)
    if found:
        operator = next(g for g in found.groups() if g)
        return f"it uses the operator {operator}, which torch {torch.__version__} cannot translate"
    if "translate" in text or isinstance(error, torch.onnx.errors.OnnxExporterError):
        return f"it uses an operator that torch {torch.__version__} cannot translate"
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def first_bad_initializer(model: onnx.ModelProto) -> str | None:
    """Name of the first floating initializer with a value that is not finite, or None."""
    floating = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    for tensor in model.graph.initializer:
        if tensor.data_type in floating and not np.isfinite(onnx.numpy_helper.to_array(tensor)).all():
            return tensor.name
    return None


def set_metadata(model: onnx.ModelProto, metadata: dict[str, str]) -> None:
    """Replace the graph's metadata."""
    del model.metadata_props[:]
    for key, value in sorted(metadata.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def node_counts(model: onnx.ModelProto) -> Counter[str]:
    """Count the nodes of each operator."""
    return Counter(node.op_type for node in model.graph.node)


def run_cpu(
    model: onnx.ModelProto | bytes | str | Path, feeds: dict[str, np.ndarray], threads: int = 0
) -> dict[str, Any]:
    """Return all outputs of a graph for one batch, {name: array}, on ONNX Runtime's CPU provider."""
    session = cpu_session(model, threads)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def cpu_session(model: onnx.ModelProto | bytes | str | Path, threads: int = 0) -> Any:
    """Open an ONNX Runtime session on the CPU for a graph made by this exporter."""
    if isinstance(model, onnx.ModelProto):
        model = serialise(model)
    content = model if isinstance(model, bytes) else map_file(Path(model))
    return LocalSession(content, "the exported graph", "cpu", threads or None, {}).ort


def serialise(model: onnx.ModelProto) -> bytes:
    """Return the graph as bytes.

    Raises
    ------
    InputError
        The graph is larger than 2 GiB, the limit of a protobuf.
    """
    if model.ByteSize() >= 2**31:
        raise InputError(
            f"the graph would be {model.ByteSize() / 2**30:.1f} GiB and an ONNX file holds at most 2 GiB: "
            "choose a smaller model, or --precision fp16 for an encoder"
        )
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return buffer.getvalue()
