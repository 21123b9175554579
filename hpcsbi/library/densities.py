"""Density of one spectrum's posterior in theta's own units: the exact one, and that of its flow."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from hpcsbi.inference.sampling.draws import Conditions
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["exact_log_density", "flow_log_density", "most_probable"]

SPREAD, LEAST = 0.3, 1e-3  # of a simplex, in widths of the draws; of a width, in those of the box
ROUNDS = 2  # each from the best point so far, with a new simplex: one may have collapsed


def exact_log_density(
    posterior: Posterior, batch: Batch, log_evidence: float, theta: Tensor
) -> Tensor:
    """Likelihood times prior over the evidence, -inf outside of the prior, float64, shape (n,).

    Arguments:
        posterior: the flow, with its table.
        batch: the spectrum, one.
        log_evidence: ln of its evidence.
        theta: own units, float32, shape (n, n_theta).
    """
    log_prior = _log_prior(posterior, batch, theta)
    values, inside = np.full(len(theta), -np.inf), np.isfinite(log_prior)
    if inside.any():
        flux, ivar, *instrument = (torch.tensor(array) for array in batch.spectra)
        some = theta[torch.from_numpy(inside)][None]
        with torch.no_grad():
            log_likelihood = posterior.likelihood(flux, ivar, some, *instrument)[0].numpy()
        values[inside] = log_likelihood + log_prior[inside] - log_evidence
    return torch.from_numpy(values)


def flow_log_density(
    posterior: Posterior, batch: Batch, conditions: Conditions, acceptance: float, theta: Tensor
) -> Tensor:
    """That of the flow inside of the prior, -inf outside, float64, shape (n,).

    Arguments:
        posterior, batch, theta: see `exact_log_density`.
        conditions: what the flow knows of the spectrum.
        acceptance: share of the flow's draws that lie inside of the prior.
    """
    prior = posterior.prior
    inside = np.isfinite(_log_prior(posterior, batch, theta))
    values = np.full(len(theta), -np.inf)
    if inside.any():
        some = theta.numpy()[inside].astype(float)
        of_all = conditions[np.zeros(len(some), dtype=int)]
        log_q = posterior.log_density(prior.coordinates(some), of_all)
        slope = np.log(np.where(prior.log & prior.inferred, some * np.log(10), 1.0)).sum(1)
        values[inside] = log_q - slope - np.log(acceptance)
    return torch.from_numpy(values)


def most_probable(
    log_density: Callable[[Tensor], Tensor], prior: Prior, draws: np.ndarray
) -> np.ndarray:
    """Theta at which a density in its own units is largest, float32, shape (n_theta,).

    From the best of some draws by simplices as wide as the draws, in the prior's coordinates.

    Arguments:
        log_density: of theta, own units, float32, shape (n, n_theta); -inf outside of the prior.
        prior: its given columns stay what they are in the draws.
        draws: `Prior.coordinates`, inside of the prior, shape (n, n_theta).

    References:
        Nelder & Mead 1965, The Computer Journal 7, 308; Gao & Han 2012, Computational Optimization
        and Applications 51, 259, for many dimensions; scipy.optimize.
    """
    free = prior.inferred
    covariance = np.cov(draws[:, free].T, bias=True).reshape(free.sum(), free.sum())
    least = LEAST * (prior.high - prior.low)[free]
    factor = np.linalg.cholesky(covariance + np.diag(least**2))

    def log_densities(coordinates: np.ndarray) -> np.ndarray:
        return log_density(torch.from_numpy(prior.theta(coordinates, np.float32))).numpy()

    best = draws[log_densities(draws).argmax()].copy()

    def moved(steps: np.ndarray) -> np.ndarray:
        point = best.copy()
        point[free] += factor @ steps
        return point

    simplex = np.vstack([np.zeros(len(factor)), SPREAD * np.eye(len(factor))])
    options = {"initial_simplex": simplex, "adaptive": True, "xatol": 1e-3, "fatol": 1e-3}
    for _ in range(ROUNDS):
        end = minimize(
            lambda steps: -log_densities(moved(steps)[None])[0],
            simplex[0],
            method="Nelder-Mead",
            options=options,
        )
        best = moved(end.x)
    return prior.theta(best, np.float32)


def _log_prior(posterior: Posterior, batch: Batch, theta: Tensor) -> np.ndarray:
    return posterior.prior.log_prob(theta.numpy(), batch.only_zred)
