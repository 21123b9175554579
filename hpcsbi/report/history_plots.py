"""The star formation history of an object: bands of its draws over those of the prior."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.report import page
from hpcsbi.report.diagnostic_plots import styled
from hpcsbi.report.posterior_panels import draw_history, fill_bands
from hpcsbi.simulator.galaxy.formation_rates import formation_rates
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["History", "history_bands", "history_figure", "history_picture", "prior_of_mass"]

LEVELS = list(QUANTILES.values())
YOUNGEST, BINS = 0.01, 28  # Gyr, and number of steps in the logarithm of the lookback time
STEPS = 48  # of the lookback time itself, for what had formed
PRIOR_DRAWS = 1000


@dataclass(frozen=True)
class History:
    """Quantiles at the levels of QUANTILES, each over draws and so of no one history.

    Arguments:
        edges: lookback times in Gyr, ascending from 0, shape (bins + 1,).
        rates: solar masses a year between them, shape (levels, bins).
        times: lookback times in Gyr, ascending from 0, shape (steps + 1,).
        formed: share of the mass that had formed by then, shape (levels, steps + 1).
    """

    edges: np.ndarray
    rates: np.ndarray
    times: np.ndarray
    formed: np.ndarray


def history_bands(theta: np.ndarray, names: Sequence[str], oldest: float) -> History:
    """The history of draws of equal weight, by the closed form of whatever family theta has.

    Arguments:
        theta: in own units, shape (n, n_theta).
        names: its columns.
        oldest: lookback time in Gyr at which no star had formed.
    """
    edges = np.append(0.0, np.geomspace(YOUNGEST, oldest, BINS))
    times = np.linspace(0.0, oldest, STEPS + 1)
    rates = formation_rates(theta, names, edges)
    younger = np.cumsum(formation_rates(theta, names, times), axis=1)
    younger /= younger[:, -1:]
    formed = 1 - np.column_stack([np.zeros(len(theta)), younger])
    return History(edges, np.quantile(rates, LEVELS, 0), times, np.quantile(formed, LEVELS, 0))


def prior_of_mass(prior: Prior, zred: float, logmass: np.ndarray) -> np.ndarray:
    """Draws of the prior for galaxies of some mass, own units, shape (n, n_theta).

    Arguments:
        prior: of theta.
        zred: redshift, which bounds ages and sets what is given.
        logmass: draws of the mass formed.
    """
    rng = np.random.default_rng(0)
    theta = prior.sample(PRIOR_DRAWS, rng, zred)
    theta[:, prior.names.index("logmass")] = rng.choice(logmass, PRIOR_DRAWS)
    return theta


def history_picture(prior: Prior, draws: np.ndarray, zred: float) -> str:
    """`history_figure` of an object as an address that holds its bytes.

    Arguments:
        prior: of theta.
        draws: of equal weight, own units, shape (n, n_theta).
        zred: redshift of the object.
    """
    draws = draws.astype(float)
    before = prior_of_mass(prior, zred, draws[:, prior.names.index("logmass")])
    ages = [each.high for name, each in prior.columns.items() if parameter(name).age]
    universe = float(age_of_universe(np.array([zred]))[0])
    oldest = universe if prior.bound_age else max([universe, *ages])
    figure = history_figure(*(history_bands(x, prior.names, oldest) for x in (draws, before)))
    return page.picture(figure)


@styled
def history_figure(posterior: History, prior: History) -> Figure:
    """Star formation rate, and the share of the mass that had formed, by lookback time.

    Arguments:
        posterior: of the object.
        prior: of the prior, for galaxies of its mass.
    """
    figure = Figure(figsize=(10, 3.3), layout="constrained")
    rate, share = figure.subplots(1, 2, width_ratios=[1.5, 1])
    draw_history(rate, posterior.edges, posterior.rates, prior.rates)
    fill_bands(share, prior.times, prior.formed, prior=True)
    fill_bands(share, posterior.times, posterior.formed)
    share.set(
        xlim=(0, posterior.times[-1]),
        ylim=(0, 1.02),
        xlabel="lookback time [Gyr]",
        ylabel="share of the mass that had formed",
    )
    share.legend(loc="upper right", fontsize=7.5)
    return figure
