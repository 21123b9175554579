"""What is written out for LLVM and the plain loops beside it give the same bytes."""

import numpy as np
import pytest

from hpcsbi.kernels import plain, vectors
from hpcsbi.kernels.arithmetic import BLOCK, LANES, compiled


def called(function):
    """A way to call what only compiled code can."""
    return compiled(lambda a, b: function(a, b))


INNER = [called(module.inner) for module in (vectors, plain)]
PRODUCT = [called(module.product) for module in (vectors, plain)]


@pytest.mark.parametrize("n", [LANES, 5 * LANES, 63 * LANES])
@pytest.mark.parametrize("seed", range(3))
def test_inner_products_are_equal_to_the_last_bit(n, seed):
    """And near those of numpy, which adds in another order."""
    a, b = np.random.default_rng(seed).normal(size=(2, n)).astype(np.float32)
    written, looped = (function(a, b) for function in INNER)

    assert written == looped
    assert np.isclose(looped, a.astype(float) @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        np.full(BLOCK, 1.0), np.full(7 * BLOCK, 3e38), np.full(7 * BLOCK, 1e-44),
        np.geomspace(1e-30, 1e38, 3 * BLOCK), np.r_[np.ones(BLOCK - 1), np.inf],
        np.r_[np.nan, np.ones(BLOCK - 1)], np.r_[-np.nan, np.ones(BLOCK - 1)],
    ],
)  # fmt: skip
def test_products_are_equal_to_the_last_bit(values):
    """On ordinary, huge, tiny and broken numbers; power and mantissa."""
    values, powers = values.astype(np.float32), np.zeros((2, 1))
    mantissas = [f(values, power) for f, power in zip(PRODUCT, powers, strict=True)]

    assert powers[0] == powers[1]
    assert np.isfinite(powers[0]) == np.isfinite(values).all()
    if np.isfinite(powers[0]):
        assert mantissas[0] == mantissas[1]
        total = np.log(mantissas[1]) + powers[1, 0] * np.log(2)
        assert np.isclose(total, np.log(values.astype(float)).sum(), rtol=1e-9)
