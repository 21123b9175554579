"""Two Monte Carlo estimates of the same posteriors: do they differ by more than their draws do?

Two sets of n independent draws of one posterior have other quantiles: the level that a quantile of
one has in the other scatters by sqrt(p (1 - p)) sqrt(2 / n), whatever the shape of the posterior. A
difference in units of its error, a pull, is of order one whatever the machine, and less where both
began with the same random numbers; another spectrum or another flow moves a posterior by its width,
which is a pull of sqrt(n / 2).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

__all__ = ["FEW", "PullSummary", "level_pulls", "nearly_equal", "pulls", "summary_of_pulls"]

LARGEST = 6.0  # of a single pull; 4.5 is the largest of 16 000 of independent draws
EXCESS = 1.5  # of the mean square of pulls over one: effective numbers are known to tens of percent
ALARM = 1e-4  # that chance alone passes the limit of a column
FEW = 0.05  # share of the objects that may be far off where chaos is allowed
ROUNDING = 1e-6  # relative: some last bits of float32


@dataclass(frozen=True)
class PullSummary:
    """What the pulls of one column say.

    Arguments:
        count: objects that both have.
        largest: pull farthest from zero, its absolute value; inf where one alone has a number.
        mean_square: of the pulls, about 1 for independent draws; those beyond LARGEST count as it.
        far: objects beyond LARGEST, bool, shape (objects,).
        agrees: neither single pulls nor their mean square are beyond their limits.
    """

    count: int
    largest: float
    mean_square: float
    far: np.ndarray
    agrees: bool


def level_pulls(
    first: np.ndarray, second: np.ndarray, levels: np.ndarray, numbers: tuple
) -> np.ndarray:
    """Pulls of quantiles by the levels that they have in each other's distribution.

    Of the two, the level of the second in the first and of the first in the second, the nearer one
    counts: between quantiles a distribution is known by the normal scores of its neighbours alone.
    A quantile that lies in an empty gap between two modes may move through all of it by chance.

    Arguments:
        first, second: quantiles, NaN where there are none, shape (levels, objects).
        levels: ascending, between 0 and 1.
        numbers: of draws behind each of the two, effective ones where they have weights, two of
            shape (objects,).

    Returns:
        shape (levels, objects); NaN where both lack, inf where one does.

    References:
        Stuart & Ord 1994, Kendall's Advanced Theory of Statistics 1, section 10.10.

    Example:
        >>> levels = np.array([0.16, 0.5, 0.84])
        >>> normal = norm.ppf(levels)[:, None]
        >>> level_pulls(normal, normal + 0.1, levels, (np.array([200]), np.array([200]))).round(1)
        array([[0.6],
               [0.8],
               [0.6]])
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    levels = np.asarray(levels, float)[:, None]
    off = [_levels_of(second, first, levels) - levels, levels - _levels_of(first, second, levels)]
    nearer = np.where(np.abs(off[0]) < np.abs(off[1]), *off)
    inverse = sum(1 / np.maximum(np.asarray(number, float), 1.0) for number in numbers)
    size = np.where(
        nearly_equal(first, second), 0.0, nearer / np.sqrt(levels * (1 - levels) * inverse)
    )
    return np.where(np.isnan(first) != np.isnan(second), np.inf, size)


def pulls(first: np.ndarray, second: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Differences of two estimates in units of their standard error, any shape.

    Arguments:
        first, second: estimates, NaN where one lacks.
        errors: of the difference, NaN where not known.

    Returns:
        NaN where both lack or no error is known, inf where one lacks.

    Example:
        >>> pulls(np.array([1.0, np.nan, np.nan]), np.array([0.5, np.nan, 1.0]), np.ones(3))
        array([0.5, nan, inf])
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.where(nearly_equal(first, second), 0.0, (first - second) / errors)
    return np.where(np.isnan(first) != np.isnan(second), np.inf, size)


def nearly_equal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """True where two numbers differ by some last bits of float32 at most; NaN is equal to none."""
    largest = np.maximum(np.abs(first), np.abs(second))
    with np.errstate(invalid="ignore"):
        return (first == second) | (np.abs(first - second) <= ROUNDING * largest)


def summary_of_pulls(size: np.ndarray, strict: np.ndarray, columns: int) -> PullSummary:
    """Judge the pulls of one column.

    Arguments:
        size: pulls of independent objects, NaN where nothing is compared, shape (objects,).
        strict: objects of which none may be far off; of the others FEW, at least one, bool, shape
            (objects,).
        columns: number of columns that are judged together.
    """
    known = ~np.isnan(size)
    absolute, count = np.abs(size[known]), int(known.sum())
    if not count:
        return PullSummary(0, 0.0, 0.0, np.zeros(len(size), bool), True)
    far = np.abs(np.where(known, size, 0.0)) > LARGEST
    mean_square = float((np.minimum(absolute, LARGEST) ** 2).mean())
    limit = EXCESS * chi2.isf(ALARM / columns, count) / count
    few = (far & ~strict).sum() <= max(int(FEW * count), 1)
    agrees = few and not (far & strict).any() and mean_square <= limit
    return PullSummary(count, float(absolute.max()), mean_square, far, bool(agrees))


def _levels_of(values: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Levels that values have in a distribution of which some quantiles are known.

    Arguments:
        values, quantiles: shape (levels, objects).
        levels: of the quantiles, shape (levels, 1).
    """
    scores, at = norm.ppf(levels), np.arange(values.shape[1])
    below = (values[:, None] > quantiles).sum(1)
    segment = np.clip(below - 1, 0, len(levels) - 2)
    start, end = quantiles[segment, at], quantiles[segment + 1, at]
    lower, upper = scores[segment, 0], scores[segment + 1, 0]
    with np.errstate(invalid="ignore", divide="ignore"):  # quantiles may be one and the same
        share = (values - start) / (end - start)
    share = np.where(values == start, 0.0, share)
    return norm.cdf(lower + share * (upper - lower))
