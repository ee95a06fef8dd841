"""Merging of zero padding into the convolutions that follow it.

Torch pads evenly, so networks from TensorFlow ("same" padding: one more pixel at the right and bottom) have
separate padding nodes. Such a node copies the whole map; on a CPU, the runtime also converts to and from its
blocked layout around it, and between 8-bit convolutions it computes in float32. ONNX convolutions accept four
different margins.
"""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

_INNER = (0, 1, 4, 5)
"""Entries of `pads` of the batch and channel axes."""


def fold_padding(model: onnx.ModelProto) -> int:
    """Merge zero padding of maps (B, C, H, W) into the convolutions that follow it, in place.

    The results stay equal to the last bit, because a convolution pads with zeros too.

    Parameters
    ----------
    model : onnx.ModelProto
        Opset 11 or later.

    Returns
    -------
    int
        Number of padding nodes merged.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    outputs = {o.name for o in graph.output}
    folded: list[int] = []
    for at, pad in enumerate(graph.node):
        if pad.op_type != "Pad" or pad.output[0] in outputs:
            continue
        margins = _zero_margins(model, pad, producers)
        consumers = [node for node in graph.node if pad.output[0] in node.input]
        if margins is None or not consumers or not all(_convolves(node, pad.output[0]) for node in consumers):
            continue
        for conv in consumers:
            _widen(conv, margins)
            conv.input[0] = pad.input[0]
        folded.append(at)
    for at in reversed(folded):
        del graph.node[at]
    if folded:
        _drop_unused(model)
    return len(folded)


def _zero_margins(
    model: onnx.ModelProto, pad: onnx.NodeProto, producers: dict[str, onnx.NodeProto]
) -> tuple[int, int, int, int] | None:
    """Return the top, left, bottom and right margin of a node that pads maps with zeros, else None."""
    mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
    if mode != b"constant" or (len(pad.input) > 3 and pad.input[3]):
        return None
    fill = (
        constant_value(model, pad.input[2], producers) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
    )
    pads = constant_value(model, pad.input[1], producers)
    if fill is None or fill.any() or pads is None or pads.size != 8:
        return None
    if pads[list(_INNER)].any() or (pads < 0).any():
        return None
    return int(pads[2]), int(pads[3]), int(pads[6]), int(pads[7])


def constant_value(
    model: onnx.ModelProto, name: str, producers: dict[str, onnx.NodeProto]
) -> np.ndarray | None:
    """Return the value of a tensor that does not depend on the graph's inputs, else None.

    Parameters
    ----------
    model : onnx.ModelProto
    name : str
        Of the tensor.
    producers : dict
        The node that computes each tensor.
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
        elif tensor in producers and not any(producers[tensor] is node for node in nodes):
            nodes.append(producers[tensor])
            todo += producers[tensor].input
        elif tensor not in producers:
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
    """Add (top, left, bottom, right) to a convolution's margins."""
    own = next((a for a in conv.attribute if a.name == "pads"), None)
    before = list(own.ints) if own is not None else [0, 0, 0, 0]
    if own is not None:
        conv.attribute.remove(own)
    conv.attribute.append(helper.make_attribute("pads", [a + b for a, b in zip(before, margins)]))


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and initializers that are not used any more."""
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
