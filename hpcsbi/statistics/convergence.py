"""Has an ensemble of walkers converged? Autocorrelation time and R-hat."""

from dataclasses import dataclass

import emcee
import numpy as np

__all__ = ["Convergence", "ensemble_convergence", "split_rhat"]

LEAST_TAUS, LARGEST_RHAT = 50, 1.01


@dataclass(frozen=True)
class Convergence:
    """What a chain says about itself, for each parameter in `Prior.coordinates`.

    Arguments:
        tau: integrated autocorrelation time in steps, shape (n_theta,).
        rhat: split R-hat over the walkers, shape (n_theta,).
        ess: independent draws, shape (n_theta,).
        acceptance: share of moves accepted.
        converged: at least 50 times tau long, and R-hat below 1.01, for every parameter.
    """

    tau: np.ndarray
    rhat: np.ndarray
    ess: np.ndarray
    acceptance: float
    converged: bool


def ensemble_convergence(past: np.ndarray, steps: int, every: int, accepted: int) -> Convergence:
    """Judge an ensemble.

    Arguments:
        past: kept positions, shape (kept, walkers, n_theta).
        steps: steps taken, of which one in `every` is kept.
        every: see `steps`.
        accepted: moves accepted, over all walkers.

    References:
        Goodman & Weare 2010, CAMCoS 5, 65 (tau, as emcee estimates it).
    """
    kept, walkers, n_theta = past.shape
    if kept < 4:
        unknown = np.full(n_theta, np.nan)
        return Convergence(unknown, unknown, unknown, np.nan, False)
    past = past.astype(float)
    with np.errstate(invalid="ignore"):  # NaN if a walker has never moved: not converged
        tau = emcee.autocorr.integrated_time(past, tol=0, quiet=True) * every
    rhat = split_rhat(past)
    return Convergence(
        tau,
        rhat,
        walkers * steps / tau,
        accepted / (walkers * steps),
        bool((steps >= LEAST_TAUS * tau).all() and (rhat < LARGEST_RHAT).all()),
    )


def split_rhat(past: np.ndarray) -> np.ndarray:
    """Potential scale reduction of chains cut into halves, shape (n_theta,).

    Of n steps of a converged ensemble it is about 1 + tau / n: 1.01 takes a hundred tau. Where no
    walker has moved it is inf, or NaN if all stand in one place; NaN of a single walker, too.

    Arguments:
        past: shape (steps, walkers, n_theta).

    References:
        Gelman et al. 2013, Bayesian Data Analysis, section 11.4; by arviz-stats.
    """
    from arviz_stats.base import array_stats  # half a CPU second to import, for chains

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.atleast_1d(array_stats.rhat(past, chain_axis=1, draw_axis=0, method="split"))
