"""Padding that only a convolution reads, moved into that convolution.

Torch pads evenly, so networks from TensorFlow ("same" padding: one more at the right and bottom) bring
padding as a node of its own. That copies the whole map and, on a CPU, makes the runtime leave its blocked
layout before and enter it again after; between 8-bit convolutions it is done in float32. ONNX convolutions
take four different margins.
"""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

_INNER = (0, 1, 4, 5)
"""Entries of `pads` that belong to the batch and channel axes of a picture's maps."""


def fold_padding(model: onnx.ModelProto) -> int:
    """Move zero padding of maps (B, C, H, W) into the convolutions that alone read it, in place.

    The function stays the same to the last bit: a convolution's own margins are zeros too.

    Parameters
    ----------
    model : onnx.ModelProto
        Opset 11 or later.

    Returns
    -------
    int
        Nodes folded.
    """
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    outputs = {o.name for o in graph.output}
    folded: list[int] = []
    for at, pad in enumerate(graph.node):
        if pad.op_type != "Pad" or pad.output[0] in outputs:
            continue
        margins = _zero_margins(model, pad, makers)
        readers = [node for node in graph.node if pad.output[0] in node.input]
        if margins is None or not readers or not all(_convolves(node, pad.output[0]) for node in readers):
            continue
        for conv in readers:
            _widen(conv, margins)
            conv.input[0] = pad.input[0]
        folded.append(at)
    for at in reversed(folded):
        del graph.node[at]
    if folded:
        _drop_unread(model)
    return len(folded)


def _zero_margins(
    model: onnx.ModelProto, pad: onnx.NodeProto, makers: dict[str, onnx.NodeProto]
) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right margin of a node that pads maps with constant zeros, else None."""
    mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
    if mode != b"constant" or (len(pad.input) > 3 and pad.input[3]):
        return None
    fill = constant_value(model, pad.input[2], makers) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
    pads = constant_value(model, pad.input[1], makers)
    if fill is None or fill.any() or pads is None or pads.size != 8:
        return None
    if pads[list(_INNER)].any() or (pads < 0).any():
        return None
    return int(pads[2]), int(pads[3]), int(pads[6]), int(pads[7])


def constant_value(model: onnx.ModelProto, name: str, makers: dict[str, onnx.NodeProto]) -> np.ndarray | None:
    """The value of a tensor that depends on no input of the graph, else None.

    Parameters
    ----------
    model : onnx.ModelProto
    name : str
        Of the tensor.
    makers : dict
        Each tensor's node.
    """
    stored = {t.name: t for t in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    used: list[onnx.TensorProto] = []
    seen, todo = set(), [name]
    while todo:
        tensor = todo.pop()
        if tensor in seen or not tensor:
            continue
        seen.add(tensor)
        if tensor in stored:
            used.append(stored[tensor])
        elif tensor in makers and not any(makers[tensor] is node for node in nodes):
            nodes.append(makers[tensor])
            todo += makers[tensor].input
        elif tensor not in makers:
            return None
    order = {id(node): i for i, node in enumerate(model.graph.node)}
    nodes.sort(key=lambda node: order[id(node)])
    wanted = helper.make_empty_tensor_value_info(name)
    part = helper.make_model(
        helper.make_graph(nodes, "constant", [], [wanted], used), opset_imports=model.opset_import
    )
    found: Any = ReferenceEvaluator(part).run(None, {})
    return np.asarray(found[0])


def _convolves(node: onnx.NodeProto, name: str) -> bool:
    automatic = next((a.s for a in node.attribute if a.name == "auto_pad"), b"NOTSET")
    if node.op_type != "Conv" or automatic != b"NOTSET":
        return False
    return node.input[0] == name and name not in node.input[1:]


def _widen(conv: onnx.NodeProto, margins: tuple[int, int, int, int]) -> None:
    """Add (top, left, bottom, right) to a convolution's own margins."""
    own = next((a for a in conv.attribute if a.name == "pads"), None)
    before = list(own.ints) if own is not None else [0, 0, 0, 0]
    if own is not None:
        conv.attribute.remove(own)
    conv.attribute.append(helper.make_attribute("pads", [a + b for a, b in zip(before, margins)]))


def _drop_unread(model: onnx.ModelProto) -> None:
    """Remove nodes and initializers whose results nobody reads any more."""
    graph = model.graph
    while True:
        read = Counter(name for node in graph.node for name in node.input)
        read.update(o.name for o in graph.output)
        idle = [i for i, node in enumerate(graph.node) if not any(read[name] for name in node.output)]
        if not idle:
            break
        for i in reversed(idle):
            del graph.node[i]
    for tensor in [t for t in graph.initializer if not read[t.name]]:
        graph.initializer.remove(tensor)
