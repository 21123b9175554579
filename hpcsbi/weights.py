"""How much importance weights are worth: effective size and the shape of their tail."""

import numpy as np
from scipy.special import logsumexp

__all__ = ["effective_sample_size", "pareto_k"]


def effective_sample_size(log_weights: np.ndarray) -> np.ndarray:
    """Number of equal weights that are worth as much, (sum w)^2 / sum w^2, shape (...).

    Arguments:
        log_weights: unnormalised, shape (..., n); -inf counts as weight zero.
    """
    one, two = logsumexp(log_weights, axis=-1), logsumexp(2 * np.asarray(log_weights), axis=-1)
    return np.where(np.isfinite(one), np.exp(2 * np.where(np.isfinite(one), one, 0) - two), 0.0)


def pareto_k(log_weights: np.ndarray) -> float:
    """Shape of the tail of importance weights; below 0.7 their averages can be trusted.

    Arguments:
        log_weights: unnormalised, shape (n,); -inf counts as weight zero.

    Returns:
        Shape k of the generalised Pareto distribution of the largest weights; inf where fewer
        than 5 weights are in the tail, -inf where the tail is flat.

    References:
        Vehtari et al. 2024, arXiv:1507.02646, section 3; fit of Zhang & Stephens 2009,
        Technometrics 51, 316.
    """
    ordered = np.sort(np.asarray(log_weights, dtype=float))
    n = len(ordered)
    tail = int(min(0.2 * n, 3 * np.sqrt(n)))
    if tail < 5 or not np.isfinite(ordered[-tail - 1]):
        return np.inf
    cut = np.exp(ordered[-tail - 1] - ordered[-1])
    excess = np.exp(ordered[-tail:] - ordered[-1]) - cut
    if excess[-1] <= 0:
        return -np.inf
    # The prior of the paper, ten tail weights worth at k = 1/2, steadies short tails.
    return float((tail * _pareto_shape(np.maximum(excess, 0)) + 10 * 0.5) / (tail + 10))


def _pareto_shape(excess: np.ndarray) -> float:
    """Posterior mean of the shape of a generalised Pareto sample, sorted, above 0."""
    n = len(excess)
    size = 30 + int(np.sqrt(n))
    quartile = max(excess[int(n / 4 + 0.5) - 1], 1e-12 * excess[-1])
    step = 1 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    slope = 1 / excess[-1] + step / (3 * quartile)
    shape = np.log1p(-slope[:, None] * excess).mean(axis=1)
    log_likelihood = n * (np.log(-slope / shape) - shape - 1)
    mean = np.sum(slope * np.exp(log_likelihood - logsumexp(log_likelihood)))
    return float(np.log1p(-mean * excess).mean())
