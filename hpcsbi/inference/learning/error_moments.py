"""What spectra say about an error of the model, given draws of their posteriors: the E-step.

Of each draw the amplitudes of all templates are known by a normal distribution (`Amplitudes`), so
that quoted noise, noise floor and what theta can be are taken out. What is left are sums over
objects, pixel by pixel: of the data regressed on (1, learned amplitudes).

References:
    Rubin & Thayer 1982, Psychometrika 47, 69: the same for factor analysis.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import chi2 as chi_squared

from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch

__all__ = ["Moments", "error_moments", "object_weights"]

ENTRIES = 1 << 22  # numbers of a (draws, pixels) array at once
IMPROBABLE = 1e-3  # chance of so large a chi squared: from there on objects count less


@dataclass(frozen=True)
class Moments:
    """Sums over objects and draws, with z = (1, learned amplitudes); weights add up to `total`.

    Arguments:
        normal: of (model / sigma)^2 z z^T, shape (pixels, 1 + rank, 1 + rank).
        side: of (model / sigma) z times the pull that all other templates leave, (pixels, 1 +
            rank).
        first, second: of z z^T without its ones: amplitudes, and their products, shapes (rank,) and
            (rank, rank).
        total: sum of the objects' weights.
        scores: of the products of (model / sigma) times residual over its whole variance: where a
            further template is asked for, shape (pixels, pixels).
    """

    normal: np.ndarray
    side: np.ndarray
    first: np.ndarray
    second: np.ndarray
    total: float
    scores: np.ndarray


@torch.no_grad()
def error_moments(
    likelihood: Likelihood, spectra: Batch, theta: np.ndarray, weights: np.ndarray
) -> Moments:
    """Moments of objects under a likelihood.

    Arguments:
        likelihood: with the error as it is.
        spectra: the objects.
        theta: equally weighted draws under this likelihood, own units, float32, shape (objects,
            draws, n_theta).
        weights: of the objects, shape (objects,).
    """
    parts = [_moments(likelihood, *rows) for rows in _parts(spectra, theta, weights)]
    sums = (np.sum([getattr(part, name) for part in parts], 0) for name in vars(parts[0]))
    return Moments(*sums)


@torch.no_grad()
def object_weights(likelihood: Likelihood, spectra: Batch, theta: np.ndarray) -> np.ndarray:
    """Weights that take the say from objects that the model cannot make, shape (objects,).

    One, but where chi squared, or the size of the learned amplitudes, is above what one spectrum in
    1 / IMPROBABLE has: there that bound over it, as a Student's t distribution weighs.

    Arguments:
        likelihood, spectra, theta: see `error_moments`.

    References:
        Lange, Little & Taylor 1989, J. Am. Stat. Assoc. 84, 881.
    """
    weights = []
    for batch, draws, _ in _parts(spectra, theta, np.ones(len(spectra))):
        rows = _of_draws(likelihood, batch, draws)
        mean, covariance = likelihood.amplitudes.moments(*rows[:-1])
        learned = likelihood.amplitudes.of_learned
        power = (mean**2 + covariance.diagonal(dim1=-2, dim2=-1))[..., learned].sum(-1).mean(1)
        chi2, pixels = rows[-1].mean(1).numpy(), (batch.ivar > 0).sum(1)
        bounds = [(chi2, pixels), (power.numpy(), learned.stop - learned.start)]
        shares = [
            np.maximum(chi_squared.isf(IMPROBABLE, np.maximum(degrees, 1)) / value.clip(1e-9), 0)
            for value, degrees in bounds
        ]
        weights.append(np.minimum(np.min(shares, 0), 1.0))
    return np.concatenate(weights)


def _parts(
    spectra: Batch, theta: np.ndarray, weights: np.ndarray
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Some objects at a time."""
    step = max(ENTRIES // (theta.shape[1] * spectra.flux.shape[1]), 1)
    for start in range(0, len(spectra), step):
        rows = slice(start, start + step)
        yield spectra[rows], theta[rows], weights[rows]


def _of_draws(
    likelihood: Likelihood, spectra: Batch, theta: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Pulls, model over sigma, size of the smooth error, additive templates, and chi squared."""
    flux, ivar, *instrument = (torch.tensor(array) for array in spectra.spectra)
    draws = torch.tensor(np.asarray(theta, np.float32))
    model = likelihood.spectra(draws, *instrument)
    pull, scaled, _, own = likelihood.over_sigma(flux, ivar, model, draws)
    chi2 = likelihood.of_model(flux, ivar, model, draws)[1]
    return pull, scaled, likelihood.model_error(draws), own, chi2


def _moments(
    likelihood: Likelihood, spectra: Batch, theta: np.ndarray, weights: np.ndarray
) -> Moments:
    pull, scaled, error, own, _ = _of_draws(likelihood, spectra, theta)
    amplitudes, (draws, pixels) = likelihood.amplitudes, scaled.shape[1:]
    mean, covariance = amplitudes.moments(pull, scaled, error, own)
    mean, covariance = mean.flatten(0, 1), covariance.flatten(0, 1)
    products = covariance + mean[:, :, None] * mean[:, None]
    kept = amplitudes.of_learned
    curves = amplitudes.curves
    others = [i for i in range(len(curves)) if not kept.start <= i < kept.stop]
    one = torch.ones(len(mean), 1, dtype=torch.float64)
    z = torch.cat([one, mean[:, kept]], 1)
    z_z = torch.cat([z[:, None], torch.cat([mean[:, kept, None], products[:, kept, kept]], 2)], 1)
    z_others = torch.cat([mean[:, None, others], products[:, kept][:, :, others]], 1)
    weight = torch.from_numpy(weights / draws).repeat_interleave(draws)[:, None]
    pull, scaled = pull.flatten(0, 1).double(), scaled.flatten(0, 1).double()
    squares, size = (scaled**2 * weight).T, z.shape[1]
    normal = (squares @ z_z.flatten(1)).reshape(pixels, size, size)
    explained = (squares @ z_others.flatten(1)).reshape(pixels, size, len(others))
    side = (scaled * pull * weight).T @ z
    side -= torch.einsum("pzo,op->pz", explained, curves[others])
    left = pull - scaled * (mean[:, : len(curves)] @ curves)
    if own is not None:
        own, further = own.flatten(0, 1).double(), mean[:, len(curves) :]
        z_own = torch.cat([further[:, None], products[:, kept, len(curves) :]], 1)
        light = (scaled * weight)[:, None] * own
        side -= torch.einsum("nop,nzo->pz", light, z_own)
        left -= (further[..., None] * own).sum(1)
    left = scaled * left
    left = left.unflatten(0, (len(weights), draws)).mean(1)
    return Moments(
        normal.numpy(),
        side.numpy(),
        (weight * z[:, 1:]).sum(0).numpy(),
        (weight[..., None] * z_z[:, 1:, 1:]).sum(0).numpy(),
        float(weights.sum()),
        ((left.T * torch.from_numpy(weights)) @ left).numpy(),
    )
