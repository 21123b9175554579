"""Sums over nodes and populations are those of numpy."""

import numpy as np

from hpcsbi.kernels.gas import emit


def test_sums_are_those_of_numpy():
    """Also those of a NaN, which stays in its row."""
    rng = np.random.default_rng(0)
    n, populations, values = 7, 3, 5
    nodes = rng.normal(size=(10, 7, populations, values)).astype(np.float32)
    ionising = rng.random((n, populations), np.float32)
    weights = [rng.normal(size=(n, some)).astype(np.float32) for some in (2, 4)]
    firsts = rng.integers(0, 9, n), rng.integers(0, 4, n)
    weights[0][2, 1] = np.nan
    out = np.empty((n, values), np.float32)
    emit(ionising, firsts[0], weights[0], firsts[1], weights[1], nodes, out)

    for i in range(n):
        at = nodes[firsts[0][i] : firsts[0][i] + 2, firsts[1][i] : firsts[1][i] + 4].astype(float)
        expected = np.einsum("a,b,k,abkv->v", weights[0][i], weights[1][i], ionising[i], at)
        assert np.allclose(out[i], expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert np.isnan(out[2]).all() and np.isfinite(np.delete(out, 2, 0)).all()
