"""Importance weights: how much they are worth, their tail smoothed, averages and quantiles.

Domain: any log weights. -inf is a weight of zero. Rows that hold NaN or +inf are not known: their
weights are all zero, their effective number too, their tail has k = inf.
"""

import math
from bisect import bisect_left

import numpy as np
from scipy.special import logsumexp

__all__ = [
    "FEWEST",
    "LARGEST_K",
    "effective_sample_size",
    "flattened",
    "log_evidence",
    "normalised",
    "pareto_k",
    "pareto_smoothed",
    "strong",
    "systematic",
    "weighted_quantiles",
]

LARGEST_K = 0.7
# Effective draws: p16, p50 and p84 are good to 0.1 standard deviations, p2.5 and p97.5 to 0.15.
FEWEST = 200
CHUNK = 256  # rows whose tails are fitted at once
FEWEST_IN_TAIL = 5
SMALLEST = float(np.log(np.finfo(float).tiny))  # a weight below it, over the largest, is none


def effective_sample_size(log_weights: np.ndarray) -> np.ndarray:
    """Number of equal weights that are worth as much, (sum w)^2 / sum w^2, shape (...).

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.
    """
    weights = normalised(log_weights)
    squares = (weights**2).sum(-1)
    return np.where(squares > 0, 1 / np.where(squares > 0, squares, 1), 0.0)


def strong(size: np.ndarray | float, k: np.ndarray | float) -> np.ndarray:
    """True where weights are good enough to stand for the posterior.

    Arguments:
        size: `effective_sample_size`.
        k: `pareto_k`.
    """
    return (np.asarray(size) >= FEWEST) & (np.asarray(k) < LARGEST_K)


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Weights that add up to one, all zero where none is known or above zero, shape (..., n).

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.
    """
    log_weights = np.asarray(log_weights, dtype=float)
    top = log_weights.max(-1, keepdims=True, initial=-np.inf)
    known = np.isfinite(top)
    weights = np.exp(np.where(known, log_weights, -np.inf) - np.where(known, top, 0.0))
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def flattened(log_weights: np.ndarray, least: int) -> np.ndarray:
    """Log weights times the largest power of 0.7 that leaves so many effective draws, shape (n,).

    Arguments:
        log_weights: unnormalised, shape (n,).
        least: effective draws; where even the flattest weights have fewer, these are returned.
    """
    powers = 0.7 ** np.arange(31)
    # The flatter the weights the more of them count, so that few powers are tried.
    first = bisect_left(powers, least, key=lambda power: effective_sample_size(power * log_weights))
    return powers[min(first, len(powers) - 1)] * log_weights


def log_evidence(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the mean weight and its standard error, shapes (...).

    Arguments:
        log_weights: target over normalised proposal, shape (..., n); -inf counts as weight zero.

    Returns:
        -inf and inf where every weight is zero or one is not known.
    """
    n = np.shape(log_weights)[-1]
    size = effective_sample_size(log_weights)
    some = size > 0
    total = logsumexp(np.where(some[..., None], log_weights, 0.0), axis=-1)
    variance = 1 / np.where(some, size, 1) - 1 / n
    error = np.sqrt(np.maximum(variance, 0))
    return np.where(some, total - np.log(n), -np.inf), np.where(some, error, np.inf)


def pareto_k(log_weights: np.ndarray) -> np.ndarray:
    """Shape of the tail of importance weights; below 0.7 their averages can be trusted.

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.

    Returns:
        Shape k of the generalised Pareto distribution of the largest weights, shape (...); inf
        where the tail has fewer than 5 weights above its cut (few draws, ties, one weight that is
        all) or fits no Pareto distribution.

    References:
        Vehtari et al. 2024, arXiv:1507.02646, section 3; fit of Zhang & Stephens 2009,
        Technometrics 51, 316. The numbers are those of `arviz.psislw` (0.22), which rounds the
        length of the tail up; arviz-stats 0.8 rounds it down and finds k near 0 where all weights
        but one underflow. benchmarks/psis.py compares.
    """
    return pareto_smoothed(log_weights)[1]


