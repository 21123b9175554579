"""Histories of draws whose rates are known in closed form."""

import numpy as np
import pandas as pd
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.library.history import history_table

COLUMNS = ("logmass", "logzsol", "dust2", "tage", "tau")


def draws(ages, tau=1e4):
    """Delayed tau with a long tau: the rate rises in proportion to the time since it began."""
    rows = [(10.0, 0.0, 0.0, age, tau) for age in ages]
    return pd.DataFrame(rows, columns=[*COLUMNS])


def test_a_rate_that_rises_in_proportion_to_time():
    """10^10 solar masses in T = 10 Gyr: 2 (T - t) / T of the mean rate, averaged over each bin."""
    edges = np.array([0.0, 1.0, 4.0, 10.0, 12.0])
    table = history_table(draws([10.0]), np.ones(1), 0.01, edges)
    middle = (edges[:-1] + edges[1:]) / 2

    assert table["p50"].to_numpy() == pytest.approx(np.maximum(2 * (1 - middle / 10), 0), abs=2e-3)
    assert table.attrs["unit"]["p50"] == "solMass/yr"


def test_bands_follow_the_weights():
    """Who has no weight has no say; equal weights of two are a band between both."""
    both = draws([2.0, 10.0])
    first = history_table(both, np.array([1.0, 0.0]), 0.01, [0, 1])
    alone = history_table(draws([2.0]), np.ones(1), 0.01, [0, 1])
    assert first["p97_5"].iloc[0] == pytest.approx(alone["p50"].iloc[0])
    band = history_table(both, np.array([0.5, 0.5]), 0.01, [0, 1]).iloc[0]
    assert band["p2_5"] < band["p97_5"]


def test_default_edges_reach_the_oldest_draw_and_the_universe():
    """Whichever is older; no star is older than its galaxy."""
    table = history_table(draws([1.0, 13.9]), np.array([0.5, 0.5]), 2.0, None)
    assert table["lookback_to"].iloc[-1] == pytest.approx(13.9)
    table = history_table(draws([1.0]), np.ones(1), 0.5, None)
    assert 8 < table["lookback_to"].iloc[-1] < 9
    assert (table.loc[table["lookback_from"] > 1.0, "p50"] == 0).all()


def test_edges_that_do_not_ascend():
    """Refused in a line."""
    with pytest.raises(BadInput, match="ascending"):
        history_table(draws([1.0]), np.ones(1), 0.1, [1.0, 0.5])
