"""Plain loops keep the order of their sums, and put powers of two aside."""

import math
from fractions import Fraction

import numpy as np
import pytest

from hpcsbi.kernels.arithmetic import BLOCK, DRAWS, LANES
from hpcsbi.kernels.plain import inner, product, weighted_sums


@pytest.mark.parametrize("n", [LANES, 7 * LANES, 63 * LANES])
def test_sums_have_the_order_that_is_told(n):
    """LANES sums side by side, then halves upon halves: numpy in that order has the same bits."""
    a, b = np.random.default_rng(n).normal(size=(2, n)).astype(np.float32).astype(float)
    lanes = np.zeros(LANES)
    for term in (a * b).reshape(-1, LANES):
        lanes += term
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]

    assert inner(a.astype(np.float32), b.astype(np.float32)) == lanes[0]


def test_another_order_has_other_bits():
    """Equality of bits is no accident of sums that are exact anyway."""
    draws = np.random.default_rng(0).normal(size=(200, 2, 63 * LANES)).astype(np.float32)
    sums = [(inner(a, b), inner(a[::-1].copy(), b[::-1].copy())) for a, b in draws]

    assert any(forward != backward for forward, backward in sums)


@pytest.mark.parametrize("low, high", [(-1, 1), (30, 38), (-38, -30)])
def test_a_product_that_float64_cannot_hold_is_exact(low, high):
    """Mantissa and power against fractions of whole numbers, which have no bounds."""
    values = 10 ** np.random.default_rng(0).uniform(low, high, 5 * BLOCK)
    values = values.astype(np.float32)
    power = np.zeros(1)
    mantissa = product(values, power)
    right = math.prod(Fraction(float(value)) for value in values)

    assert float(Fraction(mantissa) * Fraction(2) ** int(power[0]) / right) == pytest.approx(
        1, abs=1e-13
    )
    with np.errstate(over="ignore", under="ignore"):
        whole = np.prod(values.astype(float))
    assert (low == -1) == (0 < whole < np.inf)  # control: the plain product leaves float64


def test_rectified_sums_keep_what_is_no_number():
    """Negative sums become zero, NaN stays NaN; without rectification both stay."""
    bias = np.array([-1.0, 2.0, np.nan], np.float32)
    weights, x = np.zeros((1, 3), np.float32), np.zeros((1, DRAWS), np.float32)
    out = np.empty((2, 3, DRAWS), np.float32)
    for rectified, sums in zip((True, False), out, strict=True):
        weighted_sums(3, rectified)(weights, x, bias, sums)

    assert np.array_equal(out[:, :, 0], [[0, 2, np.nan], [-1, 2, np.nan]], equal_nan=True)
    assert np.array_equal(out, np.repeat(out[:, :, :1], DRAWS, 2), equal_nan=True)
