"""What `vectors` and `columns` write out for LLVM, in loops that any numba compiles.

They give the same bytes: the order of every sum is kept, so no product depends on which of the two
made it. They take longer (benchmarks/sums_speed.py). Arguments are as there.
"""

from collections.abc import Callable

import numpy as np

from hpcsbi.kernels.arithmetic import BLOCK, DRAWS, LANES, STEPS, compiled

__all__ = ["add_products", "inner", "product", "subtract_products", "transpose", "weighted_sums"]

PLACES, MANTISSA, ONE = 52, (1 << 52) - 1, 0x3FF0000000000000  # bits of a float64; those of 1.0


@compiled
def inner(a: np.ndarray, b: np.ndarray) -> float:
    """See `vectors.inner`."""
    totals = np.zeros(LANES)
    for start in range(0, len(a), LANES):
        for lane in range(LANES):
            totals[lane] += np.float64(a[start + lane]) * np.float64(b[start + lane])
    width = LANES
    while width > 1:
        width //= 2
        for lane in range(width):
            totals[lane] += totals[lane + width]
    return totals[0]


@compiled
def product(values: np.ndarray, power: np.ndarray) -> float:
    """See `vectors.product`."""
    products, powers, odd = np.ones(LANES), 0, np.int64(0)
    for start in range(0, len(values), BLOCK):
        for lane in range(LANES):
            value = products[lane]
            for step in range(STEPS):
                value *= np.float64(values[start + step * LANES + lane])
            bits = np.float64(value).view(np.int64)
            odd |= bits | (bits + np.int64(1 << PLACES))
            powers += (bits >> np.int64(PLACES)) - np.int64(ONE >> PLACES)
            products[lane] = np.int64((bits & np.int64(MANTISSA)) | np.int64(ONE)).view(np.float64)
    power[0] = np.inf if odd < 0 else powers
    width = LANES
    while width > 1:
        width //= 2
        for lane in range(width):
            products[lane] *= products[lane + width]
    return products[0]


def weighted_sums(rows: int, rectified: bool) -> Callable:
    """See `columns.weighted_sums`."""

    @compiled
    def summed(weights: np.ndarray, x: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
        for u in range(rows):
            for s in range(DRAWS):
                out[u, s] = bias[u]
        for k in range(len(weights)):
            for u in range(rows):
                for s in range(DRAWS):
                    out[u, s] += weights[k, u] * x[k, s]
        for u in range(rows):
            for s in range(DRAWS):
                if rectified and out[u, s] < np.float32(0):
                    out[u, s] = np.float32(0)

    return summed


@compiled
def add_products(
    left: np.ndarray, right: np.ndarray, x: np.ndarray, n: int, out: np.ndarray
) -> None:
    """See `columns.add_products`."""
    for k in range(n):
        factor = left[k] * right[k]
        for s in range(DRAWS):
            out[s] += factor * x[k, s]


@compiled
def subtract_products(a: np.ndarray, b: np.ndarray, n: int, out: np.ndarray) -> None:
    """See `columns.subtract_products`."""
    for k in range(n):
        for s in range(DRAWS):
            out[s] -= a[k, s] * b[k, s]


@compiled
def transpose(rows: np.ndarray, begin: int, out: np.ndarray) -> None:
    """See `columns.transpose`."""
    for p in range(LANES):
        for s in range(DRAWS):
            out[p, s] = rows[s, begin + p]
