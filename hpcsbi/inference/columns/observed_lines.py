"""Emission lines in the observed spectrum: what stands above the model without lines.

On wide pixels lines blend, so each blend is one measurement: the sum of what the line-free spectra
of the posterior's draws leave over in the pixels that it reaches. It does not take the model's word
for the lines themselves, whose ratios FSPS fixes.
"""

import math

import numpy as np
import torch
from scipy.constants import speed_of_light

from hpcsbi.grid import Grid
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.observation.instruments import WIDEST
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import N_DRAWS
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.schema import Schema
from hpcsbi.tensors import tensors_on

__all__ = ["EMISSION", "OBSERVED", "observed_line_columns"]

# Angstrom of H alpha; below, old stars ionise (Cid Fernandes et al. 2011, MNRAS 413, 1687).
EMISSION = 3.0
WIDTHS = 2.5  # standard deviations of a line that its pixels have to hold on both sides

OBSERVED: Schema = {
    "observed_luminosity": (
        ("row", "blend"),
        "float32",
        "solar luminosities above the spectrum without lines; NaN where a pixel is masked",
    ),
    "observed_luminosity_error": (
        ("row", "blend"),
        "float32",
        "standard deviation: noise, floor and what the draws differ by",
    ),
    "observed_ew": (
        ("row", "blend"),
        "float32",
        "equivalent width of that emission, Angstrom, rest frame",
    ),
}


def observed_line_columns(
    posterior: Posterior, likelihood: Likelihood, drawn: Draws, batch: Batch
) -> dict[str, np.ndarray]:
    """Columns OBSERVED, NaN without draws or where pixels are masked, shape (objects, blends).

    Arguments:
        posterior: gives prior, pixels and dispersion.
        likelihood: its table makes the spectra without lines, each times the smooth errors that
            suit the spectrum best.
        drawn: equally weighted draws, of which the first N_DRAWS count.
        batch: the spectra.
    """
    grid, fixed = posterior.grid, posterior.model.physics.sigma_smooth
    dispersion = Kinematics.widest_lines(posterior.prior.columns, fixed)
    dispersion = math.hypot(dispersion, WIDEST * (batch.instrument is not None))
    columns = {name: np.full((len(batch), len(BLENDS)), np.nan) for name in OBSERVED}
    reaches = np.stack([_pixels(grid, blend, dispersion) for blend in BLENDS.values()])
    counts = np.minimum(drawn.kept, N_DRAWS)
    for kept in np.unique(counts[counts > 0]):
        rows = counts == kept
        theta = posterior.prior.theta(drawn.coordinates[rows, :kept], np.float32)
        measured = _measured(likelihood, theta, batch[rows], reaches, grid.widths)
        for name, values in zip(OBSERVED, measured, strict=True):
            columns[name][rows] = values
    return columns


def _pixels(grid: Grid, blend: tuple[float, ...], dispersion: float) -> np.ndarray:
    """True for the pixels that a blend reaches, shape (pixels,); none if it leaves the grid."""
    margin = WIDTHS * 1e3 * dispersion / speed_of_light
    first, last = blend[0] * (1 - margin), blend[-1] * (1 + margin)
    low, high = grid.edges[:-1], grid.edges[1:]
    if first < low[0] or last > high[-1]:
        return np.zeros(grid.pixels, bool)
    return (high > first) & (low < last)


@torch.no_grad()
def _measured(
    likelihood: Likelihood,
    theta: np.ndarray,
    batch: Batch,
    reaches: np.ndarray,
    widths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luminosity, its error and the equivalent width of each blend, shapes (objects, blends)."""
    _, ivar, *instrument = batch.spectra
    valid = ivar > 0
    flux, variance = np.where(valid, batch.flux, 0.0), 1 / np.where(valid, ivar, 1.0)
    # Lines, of the spectrum or of the model, have no part in smooth errors, which give way to them.
    quiet = np.where(valid & ~reaches.any(0), ivar, 0.0)
    arrays = flux, quiet, theta, *instrument
    f, i, draws, *added = tensors_on(likelihood.device, arrays)
    continuum = _without_lines(likelihood, f, i, draws, *added).double().cpu().numpy()
    floor = likelihood.floor(draws)[..., None].double().cpu().numpy()
    noise = variance[:, None] + (floor * continuum) ** 2
    sums = widths[:, None] * reaches.T  # over the pixels of each blend, (pixels, blends)
    luminosity = (flux[:, None] - continuum) @ sums
    error = np.sqrt((noise @ (widths[:, None] * sums)).mean(1) + luminosity.var(1))
    if likelihood.smooth is not None:  # between the pixels beside a blend nothing measures it
        weights = torch.tensor(continuum[..., None, :] * sums.T, device=likelihood.device)
        over_sigma = likelihood.draws_over_sigma(f, i, draws, *added)
        unknown = likelihood.amplitudes.variance(weights, *over_sigma).cpu().numpy()
        error = np.sqrt(error**2 + unknown.mean(1))
    level = (continuum @ sums).mean(1) / np.maximum(sums.sum(0), widths.min())
    whole = reaches.any(1) & ~(~valid[:, None] & reaches).any(-1)
    luminosity = np.where(whole, luminosity.mean(1), np.nan)
    return luminosity, np.where(whole, error, np.nan), luminosity / level


def _without_lines(
    likelihood: Likelihood,
    flux: torch.Tensor,
    ivar: torch.Tensor,
    draws: torch.Tensor,
    instrument: torch.Tensor | None = None,
) -> torch.Tensor:
    """Line-free spectra, each times its smooth errors, shape (objects, draws, pixels)."""
    names = likelihood.names
    if "line_strength" in names:
        draws = draws.clone()
        draws[..., names.index("line_strength")] = 0.0
        return likelihood.expected_spectra(flux, ivar, draws, instrument)
    expected = likelihood.expected_spectra(flux, ivar, draws, instrument)
    theta = draws.flatten(0, 1)
    without = torch.nn.functional.pad(theta, (0, 1))  # lines of no strength
    added = None if instrument is None else instrument.repeat_interleave(draws.shape[1], 0)
    bare = likelihood.ssp.flux(without, (*names, "line_strength"), added)
    full = likelihood.ssp.flux(theta, names, added)
    return expected * (bare / full).unflatten(0, draws.shape[:2])
