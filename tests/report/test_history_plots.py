"""Bands of a history hold its truth, of every family; the prior's are for the galaxy's mass."""

import numpy as np
import pytest
import tiny

from hpcsbi.report import diagnostic_plots, history_plots
from hpcsbi.simulator.galaxy.formation_rates import formation_rates
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.prior import Prior

FAMILIES = ("survey", "burst", "truncated", "continuity", "dirichlet", "post_starburst")
ZRED = 0.1
OLDEST = float(age_of_universe(np.array([ZRED]))[0])


def prior(name):
    return Prior(tiny.columns(name), bound_age=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_bands_hold_the_truth_as_often_as_they_say(name):
    """Truth and draws from one distribution: 68 and 95 % of the rates lie in their bands.

    The control are truths of ten thousand times the mass.
    """
    under, rng = prior(name), np.random.default_rng(3)
    theta = under.sample(1500, rng, ZRED)
    theta[:, under.names.index("logmass")] = rng.normal(10, 0.1, len(theta))
    truths, draws = theta[:500], theta[500:]
    bands = history_plots.history_bands(draws, under.names, OLDEST)
    rates = formation_rates(truths, under.names, bands.edges)

    for (low, high), share in (((1, 3), 0.68), ((0, 4), 0.95)):
        inside = ((rates >= bands.rates[low]) & (rates <= bands.rates[high])).mean(0)
        assert (inside > share - 0.1).all(), (name, share, inside)
        forms = bands.rates[low] > 0  # where many form nothing, nothing is inside, too
        assert (inside[forms] < share + 0.1).all(), (name, share, inside)
    assert (1e4 * rates.max(1) > bands.rates[4].max()).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_all_mass_has_formed_by_now_and_none_before_the_universe(name):
    """The share that had formed falls from one to nothing, and half of it at the median t50."""
    under = prior(name)
    theta = under.sample(400, np.random.default_rng(1), ZRED)

    bands = history_plots.history_bands(theta, under.names, OLDEST)

    assert np.allclose(bands.formed[:, 0], 1) and np.allclose(bands.formed[:, -1], 0)
    assert (np.diff(bands.formed, axis=1) <= 1e-12).all()
    assert (np.diff(bands.formed, axis=0) >= -1e-12).all()
    assert (np.diff(bands.rates, axis=0) >= 0).all() and np.isfinite(bands.rates).all()


def test_mass_is_conserved():
    """The mean rates of one draw, times time, are its mass formed."""
    under = prior("survey")
    theta = under.sample(1, np.random.default_rng(0), ZRED)

    bands = history_plots.history_bands(theta, under.names, OLDEST)

    mass = (bands.rates[2] * np.diff(bands.edges) * 1e9).sum()
    assert np.log10(mass) == pytest.approx(theta[0, under.names.index("logmass")])


def test_the_priors_history_is_for_the_galaxys_mass():
    """Its masses are those of the posterior, its ages end at the Universe, all else is prior."""
    under, rng = prior("survey"), np.random.default_rng(0)
    masses = rng.normal(11, 0.01, 50)

    theta = history_plots.prior_of_mass(under, 2.0, masses)

    column = dict(zip(under.names, theta.T, strict=True))
    assert {*column["logmass"]} <= {*masses}
    assert column["tage"].max() < age_of_universe(np.array([2.0]))[0]
    assert np.ptp(column["logzsol"]) > 2


def test_a_history_has_prior_and_posterior():
    """Rates and shares each have two bands of the prior, two of the posterior and its median."""
    under = prior("survey")
    theta = under.sample(200, np.random.default_rng(0), ZRED)
    bands = history_plots.history_bands(theta, under.names, OLDEST)

    figure = history_plots.history_figure(bands, bands)

    rate, share = figure.axes
    assert len(rate.patches) == 5 and len(share.collections) == 4 and len(share.lines) == 1
    keys = [text.get_text() for text in share.get_legend().get_texts()]
    assert keys == ["prior 95 %", "prior 68 %", "95 %", "68 %", "median"]
    assert b"<svg" in diagnostic_plots.image_bytes(figure)
    assert history_plots.history_picture(under, theta, ZRED).startswith("data:image/svg")
