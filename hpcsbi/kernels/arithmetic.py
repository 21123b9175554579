"""How the loops of this package are compiled, and the arithmetic that several share.

The loops do what `ssp_table.Ssp` and `likelihood.Likelihood` say, in one pass over a draw with no
arrays between, in float32 and without gradients; benchmarks/likelihood_speed.py has the gain, the
tests of both have the error. Each states its domain, and gives NaN, inf or a bound outside of it,
never what lies beside an array.

The same bytes on every processor with fused multiply-add (x86-64 since 2013, AVX2 or AVX-512):
sums have an order of their own (`sums`), and the rest is pixel by pixel. A processor without it
rounds differently. The matrix products between these loops (the table's basis, the network) are
those of torch's library, which promises equal bytes only on one type of processor.
"""

from collections.abc import Callable

import numpy as np
from numba import config, njit

from hpcsbi.caches import kernels_folder

__all__ = [
    "BLOCK", "DRAWS", "LANES", "LN2", "LOG2E", "STEPS", "compiled", "exponentials",
    "padded_length", "small_exp",
]  # fmt: skip

LANES = 16  # sums that stand side by side, whatever the width of the processor's vectors
STEPS = 6  # products of so many float32 stay within float64
BLOCK = STEPS * LANES
DRAWS = 64  # worked on at once: all units of a transform stay in the second cache
LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453
KEPT = str(kernels_folder())


def compiled(function: Callable) -> Callable:
    """A function as machine code, made at its first call and kept for the next process."""
    before, config.CACHE_DIR = config.CACHE_DIR, KEPT
    try:
        return njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})(
            function
        )
    finally:
        config.CACHE_DIR = before


@compiled
def small_exp(u: np.float32) -> np.float32:
    """exp(u) to float32. Domain: |u| of at most ln(2) / 2; beyond it the series is just wrong."""
    e = np.float32(1 / 720) * u + np.float32(1 / 120)
    e = e * u + np.float32(1 / 24)
    e = e * u + np.float32(1 / 6)
    e = e * u + np.float32(0.5)
    return (e * u + np.float32(1)) * u + np.float32(1)


@compiled
def exponentials(x: np.ndarray, power: np.ndarray, out: np.ndarray) -> None:
    """exp(x), kept between 2^-126 and 2^126. Domain: any numbers; what is not finite gives NaN.

    Arguments:
        x: float32, shape (n,).
        power: room to work in, int32, shape (n,).
        out: filled, float32, shape (n,); may be `x` itself.
    """
    two = power.view(np.float32)
    for p in range(len(x)):  # exp(x) = 2^power 2^part
        odd = x[p] - x[p]
        y = min(max(x[p] * np.float32(LOG2E), np.float32(-126)), np.float32(126))
        whole = np.floor(y + np.float32(0.5))
        power[p] = (np.int32(whole) + 127) << 23
        out[p] = (y - whole) * np.float32(LN2) + odd
    for p in range(len(x)):
        out[p] = small_exp(out[p]) * two[p]


@compiled
def padded_length(n: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-n // step) * step
