"""Importance weights: how much they are worth, their tail smoothed, averages and quantiles."""

import numpy as np
from scipy.special import logsumexp

__all__ = [
    "effective_sample_size",
    "flattened",
    "log_evidence",
    "normalised",
    "pareto_k",
    "pareto_smoothed",
    "systematic",
    "weighted_quantiles",
]

CHUNK = 256  # rows whose tails are fitted at once


def effective_sample_size(log_weights: np.ndarray) -> np.ndarray:
    """Number of equal weights that are worth as much, (sum w)^2 / sum w^2, shape (...).

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.
    """
    weights = normalised(log_weights)
    squares = (weights**2).sum(-1)
    return np.where(squares > 0, 1 / np.where(squares > 0, squares, 1), 0.0)


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Weights that add up to one, all zero where every weight is zero, shape (..., n).

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.
    """
    log_weights = np.asarray(log_weights, dtype=float)
    top = log_weights.max(-1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isfinite(top), top, 0.0))
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def flattened(log_weights: np.ndarray, least: int) -> np.ndarray:
    """Log weights times the largest power of 0.7 that leaves so many effective draws, shape (n,).

    Arguments:
        log_weights: unnormalised, shape (n,).
        least: effective draws; where even the flattest weights have fewer, these are returned.
    """
    powers = 0.7 ** np.arange(31)
    flatter = (power * log_weights for power in powers)
    enough = (w for w in flatter if effective_sample_size(w) >= least)
    return next(enough, powers[-1] * log_weights)


def log_evidence(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the mean weight and its standard error, shapes (...).

    Arguments:
        log_weights: target over normalised proposal, shape (..., n); -inf counts as weight zero.

    Returns:
        -inf and inf where every weight is zero.
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
        where fewer than 5 weights are in the tail, -inf where the tail is flat.

    References:
        Vehtari et al. 2024, arXiv:1507.02646, section 3; fit of Zhang & Stephens 2009,
        Technometrics 51, 316.
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
    rows = log_weights.reshape(-1, log_weights.shape[-1])
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
    tail = int(np.ceil(min(0.2 * n, 3 * np.sqrt(n))))
    if tail < 5:
        return smoothed, k
    order = np.argsort(rows, axis=1)[:, -tail - 1 :]
    ordered = np.take_along_axis(rows, order, 1)
    fits = np.isfinite(ordered[:, 0])
    excess = np.exp(ordered[fits] - ordered[fits, -1:])
    cut = excess[:, :1]
    excess = np.maximum(excess[:, 1:] - cut, 0)
    k[fits] = -np.inf
    curved = excess[:, -1] > 0
    shape, scale = _pareto_fit(excess[curved])
    # The prior of the paper, ten tail weights worth at k = 1/2, steadies short tails.
    shape = (tail * shape + 10 * 0.5) / (tail + 10)
    rows_curved = np.flatnonzero(fits)[curved]
    k[rows_curved] = shape
    below = -np.log1p(-(np.arange(tail) + 0.5) / tail)
    expected = cut[curved] + scale[:, None] * _expm1_over(shape[:, None], below)
    new = np.minimum(np.log(expected), 0) + ordered[rows_curved, -1:]
    smoothed[rows_curved[:, None], order[rows_curved, 1:]] = new
    return smoothed, k


def _expm1_over(k: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(exp(k x) - 1) / k, also at k = 0."""
    near = np.abs(k) < 1e-9
    return np.where(near, x, np.expm1(k * x) / np.where(near, 1, k))


def _pareto_fit(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale of generalised Pareto samples, sorted, above 0, shape (objects, n)."""
    n = excess.shape[1]
    size = 30 + int(np.sqrt(n))
    largest = excess[:, -1:]
    quartile = np.maximum(excess[:, [int(n / 4 + 0.5) - 1]], 1e-12 * largest)
    step = 1 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    slope = 1 / largest + step / (3 * quartile)
    shape = np.log1p(-slope[..., None] * excess[:, None]).mean(-1)
    log_likelihood = n * (np.log(-slope / shape) - shape - 1)
    mean = (slope * normalised(log_likelihood)).sum(-1)
    shape = np.log1p(-mean[:, None] * excess).mean(-1)
    return shape, -shape / mean
