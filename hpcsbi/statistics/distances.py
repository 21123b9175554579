"""How far apart two sets of draws are: Wasserstein distances, widths, and a classifier that looks.

Everything is in `Prior.coordinates`, and in units of the set that serves as the yardstick.
"""

import warnings
from itertools import pairwise

import numpy as np
from scipy.stats import wasserstein_distance
from threadpoolctl import threadpool_limits

from hpcsbi.statistics.importance_weights import weighted_quantiles

__all__ = ["c2st", "folds", "wasserstein", "width_ratio"]

FOLDS = 5
FARTHEST = 8.0  # sd: the classifier sees no difference beyond
HIDDEN, ITERATIONS, DECAY = 16, 60, 1.0  # of the classifier: 0.15 CPU s for 1000 against 1000


def wasserstein(
    yardstick: np.ndarray, draws: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """One-dimensional Wasserstein distance of each column in sd of the yardstick, shape (n_theta,).

    A shift by s sd gives s. Two sets of n draws of one distribution give about 0.8 sqrt(2 / n).

    Arguments:
        yardstick: shape (n, n_theta).
        draws: shape (m, n_theta).
        weights: of the draws, shape (m,); equal by default.

    Raises:
        ValueError: no draws, or no weight above zero.
    """
    some = slice(None) if weights is None else weights > 0
    weights = None if weights is None else weights[some]
    distances = [
        wasserstein_distance(reference, drawn, v_weights=weights)
        for reference, drawn in zip(yardstick.T, draws[some].T, strict=True)
    ]
    return np.array(distances) / yardstick.std(0)


def width_ratio(
    yardstick: np.ndarray, draws: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Width from the 16 to the 84 % quantile over that of the yardstick, shape (n_theta,).

    Arguments:
        yardstick, draws, weights: see `wasserstein`.
    """
    equal = np.full(len(draws), 1 / len(draws))
    low, high = weighted_quantiles(draws, equal if weights is None else weights, [0.16, 0.84])
    return (high - low) / np.subtract(*np.quantile(yardstick, [0.84, 0.16], axis=0))


def c2st(yardstick: np.ndarray, draws: np.ndarray, seed: int = 0) -> float:
    """Accuracy of a classifier that tells two sets of draws apart, on draws that it has not seen.

    0.5: it cannot; a shift by s sd in one direction gives at best Phi(s / 2). Draws may repeat, and
    neighbours may resemble each other, as those of a chain do: see `folds`.

    Arguments:
        yardstick, draws: equally weighted, as many of each, shape (n, n_theta).
        seed: of the classifier's first weights.

    References:
        Lopez-Paz & Oquab 2017, ICLR (classifier two-sample tests).
    """
    from sklearn.exceptions import ConvergenceWarning  # half a CPU second, and only fit needs it
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.neural_network import MLPClassifier

    both = _whitened(np.concatenate([yardstick, draws]), yardstick)
    label = np.repeat([0, 1], [len(yardstick), len(draws)])
    network = MLPClassifier(
        (HIDDEN,), solver="lbfgs", alpha=DECAY, max_iter=ITERATIONS, random_state=seed
    )
    parts = PredefinedSplit(folds(yardstick, draws))
    with threadpool_limits(1), warnings.catch_warnings():  # more threads: other bits
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float((cross_val_predict(network, both, label, cv=parts) == label).mean())


def folds(*sets: np.ndarray) -> np.ndarray:
    """Number of the part that each row of several sets is tested in, in order, shape (all rows,).

    The parts are pieces of each set in its order, so that the correlated neighbours of a chain's
    draw are tested with it, and all repeats of a row are tested together: no classifier is tested
    on what it has learnt by heart.

    Arguments:
        sets: draws, shape (n, n_theta) each.
    """
    rows = np.concatenate(sets)
    _, first, which, repeats = np.unique(
        rows, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    part, starts = np.empty(len(first), int), np.cumsum([0, *map(len, sets)])
    for low, high in pairwise(starts):
        members = np.flatnonzero((first >= low) & (first < high))
        members = members[np.argsort(first[members])]
        before = np.cumsum(repeats[members]) - repeats[members]
        part[members] = before * FOLDS // max(repeats[members].sum(), 1)
    return part[which.ravel()]


def _whitened(draws: np.ndarray, yardstick: np.ndarray) -> np.ndarray:
    """Draws in units in which the yardstick has mean 0 and covariance 1: no direction is thin."""
    spread = np.cov(yardstick.T) + 1e-12 * np.eye(yardstick.shape[1])
    off = np.linalg.solve(np.linalg.cholesky(spread), (draws - yardstick.mean(0)).T).T
    return off.clip(-FARTHEST, FARTHEST)
