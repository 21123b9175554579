"""What draws of a posterior say about their spectrum: chi squared, p-values, and the flags.

One way for the draws of a flow and for those of a chain, so that both may stand in one catalogue.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import N_DRAWS, predict
from hpcsbi.simulator.probability.residual_checks import residual_p_values
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.parameters import OF_ERRORS
from hpcsbi.simulator.theta.prior import Prior

__all__ = [
    "OF_DRAWS",
    "P_VALUES",
    "error_fractions",
    "outside_training",
    "posterior_flags",
    "predictive_columns",
]

# Columns of p-values, and the flags of those that are IMPROBABLE.
P_VALUES = {
    "predictive_p": Flag.PREDICTIVE,
    "autocorrelation_p": Flag.CORRELATED,
    "window_p": Flag.WINDOW,
    "lines_p": Flag.LINES,
}
# The flags that `posterior_flags` sets.
OF_DRAWS = Flag.EDGE | Flag.FLOOR_HIGH | Flag(sum(P_VALUES.values()))
EDGE_WIDTH, EDGE_SHARE = 0.02, 0.1
HIGH_FLOOR = 0.05
IMPROBABLE = 1e-3


def predictive_columns(
    prior: Prior, likelihood: Likelihood | None, drawn: Draws, batch: Batch
) -> dict[str, np.ndarray]:
    """Columns chi2 and P_VALUES, NaN where there are no draws, shape (objects,).

    Arguments:
        prior: that of the draws.
        likelihood: its sigma counts; without one everything is NaN.
        drawn: equally weighted draws.
        batch: the spectra, with the seeds of their replicates.
    """
    columns = {name: np.full(len(batch), np.nan) for name in ("chi2", *P_VALUES)}
    if likelihood is not None:
        enough = min(N_DRAWS, drawn.coordinates.shape[1])
        for kept in np.unique(np.minimum(drawn.kept, enough)):  # nearly always all have enough
            rows = np.minimum(drawn.kept, enough) == kept
            if kept > 0:
                theta = prior.theta(drawn.coordinates[rows, :kept], np.float32)
                some = batch[rows]
                both = predict(likelihood, theta, *some.spectra)
                columns["chi2"][rows], columns["predictive_p"][rows] = both
                spectra = some.flux, some.ivar, some.seeds, some.instrument
                for name, p in residual_p_values(likelihood, theta, *spectra).items():
                    columns[name][rows] = p
    return columns


def error_fractions(names: Sequence[str], medians: np.ndarray) -> np.ndarray | None:
    """Noise floor and error of the model in quadrature, shape (objects,); None without either.

    Arguments:
        names: columns of theta.
        medians: of theta in its own units, shape (objects, n_theta).
    """
    columns = [medians[:, i] for i, name in enumerate(names) if name in OF_ERRORS]
    if len(columns) < 2:
        return columns[0] if columns else None
    return np.hypot(*columns)


def outside_training(posterior: Posterior, batch: Batch) -> np.ndarray:
    """True for spectra such as the noise model never made, bool, shape (objects,).

    Arguments:
        posterior: gives prior, grid and noise model.
        batch: the spectra, with their redshifts.
    """
    told = len(posterior.prior.given.of_redshift) > 0
    spectra = batch.flux, batch.ivar, posterior.grid.wave, batch.zred
    return posterior.model.noise.beyond(*spectra, told)


def posterior_flags(
    posterior: Posterior,
    drawn: Draws,
    p_values: Mapping[str, np.ndarray],
    floor: np.ndarray | None,
    zred: np.ndarray,
) -> np.ndarray:
    """The flags OF_DRAWS, int32, shape (objects,).

    Arguments:
        posterior: gives the prior.
        drawn: equally weighted draws.
        p_values: those of P_VALUES, NaN where there is none, shape (objects,).
        floor: `error_fractions`; None where there is none.
        zred: redshifts, shape (objects,).
    """
    flags = np.zeros(len(zred), dtype=np.int32)
    flags[_at_edge(posterior, drawn, zred)] |= Flag.EDGE
    for name, flag in P_VALUES.items():
        flags[p_values[name] < IMPROBABLE] |= flag
    flags[p_values["predictive_p"] > 1 - IMPROBABLE] |= Flag.PREDICTIVE
    if floor is not None:
        flags[floor > HIGH_FLOOR] |= Flag.FLOOR_HIGH
    return flags


def _at_edge(posterior: Posterior, drawn: Draws, zred: np.ndarray) -> np.ndarray:
    """True where over a tenth of the draws lie in the outer 2 % of a parameter of the galaxy."""
    prior = posterior.prior
    width = EDGE_WIDTH * (prior.high - prior.low)
    columns = [name not in (*prior.nuisance, *prior.given.names) for name in prior.names]
    coordinates = drawn.coordinates  # NaN, which is no draw, is near no edge
    high = prior.upper(zred)[..., None, :] if prior.bound_age else prior.high
    shares = [
        near.sum(1) / np.maximum(drawn.kept, 1)[:, None]
        for near in (coordinates < prior.low + width, coordinates > high - width)
    ]
    return np.any([(share > EDGE_SHARE)[:, columns].any(1) for share in shares], axis=0)