def pareto_smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log weights, the largest replaced by the expected order statistics of a fitted Pareto tail.

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.

    Returns:
        Smoothed log weights, none above the largest raw one, unchanged where there is no tail to
        fit, shape (..., n); the shape k, see `pareto_k`.

    References:
        Vehtari et al. 2024, arXiv:1507.02646, section 3.
    """
    log_weights = np.asarray(log_weights, dtype=float)
    rows = log_weights.reshape(math.prod(log_weights.shape[:-1]), log_weights.shape[-1])
    smoothed, k = rows.copy(), np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        smoothed[part], k[part] = _smoothed(rows[part])
    return smoothed.reshape(log_weights.shape), k.reshape(log_weights.shape[:-1])[()]


def weighted_quantiles(
    values: np.ndarray, weights: np.ndarray, levels: np.ndarray | list[float]
) -> np.ndarray:
    """Quantiles of weighted draws, linear between the middles of neighbouring weights.

    Arguments:
        values: shape (n, n_theta).
        weights: add up to one, shape (n,).
        levels: between 0 and 1, shape (n_levels,).

    Returns:
        shape (n_levels, n_theta), NaN where every weight is zero; draws without weight, which may
        be NaN, do not count.
    """
    some = weights > 0
    if not some.any():
        return np.full((len(levels), values.shape[1]), np.nan)
    values, weights = values[some], weights[some]
    order = np.argsort(values, axis=0)
    shares = weights[order]
    middles = shares.cumsum(0) - shares / 2
    ordered = np.take_along_axis(values, order, 0)
    columns = [np.interp(levels, middles[:, j], ordered[:, j]) for j in range(values.shape[1])]
    return np.stack(columns, axis=1)


def systematic(weights: np.ndarray, n: int, u: float) -> np.ndarray:
    """Indices of n equally weighted draws, each index as often as its weight within one.

    Arguments:
        weights: add up to one, shape (draws,).
        n: number of draws.
        u: a uniform random number in [0, 1).
    """
    places = np.searchsorted(weights.cumsum(), (np.arange(n) + u) / n, side="right")
    return np.minimum(places, np.flatnonzero(weights)[-1])


def _smoothed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `pareto_smoothed`; rows of shape (objects, n)."""
    objects, n = rows.shape
    k, smoothed = np.full(objects, np.inf), rows.copy()
    longest = int(np.ceil(min(0.2 * n, 3 * np.sqrt(n))))
    known = np.flatnonzero(np.isfinite(rows.max(1, initial=-np.inf)))  # a NaN is a maximum
    if longest < FEWEST_IN_TAIL or not len(known):
        return smoothed, k
    order = np.argsort(rows[known], axis=1)[:, -longest - 1 :]
    ordered = np.take_along_axis(rows[known], order, 1)
    top = ordered[:, -1]
    ordered = ordered - top[:, None]
    cut = np.maximum(ordered[:, 0], SMALLEST)
    # Weights equal to the cut are not above it, so ties make a tail shorter.
    lengths = (ordered > cut[:, None]).sum(1)
    for length in np.unique(lengths[lengths >= FEWEST_IN_TAIL]):
        some = lengths == length
        new, k[known[some]] = _smoothed_tail(ordered[some, -length:], cut[some])
        places = known[some][:, None], order[some, -length:]
        smoothed[places] = np.where(np.isfinite(new), new + top[some, None], rows[places])
    return smoothed, k


def _smoothed_tail(tail: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected order statistics of fitted tails and their shapes; NaN and inf where none fits.

    Arguments:
        tail: log weights of each tail relative to the largest, ascending, shape (objects, length).
        cut: log weight below each tail, shape (objects,).
    """
    length = tail.shape[1]
    floor = np.exp(cut)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shape, scale = _pareto_fit(np.exp(tail) - floor)
        # The prior of the paper, ten tail weights worth at k = 1/2, steadies short tails.
        shape = (length * shape + 10 * 0.5) / (length + 10)
        below = -np.log1p(-(np.arange(length) + 0.5) / length)
        expected = np.log(floor + scale[:, None] * _expm1_over(shape[:, None], below))
    fits = np.isfinite(shape) & (scale > 0)
    return np.where(fits[:, None], np.minimum(expected, 0), np.nan), np.where(fits, shape, np.inf)


def _expm1_over(k: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(exp(k x) - 1) / k, also at k = 0."""
    near = np.abs(k) < 1e-9
    return np.where(near, x, np.expm1(k * x) / np.where(near, 1, k))


def _pareto_fit(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale of generalised Pareto samples, sorted, above 0, shape (objects, n)."""
    n = excess.shape[1]
    size = 30 + int(np.sqrt(n))
    largest, quartile = excess[:, -1:], excess[:, [int(n / 4 + 0.5) - 1]]
    step = 1 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    slope = 1 / largest + step / (3 * quartile)
    shape = np.log1p(-slope[..., None] * excess[:, None]).mean(-1)
    share = normalised(n * (np.log(-slope / shape) - shape - 1))
    # A slope can be 1e300: its share, only rounding, must not decide the mean.
    share[share < 10 * np.finfo(float).eps] = 0
    mean = (slope * share).sum(-1) / share.sum(-1)
    shape = np.log1p(-mean[:, None] * excess).mean(-1)
    return shape, -shape / mean
