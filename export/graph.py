"""A torch module as an ONNX graph with a dynamic batch."""

import io
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
    """Export a module, weights inside, batch axis dynamic.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example : sequence of Tensor
        One example per input; its batch must be 2 or more, since a batch of 1 may be folded into the graph.
    inputs, outputs : sequence of str
        Names.
    dynamic : dict, optional
        Further dynamic axes: {input or output name: {axis: name}}.
    fused : bool
        Whether the module holds attention that leaves as one node (`attention.attend`).

    Returns
    -------
    onnx.ModelProto
        With zero padding inside the convolutions that read it (`fold_padding`).

    Raises
    ------
    InputError
        If torch cannot express the module in ONNX.
    """
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*inputs, *outputs)}
    for name, extra in (dynamic or {}).items():
        axes[name] = axes[name] | extra
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        # The tracer warns of every Python number it bakes in; sizes are fixed here on purpose.
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        try:
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
        except (RuntimeError, torch.onnx.errors.OnnxExporterError, ValueError, TypeError) as error:
            reason = str(error).strip().splitlines()[-1][:300]
            raise InputError(f"torch cannot express this model in ONNX: {reason}") from error
        model = onnx.load(str(path))
    model.producer_name = "inficond"
    fold_padding(model)
    bad = first_bad_initializer(model)
    if bad:
        raise InputError(f"the exported graph has NaN or infinite values in {bad}")
    return model


def first_bad_initializer(model: onnx.ModelProto) -> str | None:
    """Name of the first floating initializer with a value that is not finite, or None."""
    floating = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    for tensor in model.graph.initializer:
        if tensor.data_type in floating and not np.isfinite(onnx.numpy_helper.to_array(tensor)).all():
            return tensor.name
    return None


def set_metadata(model: onnx.ModelProto, metadata: dict[str, str]) -> None:
    """Replace the graph's metadata by `metadata`."""
    del model.metadata_props[:]
    for key, value in sorted(metadata.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def node_counts(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each operator the graph has."""
    return Counter(node.op_type for node in model.graph.node)


def run_cpu(
    model: onnx.ModelProto | bytes | str | Path, feeds: dict[str, np.ndarray], threads: int = 0
) -> dict[str, Any]:
    """All outputs of a graph for one batch, on ONNX Runtime's CPU provider; {name: array}."""
    session = cpu_session(model, threads)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def cpu_session(model: onnx.ModelProto | bytes | str | Path, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU for a graph that the exporter itself made."""
    from inficond.core.models.runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if isinstance(model, onnx.ModelProto):
        model = serialise(model)
    target: Any = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(target, options, providers=["CPUExecutionProvider"])


def serialise(model: onnx.ModelProto) -> bytes:
    """The graph as bytes.

    Raises
    ------
    InputError
        Above 2 GiB, which a protobuf cannot hold.
    """
    if model.ByteSize() >= 2**31:
        raise InputError(
            f"the graph would be {model.ByteSize() / 2**30:.1f} GiB and one ONNX file holds 2 GiB "
            "at most; try --precision fp16"
        )
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return buffer.getvalue()
