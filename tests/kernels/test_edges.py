"""Until when stars formed: sums over populations, as numpy's integrals have them."""

import numpy as np
import pytest
from scipy.integrate import quad

from hpcsbi.kernels.edges import formed_until

AGE = np.geomspace(1e-4, 20, 54, dtype=np.float32)
BINS = 3


def formed(edges, drop):
    shape = len(edges), 12
    index, share = np.empty(shape, np.int32), np.empty(shape, np.float32)
    arrays = (np.array(values, np.float32) for values in (edges, drop))
    formed_until(*arrays, AGE, index, share)
    return index, share


def test_each_edge_is_its_integral():
    """Mass until the age below, and of the two SSPs beyond it by hat functions in log age."""
    edges, drop = [[0.03, 0.7, 9.0]], [[2.0, -0.5, 1.5]]
    index, share = formed(edges, drop)

    for j, (edge, fall) in enumerate(zip(edges[0], drop[0], strict=True)):
        left = np.searchsorted(AGE, edge) - 1
        low, high = float(AGE[left]), float(AGE[left + 1])
        older, _ = quad(lambda t, a=low, b=high: np.log(t / a) / np.log(b / a), low, edge)
        parts = fall * np.array([low, edge - low - older, older])
        assert list(index[0, 3 * j : 3 * j + 3]) == [left, left + len(AGE), left + len(AGE) + 1]
        assert share[0, 3 * j : 3 * j + 3] == pytest.approx(parts, rel=1e-4, abs=1e-6)
    assert share[0, 3 * BINS :] == pytest.approx(0)
    assert share.sum() == pytest.approx(np.dot(edges[0], drop[0]), rel=1e-5)


@pytest.mark.parametrize("odd", [np.nan, -1.0, 0.0, 1e-30, 1e30, np.inf])
def test_no_edge_reads_beside_the_table(odd):
    """What is no age gives NaN, what lies beyond the ages their ends; other rows do not notice."""
    edges = np.tile([0.03, 0.7, 9.0], (3, 1))
    before = formed(edges, np.ones((3, BINS)))
    edges[1, 1] = odd
    index, share = formed(edges, np.ones((3, BINS)))

    assert ((index >= 0) & (index < 2 * len(AGE))).all()
    assert np.isnan(share[1]).all() == (not odd > 0)
    others = [0, 2]
    assert np.array_equal(index[others], before[0][others])
    assert np.array_equal(share[others], before[1][others])
