"""The delayed-tau history: its mass by age, what the engine mixes it of, its coordinates."""

import math

import numpy as np
import pytest
import torch
from history_checks import LARGEST, check_coordinates
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from hpcsbi.simulator.galaxy.delayed_tau import DelayedTau, delayed_tau_weights
from hpcsbi.simulator.theta.column import Column

LOG_AGE = np.arange(5.5, 10.31, 0.05)
HISTORY = DelayedTau({"tage": Column(0.0, 13.8), "tau": Column(0.1, 20.0, log=True)})
COMPONENTS = torch.from_numpy(HISTORY.components(LOG_AGE))
ages = st.tuples(st.floats(0.001, 13.8), st.floats(0.1, 20.0))


def mean_log_age(tage, tau):
    """Of the mass, log10 of years, by numerical integration over ln t."""
    t = np.geomspace(1e-9, tage, 200_001)
    mass = t * (tage - t) * np.exp(-(tage - t) / tau)
    return mass @ np.log10(t * 1e9) / mass.sum()


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.floats(1.0, 13.8), st.floats(0.1, 20.0)))
def test_mass_and_mean_log_age_are_kept(pair):
    """SSPs are linear in log age: its mean is kept, but for what is younger than the first."""
    tage, tau = pair
    weights = delayed_tau_weights(LOG_AGE, np.array([tage]), np.array([tau]))[0]

    assert weights.sum() == pytest.approx(1)
    assert weights.min() > -1e-7
    assert weights @ LOG_AGE == pytest.approx(mean_log_age(tage, tau), abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.lists(ages, min_size=1, max_size=5))
def test_the_engine_mixes_the_history(pairs):
    """Shares of components add up to one and give the weights, to two hundredths of the mass."""
    tage, tau = np.array(pairs).T
    column = {"tage": torch.tensor(tage), "tau": torch.tensor(tau)}
    index, share = HISTORY.mixture(LOG_AGE, column)
    mixed = (share[:, :, None] * COMPONENTS[index.long()]).sum(1).numpy()
    exact = HISTORY.weights(LOG_AGE, {"tage": tage, "tau": tau})

    assert share.sum(1) == pytest.approx(np.ones(len(tage)))
    assert np.abs(mixed.cumsum(1) - exact.cumsum(1)).max() < LARGEST


def test_most_histories_are_mixed_well():
    """Of the prior's, to a tenth of what the worst may miss; the median to a thousandth."""
    rng = np.random.default_rng(0)
    tage, tau = rng.uniform(0.01, 13.8, 2000), 10 ** rng.uniform(-1, 1.3, 2000)
    column = {"tage": torch.tensor(tage), "tau": torch.tensor(tau)}
    index, share = HISTORY.mixture(LOG_AGE, column)
    mixed = (share[:, :, None] * COMPONENTS[index.long()]).sum(1).numpy()
    exact = HISTORY.weights(LOG_AGE, {"tage": tage, "tau": tau})
    error = np.abs(mixed.cumsum(1) - exact.cumsum(1)).max(1)

    assert np.median(error) < 1e-4
    assert np.percentile(error, 90) < 2e-3


@settings(max_examples=100, deadline=None)
@given(ages)
def test_coordinates_of_chains_are_undone(pair):
    """And their slope is that of finite differences."""
    check_coordinates(HISTORY, pair)


def test_the_first_coordinate_is_the_mean_age():
    """Of the mass: by integration, and in the limits of a burst and of a constant rise."""
    tage, tau = 3.0, 0.7
    mass = lambda t: (tage - t) * math.exp(-(tage - t) / tau)  # noqa: E731
    mean = quad(lambda t: t * mass(t), 0, tage)[0] / quad(mass, 0, tage)[0]
    straight = HISTORY.straight(np.array([[tage, tau], [10.0, 0.001], [10.0, 1e6]]))

    assert np.exp(straight[0, 0]) == pytest.approx(mean)
    assert np.exp(straight[1:, 0]) == pytest.approx([10.0, 10 / 3], rel=1e-3)


def test_far_points_stay_numbers():
    """A chain may step anywhere: ages beyond every prior, never NaN."""
    theta, log_slope = HISTORY.theta(np.array([[800.0, -800.0], [-800.0, 800.0]]))

    assert np.isfinite(theta).all() and np.isfinite(log_slope).all()
