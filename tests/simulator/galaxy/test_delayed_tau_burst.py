"""A delayed tau with a burst: its mass by age, what the engine mixes it of, FSPS, coordinates."""

import os

import numpy as np
import pytest
import tiny
import torch
from history_checks import LARGEST, check_slopes
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct import fsps_spectra
from hpcsbi.simulator.direct.fork_server import OK
from hpcsbi.simulator.direct.fsps_spectra import direct_spectra, direct_ssps
from hpcsbi.simulator.direct.prospector_model import example_row, spectrum
from hpcsbi.simulator.galaxy.delayed_tau import DelayedTau, delayed_tau_weights
from hpcsbi.simulator.galaxy.delayed_tau_burst import DelayedTauBurst, burst_weights
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

HOME = os.environ.get("SPS_HOME")
GRID, PHYSICS = Grid(), Physics()
LOG_AGE = np.linspace(5, 10.3, 107)
PRIOR = Prior(tiny.columns("burst"))
HISTORY = DelayedTauBurst(PRIOR.columns)
NAMES = HISTORY.names
COMPONENTS = torch.from_numpy(HISTORY.components(LOG_AGE))
shares = st.floats(0.0, 1.0)
histories = st.tuples(st.floats(0.01, 13.8), st.floats(0.1, 20.0), shares, shares)


def columns(*rows):
    return dict(zip(NAMES, np.array(rows).T, strict=True))


def tensors(column, kind=torch.float32):
    return {name: torch.tensor(values, dtype=kind) for name, values in column.items()}


def mixed(column):
    index, share = HISTORY.mixture(LOG_AGE, column)
    return (share[:, :, None] * COMPONENTS.to(share.dtype)[index.long()]).sum(1)


@pytest.fixture(scope="module")
def arrays():
    table = open_complete(tiny.TABLE, "tabulate")
    return {name: table.read(name) for name in ARRAYS}


@given(histories)
def test_mass_is_that_of_the_rest_and_of_the_burst(row):
    """The sum is one, none is older than the galaxy, and the burst's mean log age is its own."""
    tage, tau, share, fraction = row
    [weights] = HISTORY.weights(LOG_AGE, columns(row))
    [rest] = delayed_tau_weights(LOG_AGE, [tage], [tau])
    older = np.searchsorted(LOG_AGE, np.log10(tage) + 9) + 1

    assert weights.sum() == pytest.approx(1)
    assert np.abs(weights[older:]).max(initial=0) < 1e-9
    log_age = max(np.log10(max(tage * fraction, 1e-9)) + 9, LOG_AGE[0])
    assert (weights - (1 - share) * rest) @ LOG_AGE == pytest.approx(share * log_age, abs=1e-7)


@pytest.mark.parametrize("fraction", [0.003, 0.2, 0.95])
def test_weights_are_those_of_a_short_burst(fraction):
    """By adding up the mass of a history whose burst lasts a thousandth of its age."""
    tage, tau, share = 6.0, 2.0, 0.3
    burst = fraction * tage * np.linspace(0.9995, 1.0005, 2001)
    age = np.geomspace(1e-6, tage, 400_001)
    middle = np.sqrt(age[1:] * age[:-1])
    rate = (tage - middle) * np.exp(-(tage - middle) / tau) * np.diff(age)
    x = np.log10(np.concatenate([middle, burst])) + 9
    mass = np.concatenate([(1 - share) * rate / rate.sum(), np.full(2001, share / 2001)])
    place = np.interp(x, LOG_AGE, np.arange(107.0))
    node = np.floor(place).astype(int).clip(0, 105)
    summed = np.bincount(node, mass * (1 - place + node), 107)
    summed += np.bincount(node + 1, mass * (place - node), 107)

    [weights] = HISTORY.weights(LOG_AGE, columns((tage, tau, share, fraction)))
    assert np.abs(weights - summed).max() < 3e-5
    [other] = HISTORY.weights(LOG_AGE, columns((tage, tau, share, 0.9 * fraction)))
    assert np.abs(other - summed).max() > 0.05  # negative control


def test_limits_are_a_delayed_tau_and_an_ssp():
    """Share 0 and 1 of the mass in the burst, to the bit; also as the engine mixes them."""
    theta = PRIOR.sample(200, np.random.default_rng(0))
    column = dict(zip(PRIOR.names, theta.T, strict=True))
    none, all_ = ({**column, "fburst": np.full(200, f)} for f in (0.0, 1.0))
    smooth = DelayedTau(PRIOR.columns)

    assert np.array_equal(HISTORY.weights(LOG_AGE, none), smooth.weights(LOG_AGE, column))
    age = column["tage"] * column["burst_age_fraction"]
    assert np.array_equal(HISTORY.weights(LOG_AGE, all_), burst_weights(LOG_AGE, age))
    assert torch.equal(
        HISTORY.mixture(LOG_AGE, tensors(none))[1][:, :16],
        smooth.mixture(LOG_AGE, tensors(column))[1],
    )
    assert (HISTORY.mixture(LOG_AGE, tensors(none))[1][:, 16:] == 0).all()
    assert (HISTORY.mixture(LOG_AGE, tensors(all_))[1][:, :16] == 0).all()


def test_a_burst_of_a_node_is_its_ssp():
    """Before the first it is the first, beyond the last the last; between them it is shared."""
    nodes = burst_weights(LOG_AGE, 10 ** (LOG_AGE - 9))
    outside = burst_weights(LOG_AGE, np.array([0.0, 1e-9, 1e-5, 30.0]))
    between = burst_weights(LOG_AGE, 10 ** (LOG_AGE[:-1] + 0.0125 - 9))

    assert np.abs(nodes - np.eye(107)).max() < 1e-6
    assert np.array_equal(outside, np.eye(107)[[0, 0, 0, -1]])
    assert between == pytest.approx(0.75 * np.eye(107)[:-1] + 0.25 * np.eye(107)[1:], abs=1e-6)


