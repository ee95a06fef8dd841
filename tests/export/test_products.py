"""The 8-bit products of the benchmark equal the float32 product."""

import numpy as np
import pytest

from inficond.export.bench.products import FLOAT, INTEGER, product_forms
from inficond.export.graph import cpu_session


def test_every_form_multiplies_the_same_matrices() -> None:
    forms = {
        name: cpu_session(graph).run(None, {"x": x})[0]
        for name, (graph, x) in product_forms(20, 256, 40).items()
    }
    exact = forms.pop(FLOAT).astype(np.float64)
    sums = forms.pop(INTEGER)
    for name, found in forms.items():
        assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact), name
    # Integer results are in units of one scale per column.
    slopes = [np.polyfit(sums[:, c], exact[:, c], 1) for c in range(sums.shape[1])]
    fitted = np.stack([np.polyval(slope, sums[:, c]) for c, slope in enumerate(slopes)], 1)
    assert np.linalg.norm(fitted - exact) < 0.03 * np.linalg.norm(exact)
    assert [slope[1] for slope in slopes] == pytest.approx([0.0] * len(slopes), abs=0.02)
