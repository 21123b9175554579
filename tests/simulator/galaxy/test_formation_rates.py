"""Rates in bins of lookback time conserve the mass formed, for every family of histories."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.formation_rates import formation_rates
from hpcsbi.simulator.galaxy.histories import HISTORIES

LATEST = 13.8


def row(family, logmass):
    """Theta of one galaxy of a family, with its columns."""
    columns = {"logmass": logmass, **HISTORIES[family].example}
    return np.array([[*columns.values()]], dtype=float), [*columns]


@pytest.mark.parametrize("family", HISTORIES)
@given(logmass=st.floats(6, 12), cuts=st.sets(st.floats(0.01, 13), min_size=1, max_size=8))
def test_all_mass_is_in_some_bin(family, logmass, cuts):
    """Wherever the bins end, and none in time before the first star."""
    theta, names = row(family, logmass)
    edges = np.array([0.0, *sorted({round(cut, 4) for cut in cuts}), LATEST + 0.2])

    rates = formation_rates(theta, names, edges)

    assert rates.shape == (1, len(edges) - 1) and (rates >= -1e-9 * rates.max()).all()
    assert np.isclose((rates * np.diff(edges) * 1e9).sum(), 10**logmass, rtol=1e-6)


def test_a_delayed_tau_is_its_own_integral():
    """Against quadrature of t exp(-t / tau), a code of its own."""
    tage, tau, edges = 6.0, 1.5, np.array([0.0, 0.5, 2.0, 5.0])
    theta = np.array([[10.0, tage, tau]])
    t = np.linspace(0, tage, 600_001)
    rate = t * np.exp(-t / tau)
    rate *= 1e10 / np.trapezoid(rate, t)
    lookback = tage - t
    expected = [
        np.trapezoid(np.where((lookback >= a) & (lookback <= b), rate, 0), t) / (b - a) / 1e9
        for a, b in pairwise(edges)
    ]

    found = formation_rates(theta, ["logmass", "tage", "tau"], edges)[0]

    assert np.allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("edges", [[0.0], [-0.1, 1.0], [0.0, 2.0, 1.0], [[0.0, 1.0]]])
def test_wrong_edges_are_refused(edges):
    """Before anything is computed."""
    with pytest.raises(BadInput, match="ascending from 0"):
        formation_rates(*row("delayed_tau", 10.0), np.array(edges))
