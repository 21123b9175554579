"""Sums of many draws written out for LLVM, and the plain loops beside them: the same bytes."""

import numpy as np
import pytest

from hpcsbi.kernels import columns, plain
from hpcsbi.kernels.arithmetic import DRAWS, LANES, compiled


def called(function):
    """A way to call what only compiled code can."""

    @compiled
    def filled(weights, x, bias, out):
        function(weights, x, bias, out)

    return filled


@pytest.mark.parametrize("rows, rectified", [(4, True), (2, False)])
@pytest.mark.parametrize("terms", [0, 1, 3, 64])
def test_weighted_sums_are_equal_to_the_last_bit(rows, rectified, terms):
    """And are the matrix product."""
    rng = np.random.default_rng(terms)
    weights = rng.normal(size=(terms, rows)).astype(np.float32)
    x = rng.normal(size=(max(terms, 1), DRAWS)).astype(np.float32)
    bias, out = rng.normal(size=rows).astype(np.float32), np.empty((2, rows, DRAWS), np.float32)
    for module, sums in zip((columns, plain), out, strict=True):
        called(module.weighted_sums(rows, rectified))(weights, x, bias, sums)
    right = bias[:, None] + weights.T.astype(float) @ x[:terms]

    assert np.array_equal(*out)
    assert np.allclose(out[0], right.clip(0) if rectified else right, atol=1e-4)


def of_draws(module):
    """Its functions of DRAWS columns, as compiled code calls them."""
    added, subtracted, turned = module.add_products, module.subtract_products, module.transpose

    @compiled
    def add(left, right, x, n, out):
        added(left, right, x, n, out)

    @compiled
    def subtract(a, b, n, out):
        subtracted(a, b, n, out)

    @compiled
    def transpose(rows, begin, out):
        turned(rows, begin, out)

    return add, subtract, transpose


@pytest.mark.parametrize("n", [0, 1, 3, 40])
def test_sums_of_products_are_equal_to_the_last_bit(n):
    """Added and subtracted, of numbers or of draws; what they start from stays in them."""
    rng = np.random.default_rng(n)
    left, right = rng.normal(size=(2, n + 1))
    x, y, start = (
        rng.normal(size=(n + 1, DRAWS)),
        rng.normal(size=(n + 1, DRAWS)),
        rng.random(DRAWS),
    )
    added, taken = np.stack([start, start]), np.stack([start, start])
    for module, sums, rest in zip((columns, plain), added, taken, strict=True):
        add, subtract, _ = of_draws(module)
        add(left, right, x, n, sums)
        subtract(x, y, n, rest)

    assert np.array_equal(*added) and np.array_equal(*taken)
    assert np.allclose(added[0], start + (left * right)[:n] @ x[:n], atol=1e-12)
    assert np.allclose(taken[0], start - (x * y)[:n].sum(0), atol=1e-12)


@pytest.mark.parametrize("begin", [0, LANES, 3])
def test_rows_are_turned_to_columns(begin):
    """As numpy does it."""
    rows = np.random.default_rng(begin).normal(size=(DRAWS, 3 * LANES)).astype(np.float32)
    out = np.empty((2, LANES, DRAWS))
    for module, turned in zip((columns, plain), out, strict=True):
        of_draws(module)[2](rows, begin, turned)

    assert np.array_equal(*out)
    assert np.array_equal(out[0], rows[:, begin : begin + LANES].T)
