"""Density of one spectrum's posterior in theta's own units: the exact one, and that of its flow."""

import numpy as np
import torch
from torch import Tensor

from hpcsbi.inference.posterior import Posterior
from hpcsbi.simulator.batch import Batch

__all__ = ["exact_log_density", "flow_log_density"]


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
    posterior: Posterior, batch: Batch, acceptance: float, theta: Tensor
) -> Tensor:
    """That of the flow inside of the prior, -inf outside, float64, shape (n,).

    Arguments:
        posterior, batch, theta: see `exact_log_density`.
        acceptance: share of the flow's draws that lie inside of the prior.
    """
    prior = posterior.prior
    inside = np.isfinite(_log_prior(posterior, batch, theta))
    values = np.full(len(theta), -np.inf)
    if inside.any():
        some = theta.numpy()[inside].astype(float)
        of_all = posterior.conditions(batch)[np.zeros(len(some), dtype=int)]
        log_q = posterior.log_density(prior.coordinates(some), of_all)
        slope = np.log(np.where(prior.log & prior.inferred, some * np.log(10), 1.0)).sum(1)
        values[inside] = log_q - slope - np.log(acceptance)
    return torch.from_numpy(values)


def _log_prior(posterior: Posterior, batch: Batch, theta: Tensor) -> np.ndarray:
    return posterior.prior.log_prob(theta.numpy(), batch.only_zred)
