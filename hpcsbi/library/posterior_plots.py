"""Figures of one posterior onto axes that somebody else made."""

import numpy as np
import torch

from hpcsbi.errors import BadInput
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.report.diagnostic_plots import labels
from hpcsbi.report.object_plots import Figure, draw_corner
from hpcsbi.report.posterior_panels import Axes, draw_marginal
from hpcsbi.report.spectrum_plots import draw_spectrum
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["corner", "marginals", "spectrum"]

PRIOR_DRAWS = 20_000  # behind the prior that marginals are drawn over


def spectrum(
    posterior: Posterior, batch: Batch, theta: torch.Tensor, axes: Axes, residual_axes: Axes
) -> None:
    """A spectrum under the bands that draws expect of it, smooth errors included.

    Arguments:
        posterior: the flow.
        batch: the spectrum.
        theta: equally weighted draws, own units, float32, shape (n, n_theta).
        axes, residual_axes: see `SpectrumPosterior.plot_spectrum`.

    Raises:
        BadInput: the flow took no table along.
    """
    likelihood = posterior.likelihood
    if likelihood is None:
        raise BadInput("model spectra take a table, and this flow took none along.")
    draws = theta[None]
    flux, ivar, *added = map(torch.tensor, batch.spectra)
    with torch.no_grad():
        expected = likelihood.expected_spectra(flux, ivar, draws, *added)[0].numpy()
    floor, wave = float(likelihood.floor(draws).median()), posterior.grid.wave
    draw_spectrum(axes, residual_axes, wave, batch.flux[0], batch.ivar[0], expected, floor)


def marginals(
    prior: Prior, zred: float, coordinates: np.ndarray, weights: np.ndarray, axes: np.ndarray
) -> None:
    """Each inferred parameter over its prior at a redshift.

    Arguments:
        prior: that of the posterior.
        zred: redshift of the object.
        coordinates: `Prior.coordinates` of draws, shape (n, n_theta).
        weights: theirs, shape (n,).
        axes: as many as `prior.inferred_names`.

    Raises:
        BadInput: another number of axes.
    """
    if len(axes) != len(prior.inferred_names):
        raise BadInput(
            f"{len(axes)} axes for {len(prior.inferred_names)} inferred parameters: "
            f"{', '.join(prior.inferred_names)}."
        )
    rng = np.random.default_rng(0)
    before = prior.sample_coordinates(PRIOR_DRAWS, rng, zred)[:, prior.inferred].T
    titles = labels(prior.inferred_names, prior.log[prior.inferred])
    after = coordinates[:, prior.inferred].T
    for each, values, of_prior, title in zip(axes, after, before, titles, strict=True):
        draw_marginal(each, values, weights, of_prior, title)


def corner(prior: Prior, theta: torch.Tensor, figure: Figure) -> None:
    """Each pair of inferred parameters.

    Arguments:
        prior: that of the posterior.
        theta: equally weighted draws, own units, shape (n, n_theta).
        figure: see `SpectrumPosterior.plot_corner`.
    """
    rows = prior.coordinates(theta.double().numpy())[:, prior.inferred]
    draw_corner(figure, [rows], labels(prior.inferred_names, prior.log[prior.inferred]))
