"""Columns of derived quantities, and what the prior alone says of every column."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.statistics.importance_weights import weighted_quantiles

__all__ = ["ABOUT", "derived_quantiles", "derived_values", "prior_shares"]

ABOUT = {
    "units": "see description",
    "description": {each.name: f"{each.unit}; {each.meaning}" for each in QUANTITIES},
}
PRIOR_DRAWS = 10_000
NOTHING = 1e-4  # of the weights: far less than a quantile knows of its own level
CENTRAL = (0.16, 0.84)
ALIKE = 0.1  # share of the prior's draws whose given columns are nearest to an object's


def derived_values(posterior: Posterior, coordinates: np.ndarray) -> np.ndarray:
    """Derived quantities of draws, shape (..., quantities); NaN where a draw is.

    Arguments:
        posterior: with its table.
        coordinates: `Prior.coordinates` of draws inside the prior, shape (..., n_theta).
    """
    flat = coordinates.reshape(-1, coordinates.shape[-1])
    values = np.full((len(flat), len(QUANTITIES)), np.nan)
    some = np.isfinite(flat).all(1)
    if some.any():
        values[some] = posterior.derived(posterior.prior.theta(flat[some]), posterior.names)
    return values.reshape(*coordinates.shape[:-1], -1)


def derived_quantiles(
    posterior: Posterior, draws: Sequence[tuple[np.ndarray, np.ndarray | None]], levels: list[float]
) -> np.ndarray:
    """Quantiles of the derived quantities, shape (objects, levels, quantities).

    Arguments:
        posterior: with its table.
        draws: of each object `Prior.coordinates`, shape (n, n_theta), NaN past the last one, and
            their weights, which add up to one, or None for equal ones.
        levels: between 0 and 1.
    """
    rows = []
    for coordinates, weights in draws:
        some = np.isfinite(coordinates).all(1) if weights is None else _heavy(weights)
        if not some.any():
            rows.append(np.full((len(levels), len(QUANTITIES)), np.nan))
            continue
        values = derived_values(posterior, coordinates[some])
        if weights is None:
            rows.append(np.quantile(values, levels, axis=0))
        else:
            rows.append(weighted_quantiles(values, weights[some] / weights[some].sum(), levels))
    return np.stack(rows)


def _heavy(weights: np.ndarray) -> np.ndarray:
    """True for all weights but the least, which come to NOTHING of their sum, shape (n,)."""
    order = weights.argsort()
    some = weights > 0
    some[order[weights[order].cumsum() <= NOTHING * weights.sum()]] = False
    return some


def prior_shares(
    posterior: Posterior,
    quantiles: np.ndarray,
    of_derived: np.ndarray | None,
    levels: Sequence[float],
    zred: np.ndarray,
) -> dict[str, np.ndarray]:
    """How much of the prior lies in each object's central 68 % interval, over 0.68.

    Near 1 the spectrum says nothing of a column beyond what the prior does at that redshift, near
    0 almost all. No scale or unit decides it. A column that is given has none: NaN.

    Arguments:
        posterior: the flow, with its table for derived quantities.
        quantiles: of theta in its own units, shape (objects, levels, n_theta).
        of_derived: of the derived quantities, shape (objects, levels, quantities), or None.
        levels: of the quantiles, 0.16 and 0.84 among them.
        zred: redshifts, shape (objects,).

    Returns:
        prior_share, shape (objects, n_theta), and derived_prior_share, (objects, quantities).
    """
    low, high = ([*levels].index(level) for level in CENTRAL)
    coordinates, theta, derived = _prior_draws(posterior)
    compared = {"prior_share": (theta, quantiles)}
    if of_derived is not None:
        compared["derived_prior_share"] = derived, of_derived
    shares = {name: np.full(x[:, 0].shape, np.nan) for name, (_, x) in compared.items()}
    prior, given = posterior.prior, posterior.prior.given.at(zred)
    upper = np.broadcast_to(prior.upper(zred), (len(zred), coordinates.shape[1]))
    for i in range(len(zred)):
        possible = (coordinates <= upper[i]).all(1)
        if prior.given:
            far = np.abs(coordinates[:, ~prior.inferred] - given[i]).max(1)
            possible &= far <= np.quantile(far, ALIKE)
        for name, (of_prior, of_posterior) in compared.items():
            first, last = of_posterior[i, low], of_posterior[i, high]
            known = np.isfinite(first) & possible.any()
            within = ((of_prior > first) & (of_prior <= last) & possible[:, None]).sum(0)
            share = within / max(possible.sum(), 1) / (CENTRAL[1] - CENTRAL[0])
            shares[name][i] = np.where(known, share, np.nan)
    shares["prior_share"][:, ~prior.inferred] = np.nan
    return shares


@lru_cache(maxsize=1)
def _prior_draws(posterior: Posterior) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Coordinates, theta and derived quantities of draws of the prior, for no redshift."""
    prior = posterior.prior
    coordinates = prior.sample_coordinates(PRIOR_DRAWS, np.random.default_rng(0))
    derived = None if posterior.derived is None else derived_values(posterior, coordinates)
    return coordinates, prior.theta(coordinates), derived
