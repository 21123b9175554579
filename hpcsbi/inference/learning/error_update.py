"""The next error from what spectra say: the M-step, in closed form, pixel by pixel but for a prior.

Templates are regressed on amplitudes that have first been brought to mean zero and covariance one,
which is what a free mean and covariance of the amplitudes would do: far fewer steps to the maximum.

A weak prior keeps few spectra from teaching noise: mean and templates are zero, give or take SIZE,
and smooth, but for LOOSE of their variance.

References:
    Liu, Rubin & Wu 1998, Biometrika 85, 755 (parameter expansion).
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve, eigh

from hpcsbi.inference.learning.error_moments import Moments
from hpcsbi.simulator.observation.templates import SmoothError

__all__ = ["further_template", "next_error", "prior_factor"]

SIZE, LOOSE = 0.02, 0.2
SWEEPS = 30  # over mean and templates, which the pixels' own equations couple
LEAST = 0.1  # excess variance of a further template's scores, so that it can grow


def prior_factor(wave: np.ndarray) -> np.ndarray:
    """Root L of the prior's covariance L L^T of a mean or a template, shape (pixels, pixels).

    Arguments:
        wave: pixel centres, Angstrom, shape (pixels,).
    """
    curves = SmoothError().curves(wave).dense(torch.from_numpy(np.asarray(wave, float))).numpy()
    smooth = (1 - LOOSE) * curves.T @ curves
    return SIZE * np.linalg.cholesky(smooth + LOOSE * np.eye(len(wave)))


def next_error(
    mean: np.ndarray, moments: Moments, root: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and templates that maximise the expected log likelihood.

    Arguments:
        mean: as it was, shape (pixels,).
        moments: of the spectra.
        root: `prior_factor`.
        strength: of the prior: it counts as so many times itself; 0 is none.

    Returns:
        shapes (pixels,) and (rank, pixels).
    """
    amplitude = moments.first / moments.total
    covariance = moments.second / moments.total - np.outer(amplitude, amplitude)
    size = len(amplitude) + 1
    basis = np.zeros((size, size))  # z = basis @ (1, amplitudes of mean zero and covariance one)
    basis[0, 0], basis[1:, 0] = 1.0, amplitude
    basis[1:, 1:] = np.linalg.cholesky(covariance) if size > 1 else basis[1:, 1:]
    inverse = np.linalg.inv(basis)
    normal = inverse @ moments.normal @ inverse.T
    side = moments.side @ inverse.T
    # Steps of the mean are fractions of the model times 1 + mean; the prior is about no mean.
    about = np.zeros_like(side)
    about[:, 0] = -mean / (1 + mean)
    values = about + _solved(normal, side - _apply(normal, about), root, strength)
    return (1 + mean) * (1 + values[:, 0]) - 1, values[:, 1:].T


def further_template(moments: Moments) -> np.ndarray:
    """A first guess of one more template: where residuals of objects go together, (pixels,).

    Its size is that at which the scores have the variance that they have.
    """
    information = moments.normal[:, 0, 0]
    seen = information > 0
    unit = np.where(seen, np.sqrt(moments.total / np.where(seen, information, 1.0)), 0.0)
    scores = moments.scores * np.outer(unit, unit) / moments.total
    [variance], direction = eigh(scores, subset_by_index=[len(scores) - 1] * 2)
    direction = direction[:, 0] * np.sign(direction[np.abs(direction).argmax(), 0])
    # Without noise's own: a template of size c makes it 1 + c^2.
    return np.sqrt(max(variance - 1, LEAST)) * direction * unit


def _solved(normal: np.ndarray, side: np.ndarray, root: np.ndarray, strength: float) -> np.ndarray:
    """Of the normal equations of each pixel, with the prior that couples them, (pixels, size)."""
    size = side.shape[1]
    if not strength:
        blind = (normal[:, 0, 0] == 0)[:, None, None] * np.eye(size)
        return np.linalg.solve(normal + blind, side[..., None])[..., 0]
    solvers = [_with_prior(normal[:, i, i], root, strength) for i in range(size)]
    values = np.zeros_like(side)
    for _ in range(SWEEPS):
        for i, solve in enumerate(solvers):
            rest = side[:, i] - (normal[:, i] * values).sum(1) + normal[:, i, i] * values[:, i]
            values[:, i] = solve(rest)
    return values


def _with_prior(
    diagonal: np.ndarray, root: np.ndarray, strength: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Solver of (diagonal + strength (root root^T)^-1) x = b."""
    factor = cho_factor(root.T @ (diagonal[:, None] * root) + strength * np.eye(len(root)))
    return lambda b: root @ cho_solve(factor, root.T @ b)


def _apply(normal: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (normal * values[:, None]).sum(2)