@given(st.lists(histories, min_size=1, max_size=5))
def test_the_engine_mixes_the_history(rows):
    """Shares add up to one and give the weights, to LARGEST of the mass; of a burst exactly."""
    column = columns(*rows)
    exact = HISTORY.weights(LOG_AGE, column)
    for kind in (torch.float32, torch.float64):
        weights = mixed(tensors(column, kind)).double().numpy()
        assert weights.sum(1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
        assert np.abs(weights.cumsum(1) - exact.cumsum(1)).max() < LARGEST
    alone = {**column, "fburst": np.ones(len(rows))}
    weights = mixed(tensors(alone, torch.float64)).numpy()
    assert np.abs(weights - HISTORY.weights(LOG_AGE, alone)).max() < 1e-9


def test_slopes_are_those_of_finite_differences():
    """Of a spectrum by each number; where the burst is or the history ends at a node is a kink."""
    theta = torch.tensor(PRIOR.sample(60, np.random.default_rng(1)))[:, 3:7]

    check_slopes(mixed, LOG_AGE, theta, NAMES)


def test_what_is_no_number_gives_none():
    """NaN in any column is NaN in the spectrum, and no index lies beside the components."""
    for name in NAMES:
        column = tensors(columns((3.0, 1.0, 0.2, 0.1)))
        column[name] = torch.full((1,), torch.nan)
        index, share = HISTORY.mixture(LOG_AGE, column)
        assert share.isnan().any(), name
        assert (index >= 0).all() and (index < len(COMPONENTS)).all()
    zero = tensors(columns((0.0, 0.1, 0.0, 0.0)))
    assert HISTORY.mixture(LOG_AGE, zero)[1].isfinite().all()


def test_chains_walk_as_without_a_burst():
    """In the coordinates of the rest; share and age of the burst go by the prior's."""
    theta = PRIOR.sample(50, np.random.default_rng(4))[:, 3:5]
    straight = HISTORY.straight(theta)
    back, log_slope = HISTORY.theta(straight)

    assert HISTORY.curved == NAMES[:2] and back == pytest.approx(theta)
    assert np.array_equal(log_slope, DelayedTau.theta(straight)[1])


def test_the_table_holds_bursts(arrays):
    """The engine against sums of SSPs, on the prior, and where all mass is in the burst."""
    engine = Ssp(**arrays, prior=PRIOR)
    theta = PRIOR.sample(500, np.random.default_rng(2))
    pure = theta[:200].copy()
    pure[:, PRIOR.names.index("fburst")] = 1.0
    for rows, (median, p99, largest) in ((theta, (1e-4, 2e-3, 4e-2)), (pure, (3e-4, 5e-3, 5e-2))):
        flux = engine.flux(torch.tensor(rows), PRIOR.names).numpy()
        error = np.abs(np.log(flux / exact_spectra(engine, rows, PRIOR.names)))
        assert np.median(error) < median and np.percentile(error, 99) < p99
        assert error.max() < largest
    later = theta.copy()
    later[:, PRIOR.names.index("burst_age_fraction")] *= 0.8
    moved = np.abs(
        np.log(
            exact_spectra(engine, later, PRIOR.names) / exact_spectra(engine, theta, PRIOR.names)
        )
    )
    assert np.percentile(moved, 99) > 0.05  # negative control


@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_makes_the_same_weights():
    """Prospector's spectra are sums of FSPS's SSPs, also at both ends of share and age."""
    theta = PRIOR.sample(24, np.random.default_rng(3))[:, :-2]
    column = dict(zip(PRIOR.names[:-2], theta.T, strict=True))
    column["logzsol"][:], column["dust2"][:] = -0.3, 0.0
    column["fburst"][:4], column["burst_age_fraction"][:4] = [1, 0, 0.5, 0.5], [0.2, 0.2, 0, 1]
    flux, status = direct_spectra(theta, tuple(column), GRID, PHYSICS)
    tables = direct_ssps([-0.3], GRID, PHYSICS)
    ssps, log_age = (tables["continuum"] + tables["lines"])[0, :, 0], tables["log_age"]
    sums = HISTORY.weights(log_age, column) @ ssps * 10 ** column["logmass"][:, None]

    assert (status == OK).all()
    assert np.abs(np.log(sums / flux)).max() < 1e-6
    column["burst_age_fraction"][:] *= 1.01
    other = HISTORY.weights(log_age, column) @ ssps * 10 ** column["logmass"][:, None]
    assert np.abs(np.log(other / flux)).max() > 1e-4  # negative control


@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_a_burst_does_not_stay_in_fsps():
    """The next history of the same process has none, whichever family asks."""
    row = example_row(-0.3, PHYSICS)
    names = {"spectrum": spectrum, "physics": PHYSICS, "grid": GRID}
    names["rows"] = [row | HISTORY.example, row]
    calls = [("[spectrum(physics, grid, row) for row in rows]", names)]
    [(status, spectra)] = fsps_spectra._nursery(PHYSICS, GRID).ask(eval, calls)
    alone, _ = direct_spectra(np.array([[*row.values()]]), tuple(row), GRID, PHYSICS)

    assert status == OK
    assert np.array_equal(spectra[1], alone[0]) and not np.array_equal(*spectra)
