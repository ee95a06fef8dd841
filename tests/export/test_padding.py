"""Padding before a convolution is merged without changing results; other padding stays."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from inficond.export.graph import node_counts, run_cpu, to_onnx  # noqa: E402

PICTURES = np.random.default_rng(0).normal(size=(3, 3, 17, 22)).astype(np.float32)


class Padded(nn.Module):
    """A convolution of a padded map; with `used_twice`, the padded map has another consumer."""

    def __init__(self, margins, value=0.0, mode="constant", groups=1, own=0, used_twice=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=own, groups=groups)
        self.margins, self.value, self.mode, self.used_twice = margins, value, mode, used_twice

    def forward(self, x):
        if self.mode == "constant":
            padded = F.pad(x, self.margins, value=self.value)
        else:
            padded = F.pad(x, self.margins, mode=self.mode)
        y = self.conv(padded).mean(dim=(2, 3))
        return y + padded.amax(dim=(2, 3)).sum(dim=1, keepdim=True) if self.used_twice else y


def export(module):
    return to_onnx(module, [torch.from_numpy(PICTURES[:2])], ["pixels"], ["y"])


def assert_equal_outputs(module, graph):
    with torch.no_grad():
        wanted = module(torch.from_numpy(PICTURES)).numpy()
    np.testing.assert_allclose(run_cpu(graph, {"pixels": PICTURES})["y"], wanted, atol=1e-5)


@pytest.mark.parametrize("margins", [(0, 1, 0, 1), (1, 2, 3, 0), (2, 2, 2, 2)])
@pytest.mark.parametrize(("groups", "own"), [(1, 0), (3, 0), (1, 1)])
def test_zero_padding_is_merged_into_the_convolution(margins, groups, own):
    module = Padded(margins, groups=groups, own=own)
    graph = export(module)
    counts = node_counts(graph)
    assert (counts["Pad"], counts["Conv"]) == (0, 1)
    assert set(counts) <= {"Conv", "ReduceMean", "Constant"}, "the constants of the margins are removed too"
    assert_equal_outputs(module, graph)


@pytest.mark.parametrize(
    "other",
    [
        {"value": 0.5},
        {"mode": "reflect"},
        {"used_twice": True},
        {"margins": (0, -1, 0, 1)},
    ],
)
def test_padding_that_a_convolution_cannot_express_stays(other):
    module = Padded(**{"margins": (0, 1, 0, 1)} | other)
    graph = export(module)
    assert node_counts(graph)["Pad"] >= 1
    assert_equal_outputs(module, graph)
