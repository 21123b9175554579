"""Rates that are constant in bins: their mass by age, what the engine mixes it of, their times."""

import os

import numpy as np
import pytest
import tiny
import torch
from history_checks import check_engine, check_history_slopes, check_prospector
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.bins import Bins, constant_rates
from hpcsbi.simulator.galaxy.continuity import Continuity
from hpcsbi.simulator.galaxy.post_starburst import PostStarburst
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

HOME = os.environ.get("SPS_HOME")
FIVE = {
    f"agebin_edge_{i}": {"given": t} for i, t in enumerate((0.01, 0.05, 0.1, 0.316, 1.0), start=1)
}


def prior_of(name, said=None):
    """One that ships, and what it says beside of where its bins lie."""
    columns = tiny.columns(name)
    return Prior({"tage": columns["tage"]} | (said or {}) | columns)


PRIORS = {
    "continuity": prior_of("continuity"),
    "post_starburst": prior_of("post_starburst"),
    "dirichlet": prior_of("dirichlet"),
    "five edges": prior_of("continuity", FIVE),
    "an edge that is inferred": prior_of(
        "continuity", {"agebin_edge_1": {"low": 0.01, "high": 0.05}}
    ),
    "an oldest bin": prior_of("dirichlet", {"oldest_agebin_fraction": {"given": 0.7}}),
    "flexible bins to 3 Gyr": prior_of("post_starburst", {"tflex": {"given": 3.0}}),
}
FIRST = dict.fromkeys(PRIORS, "logsfr_ratio_1") | dict.fromkeys(
    ("dirichlet", "an oldest bin"), "z_fraction_1"
)
LOG_AGE = np.linspace(5, 10.3, 107)
widths = st.lists(st.floats(0.002, 3.0), min_size=4, max_size=4)
masses = st.lists(st.floats(-10.0, 3.0), min_size=4, max_size=4)


def bins(widths, log_mass, kind=torch.float64):
    edges = torch.tensor([widths], dtype=torch.float64).cumsum(1)
    return Bins(edges.to(kind), torch.tensor([log_mass], dtype=kind))


def brute_force(edges, mass):
    """The integral of hat functions in log age over bins, by small steps."""
    ages = np.geomspace(1e-7, 20, 4_000_001)
    middle, step = np.sqrt(ages[1:] * ages[:-1]), np.diff(ages)
    number = np.searchsorted(edges, middle)
    rate = np.append(mass / np.diff(edges, prepend=0), 0)[number]
    place = np.interp(np.log10(middle) + 9, LOG_AGE, np.arange(107.0))
    node = np.floor(place).astype(int).clip(0, 105)
    summed = np.bincount(node, rate * step * (1 - place + node), 107)
    return summed + np.bincount(node + 1, rate * step * (place - node), 107)


@pytest.mark.parametrize(
    "edges", [(0.03, 0.1, 1.0, 12.0), (0.01, 0.0101, 0.011, 0.5), (1.5, 1.6, 2.0, 13.8)]
)
def test_weights_equal_brute_force(edges):
    """Whatever the bins; and not those of bins with other masses."""
    mass = np.array([0.1, 0.5, 0.3, 0.1])
    history = Bins(torch.tensor([edges], dtype=torch.float64), torch.tensor([np.log(mass)]))

    [weights] = history.weights(LOG_AGE)
    summed = brute_force(np.array(edges), mass)
    assert np.abs(weights - summed / summed.sum()).max() < 1e-4
    other = brute_force(np.array(edges), mass[::-1])
    assert np.abs(weights - other / other.sum()).max() > 1e-2


@given(widths, masses)
def test_all_mass_is_counted(widths, log_mass):
    """One solar mass, none of it older than the oldest end, none negative; compiled as written."""
    history, quick = bins(widths, log_mass), bins(widths, log_mass, torch.float32)
    [weights], [compiled] = history.weights(LOG_AGE), quick.weights(LOG_AGE)
    last = np.searchsorted(LOG_AGE, np.log10(sum(widths)) + 9)

    assert weights.sum() == pytest.approx(1) and weights.min() > -1e-12
    assert np.abs(weights[last + 1 :]).max(initial=0) < 1e-12
    assert np.abs(weights - compiled).max() < 2e-4  # narrow and light bins beside wide ones


def test_mass_older_than_a_bin_is_told_by_the_others():
    """Splitting a bin in two with the same rate changes nothing."""
    whole = bins([0.5, 1.5, 3.0, 1.0], [0.0, 0.3, -1.0, 0.2])
    split = bins(
        [0.5, 1.0, 0.5, 3.0, 1.0], [0.0, 0.3 + np.log(2 / 3), 0.3 + np.log(1 / 3), -1, 0.2]
    )

    assert split.weights(LOG_AGE) == pytest.approx(whole.weights(LOG_AGE), abs=1e-14)
    assert split.mean_age() == pytest.approx(whole.mean_age())
    for share in (0.01, 0.3, 0.9):
        assert split.lookback(share) == pytest.approx(whole.lookback(share))


def test_components_are_populations():
    """Each sums to one; the first half are means over all younger ages."""
    components = constant_rates(LOG_AGE)

    assert components.shape == (214, 107)
    assert components.sum(1) == pytest.approx(np.ones(214)) and components.min() > -1e-15
    assert components[0, 0] == components[107, 0] == 1
    mean = components[60] @ 10 ** (LOG_AGE - 9)
    assert mean == pytest.approx(10 ** (LOG_AGE[60] - 9) / 2, rel=2e-3)  # hats are a bit older


@given(widths, masses, st.floats(0.001, 0.999))
def test_times_are_inverse_to_shares(widths, log_mass, share):
    """And the mean age lies between that of the youngest and of the oldest."""
    history = bins(widths, log_mass)
    time = history.lookback(share)

    assert 0 <= time <= sum(widths) * (1 + 1e-12)
    assert history.younger(time) == pytest.approx(1 - share, abs=1e-9)
    assert history.younger(sum(widths)) == pytest.approx(1)
    assert widths[0] / 2 <= history.mean_age() <= sum(widths) - widths[-1] / 2


@pytest.mark.parametrize(("family", "least"), [(Continuity, 0.2), (PostStarburst, 2.5)])
def test_bins_that_do_not_ascend_are_refused(family, least):
    """The line names the column, what is asked of it and the columns that ask."""
    columns = {name: {"low": 0.1, "high": 1} for name in family.names}
    with pytest.raises(BadInput, match=f"tage begins at 0.1 Gyr.*ratio_1.*from {least} "):
        family(Prior(columns | {"tage": {"low": 0.1, "high": 9}}).columns)
    family(Prior(columns | {"tage": {"low": least, "high": 9}}).columns)


@pytest.mark.parametrize("name", PRIORS)
def test_the_table_holds_all_kinds_of_bins(name):
    """The engine against sums of SSPs, on the prior and on its corners."""
    table = open_complete(tiny.TABLE, "tabulate")
    check_engine({array: table.read(array) for array in ARRAYS}, PRIORS[name])


@pytest.mark.parametrize("name", PRIORS)
def test_slopes_are_those_of_finite_differences(name):
    """Of a spectrum by each column."""
    check_history_slopes(PRIORS[name])


@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
@pytest.mark.parametrize("name", PRIORS)
def test_prospector_makes_the_same_spectra(name):
    """By the template of each."""
    check_prospector(PRIORS[name], FIRST[name])
