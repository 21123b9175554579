"""Are posteriors right: ranks, coverage, TARP and predictive p-values.

Every test here rests on one fact: if the posterior is right, the truth is one more draw from it,
so the share of draws below the truth is uniform. Objects may have different numbers of draws;
`n_samples` is that number, one for all or one for each object, and draws beyond it are NaN.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from hpcsbi.errors import BadInput

__all__ = [
    "LEVELS",
    "central_coverage",
    "chi",
    "ks_p_values",
    "rank_fractions",
    "sbc_ranks",
    "tarp_coverage",
    "tarp_fractions",
    "verdict",
]

LEVELS = (0.5, 0.68, 0.9, 0.95)
WITHOUT_DRAWS = 0.01  # share of objects without a single draw that a good flow stays below


def sbc_ranks(
    theta: np.ndarray, samples: np.ndarray, n_samples: np.ndarray | None = None
) -> np.ndarray:
    """Count the posterior draws that lie below the parameters that made each spectrum.

    Arguments:
        theta: true parameters, shape (n_spectra, n_theta).
        samples: posterior draws of each spectrum, shape (n_spectra, n, n_theta).
        n_samples: draws that count, the first ones of each spectrum, shape (n_spectra,);
            all of them by default.

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
    counts = _counted(theta, samples, n_samples)
    below = (samples < theta[:, None]) & counts[..., None]
    return below.sum(axis=1, dtype=np.int32)


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
        theta: truths in the coordinates in which the prior is flat, shape (n_spectra, n_theta).
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


def verdict(
    ranks: np.ndarray,
    n_samples: np.ndarray | int,
    tarp: np.ndarray,
    names: Sequence[str],
    alpha: float = 0.01,
) -> dict:
    """Pass or fail of a calibration, with the figures that decided it.

    It fails when a Kolmogorov-Smirnov p-value, one for each parameter and one for TARP, lies
    below alpha over their number: a right posterior fails with probability alpha at most.

    Arguments:
        ranks: shape (n_spectra, n_theta).
        n_samples: draws of each spectrum, a number or shape (n_spectra,).
        tarp: fractions of `tarp_fractions`, shape (n_spectra,).
        names: parameters, in the order of the columns.
        alpha: probability to fail a right posterior.

    Returns:
        {"passed", "parameters": {name: {"ks_p", "coverage": {level: share}}}, "tarp": {"ks_p"},
        "reasons", "n", "without_draws", "alpha", "threshold"}, ready for JSON.

    Raises:
        ValueError: no spectrum has a draw.
    """
    n = np.broadcast_to(np.asarray(n_samples), len(ranks))
    drawn = n > 0
    if not drawn.any():
        raise BadInput(f"none of {len(ranks)} spectra has a posterior draw: nothing to judge.")
    ranks, n, tarp = ranks[drawn], n[drawn], tarp[drawn]
    columns = np.column_stack([ranks, np.rint(np.asarray(tarp, dtype=float) * n)])
    p = dict(zip([*names, "tarp"], ks_p_values(columns, n).tolist(), strict=True))
    coverage = central_coverage(ranks, n)
    threshold = alpha / len(p)
    reasons = [
        _unlike_uniform(name, value, threshold) for name, value in p.items() if value < threshold
    ]
    missing = int((~drawn).sum())
    if missing > WITHOUT_DRAWS * len(drawn):
        reasons.append(f"{missing} of {len(drawn)} spectra have no draw inside the prior")
    return {
        "passed": not reasons,
        "parameters": {
            name: {
                "ks_p": p[name],
                "coverage": dict(zip(map(str, LEVELS), coverage[:, i].tolist(), strict=True)),
            }
            for i, name in enumerate(names)
        },
        "tarp": {"ks_p": p["tarp"]},
        "reasons": reasons,
        "n": int(drawn.sum()),
        "without_draws": missing,
        "alpha": alpha,
        "threshold": threshold,
    }


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


def _unlike_uniform(name: str, p: float, threshold: float) -> str:
    what = "TARP fractions" if name == "tarp" else f"ranks of {name}"
    return f"{what} are not uniform: KS p = {p:.2g}, below {threshold:.2g}"
