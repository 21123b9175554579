"""Are posteriors right: ranks, joint ranks, coverage, TARP, chi and the score.

Every test here rests on one fact: if the posterior is right, the truth is one more draw from it,
so the share of draws below the truth is uniform. Objects may have different numbers of draws;
`n_samples` is that number, one for all or one for each object, and draws beyond it are NaN.
"""

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
from scipy import stats

from hpcsbi.errors import BadInput

__all__ = [
    "LEVELS",
    "central_coverage",
    "chi",
    "joint_names",
    "joint_ranks",
    "ks_p_values",
    "rank_fractions",
    "sbc_ranks",
    "score",
    "tarp_coverage",
    "tarp_fractions",
]

LEVELS = (0.5, 0.68, 0.9, 0.95)


def sbc_ranks(
    theta: np.ndarray,
    samples: np.ndarray,
    n_samples: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Count the posterior draws that lie below the parameters that made each spectrum.

    Arguments:
        theta: true parameters, shape (n_spectra, n_theta).
        samples: posterior draws of each spectrum, shape (n_spectra, n, n_theta).
        n_samples: draws that count, the first ones of each spectrum, shape (n_spectra,);
            all of them by default.
        seed: breaks ties, as of a line that is absent from truth and draws.

    Returns:
        Ranks between 0 and n_samples, int32, shape (n_spectra, n_theta).

    Raises:
        ValueError: shapes that do not fit, or a draw that counts and is not finite.

    References:
        Talts et al. 2018, arXiv:1804.06788, algorithm 1.

    Example:
        >>> sbc_ranks(np.array([[0.5]]), np.array([[[0.1], [0.2], [0.9]]]))
        array([[2]], dtype=int32)
    """
    counts = _counted(theta, samples, n_samples)[..., None]
    below = ((samples < theta[:, None]) & counts).sum(axis=1)
    ties = ((samples == theta[:, None]) & counts).sum(axis=1)
    return (below + np.random.default_rng(seed).integers(0, ties + 1)).astype(np.int32)


def joint_names(names: Sequence[str]) -> list[str]:
    """What each column of `joint_ranks` looks at: pairs, then one parameter against a square."""
    return [f"{a} x {b}" for a, b in combinations(names, 2)] + [
        f"{a}^2 x {b}" for a, b in permutations(names, 2)
    ]


def joint_ranks(
    theta: np.ndarray,
    samples: np.ndarray,
    n_samples: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Ranks of the truth among draws in products of parameters: what single ranks cannot see.

    With z, parameters less the mean over the width of draws *and* truth (so that under a right
    posterior they cannot be told apart), z_i z_j sees a wrong correlation or a wrong width in any
    direction, and (z_i^2 - 1) z_j a wrong curvature. benchmarks/verdict_power.py has the power.

    Arguments:
        theta: truths in the prior's coordinates, shape (n_spectra, n_theta).
        samples: draws in the same coordinates, shape (n_spectra, n, n_theta).
        n_samples: draws that count, shape (n_spectra,); all of them by default.
        seed: breaks ties, of which there are many where two or three draws are all.

    Returns:
        Ranks between 0 and n_samples, int32, shape (n_spectra, len(joint_names)).
    """
    counts = np.column_stack([np.ones(len(theta), bool), _counted(theta, samples, n_samples)])
    pool = np.concatenate([np.asarray(theta)[:, None], samples], 1)
    pool = np.where(counts[..., None], pool, np.nan)
    z = pool - np.nanmean(pool, 1, keepdims=True)
    width = np.sqrt(np.nanmean(z**2, 1, keepdims=True))
    z = np.moveaxis(z / np.where(width > 0, width, 1.0), -1, 0)
    products = [a * b for a, b in combinations(z, 2)]
    products += [(a**2 - 1) * b for a, b in permutations(z, 2)]
    rng, ranks = np.random.default_rng(seed), np.empty((len(theta), len(products)), np.int32)
    for i, product in enumerate(products):
        below, ties = product[:, 1:] < product[:, :1], product[:, 1:] == product[:, :1]
        ranks[:, i] = below.sum(1) + rng.integers(0, ties.sum(1) + 1)
    return ranks


def score(log_prob: np.ndarray) -> tuple[float, float]:
    """Mean log density of the truth and its standard error: the score of a flow, everywhere.

    The density is that of `Posterior.log_prob`, in `Prior.coordinates`, not renormalised, so that
    mass outside the prior costs.

    Arguments:
        log_prob: shape (n_spectra,), NaN where a spectrum is of no use.
    """
    values = np.asarray(log_prob, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) < 2 or np.isinf(values).any():
        return float(values.mean()) if len(values) else np.nan, np.nan
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def rank_fractions(ranks: np.ndarray, n_samples: np.ndarray | int, seed: int = 0) -> np.ndarray:
    """Ranks as numbers between 0 and 1 that are exactly uniform when the posterior is right.

    A rank r of n draws stands for the interval from r / (n + 1) to (r + 1) / (n + 1); a random
    point of it has no ties and compares objects with different n.

    Arguments:
        ranks: shape (n_spectra,) or (n_spectra, n_theta).
        n_samples: draws of each spectrum, a number or shape (n_spectra,).
        seed: of the random points.

    Returns:
        Fractions, shape of `ranks`.

    Raises:
        ValueError: a rank below 0 or above its number of draws.
    """
    ranks = np.asarray(ranks)
    n = _per_row(n_samples, ranks)
    bad = (ranks < 0) | (ranks > n)
    if bad.any():
        row = np.argwhere(bad)[0][0]
        raise BadInput(
            f"rank {ranks[row]} of row {row} is not between 0 and its "
            f"{np.ravel(n[row])[0]} draws: were ranks and n_samples made together?"
        )
    return (ranks + np.random.default_rng(seed).random(ranks.shape)) / (n + 1)


def ks_p_values(ranks: np.ndarray, n_samples: np.ndarray | int, seed: int = 0) -> np.ndarray:
    """Kolmogorov-Smirnov p-value of uniform ranks for each column, shape (n_theta,).

    Arguments:
        ranks: shape (n_spectra, n_theta).
        n_samples: draws of each spectrum, a number or shape (n_spectra,).
        seed: of `rank_fractions`.
    """
    fractions = rank_fractions(ranks, n_samples, seed)
    return np.array([stats.kstest(column, "uniform").pvalue for column in fractions.T])


def central_coverage(
    ranks: np.ndarray,
    n_samples: np.ndarray | int,
    levels: Sequence[float] | np.ndarray = LEVELS,
    seed: int = 0,
) -> np.ndarray:
    """Share of truths inside the central credible interval of each level.

    Arguments:
        ranks: shape (n_spectra, n_theta).
        n_samples: draws of each spectrum, a number or shape (n_spectra,).
        levels: probabilities of the intervals, shape (n_levels,).
        seed: of `rank_fractions`.

    Returns:
        Coverage, shape (n_levels, n_theta); above its level: intervals too wide.
    """
    distance = 2 * np.abs(rank_fractions(ranks, n_samples, seed) - 0.5)
    return (distance[None] <= np.asarray(levels)[:, None, None]).mean(axis=1)


def tarp_fractions(
    theta: np.ndarray,
    samples: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
    n_samples: np.ndarray | None = None,
) -> np.ndarray:
    """Share of draws closer to a random point than the truth is: a test of the joint posterior.

    Arguments:
        theta: truths in the prior's coordinates, shape (n_spectra, n_theta).
        samples: draws in the same coordinates, shape (n_spectra, n, n_theta).
        low, high: the prior's box in these coordinates, shape (n_theta,); the random points are
            uniform in it and distances are in units of its widths.
        rng: makes the random points.
        n_samples: draws that count, shape (n_spectra,); all of them by default.

    Returns:
        Fractions, float32, shape (n_spectra,), NaN where there is no draw; uniform when the
        posterior is right.

    References:
        Lemos et al. 2023, arXiv:2302.03026, algorithm 2.
    """
    counts = _counted(theta, samples, n_samples)
    width = np.asarray(high) - np.asarray(low)
    points = rng.random(theta.shape)
    of_truth = (((theta - low) / width - points) ** 2).sum(-1)
    of_draws = (((samples - low) / width - points[:, None]) ** 2).sum(-1)
    closer = ((of_draws < of_truth[:, None]) & counts).sum(axis=1)
    n = counts.sum(axis=1)
    return np.where(n > 0, closer / np.maximum(n, 1), np.nan).astype(np.float32)


def tarp_coverage(tarp: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Expected coverage of the regions that TARP builds, shape (n_levels,); NaN rows are left out.

    Arguments:
        tarp: fractions of `tarp_fractions`, shape (n_spectra,).
        levels: credibility levels, shape (n_levels,).
    """
    tarp = np.sort(tarp[np.isfinite(tarp)])
    return np.searchsorted(tarp, levels, side="right") / max(len(tarp), 1)


def chi(theta: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Error of the posterior median in units of the half width, (p50 - truth) / ((p84 - p16) / 2).

    Arguments:
        theta: truths, shape (n_spectra, n_theta).
        quantiles: p16, p50, p84 in the last dimension, shape (n_spectra, n_theta, 3).

    Returns:
        Scores, shape (n_spectra, n_theta), NaN where the half width is not above 0.
    """
    p16, p50, p84 = np.moveaxis(np.asarray(quantiles, dtype=float), -1, 0)
    half = (p84 - p16) / 2
    return np.where(half > 0, (p50 - theta) / np.where(half > 0, half, 1), np.nan)


def _counted(theta: np.ndarray, samples: np.ndarray, n_samples: np.ndarray | None) -> np.ndarray:
    """True for the draws that count, shape (n_spectra, n), after checking them."""
    if np.ndim(samples) != 3 or np.shape(samples)[::2] != np.shape(theta):
        raise BadInput(
            f"samples of shape {np.shape(samples)} do not fit theta of shape {np.shape(theta)}: "
            "expected (n_spectra, n, n_theta) and (n_spectra, n_theta)."
        )
    n = samples.shape[1]
    last = np.broadcast_to(n if n_samples is None else n_samples, len(theta))
    counts = np.arange(n) < last[:, None]
    bad = (~np.isfinite(samples).all(-1) & counts).any(-1)
    if bad.any():
        raise BadInput(
            f"{bad.sum()} of {len(bad)} spectra have draws that are not finite (first: row "
            f"{bad.argmax()}): give the number of draws kept as n_samples, or drop these rows."
        )
    return counts


def _per_row(n_samples: np.ndarray | int, ranks: np.ndarray) -> np.ndarray:
    """n_samples in the shape of ranks."""
    n = np.asarray(n_samples)
    return np.broadcast_to(n[..., None] if n.ndim and ranks.ndim > 1 else n, ranks.shape)
