"""Engines of the likelihood that a chain walks on: the table, or FSPS itself."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.direct.fsps_spectra import direct_spectra
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch

__all__ = ["ENGINES", "LIKELIHOODS", "likelihood_of", "log_likelihoods"]

ENGINES, LIKELIHOODS = ("table", "prospector"), ("simulator", "given")


def likelihood_of(posterior: Posterior, likelihood: str) -> Likelihood:
    """The likelihood by the table.

    Arguments:
        posterior: gives table and noise.
        likelihood: one of LIKELIHOODS.
    """
    if likelihood == "given":
        return Likelihood(posterior.ssp, posterior.names, "given")
    return posterior.likelihood


def log_likelihoods(
    posterior: Posterior, engine: str, likelihood: str, batch: Batch
) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """ln likelihood of theta by the table, and by the engine asked for.

    Arguments:
        posterior: gives table, physics and noise.
        engine: one of ENGINES.
        likelihood: one of LIKELIHOODS.
        batch: the spectrum, one.

    Returns:
        two functions of theta, shape (n, n_theta) -> (n,).

    Raises:
        BadInput: FSPS itself, where an instrument widens lines.
    """
    # Copies in torch's own memory: products of unaligned ones differ in the last bit.
    spectrum = [torch.tensor(array) for array in batch.spectra]
    chosen = likelihood_of(posterior, likelihood)
    table = partial(_by_table, chosen, spectrum)
    if engine == "table":
        return table, table
    if batch.instrument is not None:
        raise BadInput(
            "fit.engine=prospector smooths to one dispersion, and the flow was trained with "
            "noise.instrument=true: take fit.engine=table."
        )
    return table, partial(_by_fsps, chosen, posterior.grid, posterior.model.physics, *spectrum)


@torch.no_grad()
def _by_table(
    likelihood: Likelihood, spectrum: Sequence[torch.Tensor], theta: np.ndarray
) -> np.ndarray:
    flux, ivar, *instrument = spectrum
    draws = torch.tensor(theta, dtype=torch.float32)[None]
    return likelihood(flux, ivar, draws, *instrument)[0].numpy()


def _by_fsps(
    likelihood: Likelihood,
    grid: Grid,
    physics: Physics,
    flux: torch.Tensor,
    ivar: torch.Tensor,
    theta: np.ndarray,
) -> np.ndarray:
    """ln likelihood of spectra by FSPS, -inf for those that it cannot make."""
    names = likelihood.names
    model, _ = direct_spectra(theta, names, grid, physics)
    rows = torch.tensor(theta)[None]
    return likelihood.of_model(flux, ivar, torch.from_numpy(model)[None], rows)[0][0].numpy()
