"""What chance alone does to histograms, cumulative distributions and coverage curves."""

import numpy as np
from scipy import stats

__all__ = ["histogram_band", "pointwise_band", "simultaneous_band"]


def simultaneous_band(n: int, level: float = 0.95) -> float:
    """Half width of the band that holds a whole cumulative distribution of n uniform numbers.

    With probability `level` the empirical distribution of n uniform numbers nowhere leaves
    identity +- this number (the Kolmogorov-Smirnov distance).
    """
    return float(stats.kstwo.ppf(level, n))


def pointwise_band(
    n: int, probability: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Interval that holds a share of n trials at each probability taken alone.

    Arguments:
        n: number of objects.
        probability: what is expected, any shape.
        level: probability of the interval.
    """
    tail = (1 - level) / 2
    bounds = (stats.binom.ppf(q, n, probability) / n for q in (tail, 1 - tail))
    return tuple(np.clip(bound, 0, 1) for bound in bounds)


def histogram_band(n: int, bins: int, level: float = 0.95) -> tuple[float, float]:
    """Counts between which one bar of a flat histogram lies (each bar taken alone)."""
    low, high = pointwise_band(n, np.array(1 / bins), level)
    return float(low * n), float(high * n)
