"""Gas of any ionisation: what the engine makes of it against sums over ages, slopes, FSPS."""

import os

import gas_table
import numpy as np
import pytest
import tiny
import torch

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fork_server import OK
from hpcsbi.simulator.direct.fsps_spectra import (
    direct_gas,
    direct_gas_ages,
    direct_spectra,
    direct_ssps,
)
from hpcsbi.simulator.galaxy.free_gas import LOGU, LOGZ, GasNodes, age_basis
from hpcsbi.simulator.galaxy.physics import Physics, check_names
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_arrays import table_arrays
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_store

HOME = os.environ.get("SPS_HOME")
CASES = {
    "screen": (2, ("dust2",)),
    "clouds": (2, ("dust2", "dust1_fraction")),
    "two parts": (4, ("dust2", "dust_index", "dust1_fraction")),
}


def rows_of(theta, names):
    return [dict(zip(names, row, strict=True)) for row in theta]


@pytest.mark.parametrize("gas_logz", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_spectra_are_sums_over_ages(case, gas_logz):
    """Of stars and gas, each behind its dust; other gas is told apart."""
    dust_type, dust = CASES[case]
    prior = gas_table.prior(*dust, gas_logz=gas_logz)
    engine = gas_table.engine(dust_type, prior)
    theta = prior.sample(40, np.random.default_rng(0))
    theta[:20, prior.names.index("tage")] = np.geomspace(0.01, 0.1, 20)  # in which gas matters
    right = gas_table.truth(rows_of(theta, prior.names), dust_type)

    flux = engine.flux(torch.tensor(theta), prior.names).numpy()
    for spectra in (flux, exact_spectra(engine, theta, prior.names)):
        error = np.abs(np.log(spectra / right))
        assert np.median(error) < 2e-4 and np.percentile(error, 99) < 1e-2
    other = theta.copy()
    other[:, prior.names.index("gas_logu")] += 0.05
    moved = np.abs(np.log(gas_table.truth(rows_of(other, prior.names), dust_type) / right))
    assert moved[:20].max() > 2e-2  # negative control


def test_gas_may_be_fixed():
    """As free gas there is, to the byte: the table holds all of it."""
    free = gas_table.prior("dust2", gas_logz=True)
    numbers = {"gas_logu": -2.2, "gas_logz": -0.1}
    prior = Prior(dict(free.columns) | {name: {"given": x} for name, x in numbers.items()})
    theta = torch.tensor(prior.sample(20, np.random.default_rng(0)))
    flux = [gas_table.engine(2, each).flux(theta, each.names) for each in (free, prior)]

    assert prior.inferred_names == tuple(n for n in free.names if n not in numbers)
    assert torch.equal(*flux)


def test_gas_of_the_stars_metallicity_is_the_default():
    """A column that says so changes nothing; one that says otherwise does."""
    tied, free = gas_table.prior("dust2"), gas_table.prior("dust2", gas_logz=True)
    engines = [gas_table.engine(2, prior) for prior in (tied, free)]
    theta = tied.sample(20, np.random.default_rng(1))
    theta[:, tied.names.index("tage")] = np.geomspace(0.01, 0.1, 20)
    of_stars = theta[:, tied.names.index("logzsol")]
    at = free.names.index("gas_logz")
    same, other = (np.insert(theta, at, z, axis=1) for z in (of_stars, -0.6 - of_stars))
    flux = engines[0].flux(torch.tensor(theta), tied.names)

    assert engines[1].flux(torch.tensor(same), free.names).numpy() == pytest.approx(
        flux.numpy(), rel=1e-4
    )
    assert (engines[1].flux(torch.tensor(other), free.names) / flux - 1).abs().max() > 0.05


def test_slopes_and_both_ways_to_sum():
    """Automatic slopes are those of differences; compiled sums are those of torch."""
    prior = gas_table.prior("dust2", "dust1_fraction", gas_logz=True)
    engine = gas_table.engine(2, prior)
    theta = torch.tensor(prior.sample(30, np.random.default_rng(2)))
    theta[:, prior.names.index("tage")] = torch.linspace(0.02, 0.4, 30)
    with torch.no_grad():
        compiled = engine.flux(theta, prior.names)
    written = engine.flux(theta.clone().requires_grad_(), prior.names).detach()
    assert written.numpy() == pytest.approx(compiled.numpy(), rel=1e-4)

    engine = engine.double()
    theta = theta.requires_grad_()
    level = engine.flux(theta, prior.names).log().sum()
    (slope,) = torch.autograd.grad(level, theta)
    for name in ("gas_logu", "gas_logz", "line_strength"):
        step = 1e-6 * torch.eye(len(prior.names))[prior.names.index(name)]
        low, high = (engine.flux(theta.detach() + side * step, prior.names) for side in (-1, 1))
        numerical = (high.log() - low.log()).sum(1) / 2e-6
        assert slope[:, prior.names.index(name)].numpy() == pytest.approx(
            numerical.numpy(), rel=1e-4, abs=1e-6
        )


def test_nodes_are_met_and_nan_is_nan():
    """At a node its values; beyond all of them those of the end; of NaN NaN."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, len(LOGU.nodes), 2, 4))
    nodes = GasNodes(np.array([-0.6, -0.3, 0.0]), values).double()
    logu, logz = LOGU.nodes[[0, 4, 18, 18, 3]], np.array([-0.6, -0.3, 0.0, 0.0, np.nan])
    logu[3] = 5.0
    column = {"gas_logu": torch.tensor(logu), "logzsol": torch.tensor(logz)}
    photons = torch.tensor(rng.random((5, 2)))
    mixed = nodes(photons, column)

    for i, (z, u) in enumerate([(0, 0), (1, 4), (2, 18), (2, 18)]):
        expected = photons[i].numpy() @ values[z, u].astype(np.float32)
        assert mixed[i].numpy() == pytest.approx(expected, abs=1e-6)  # nodes are float32
    assert mixed[4].isnan().all()


def test_an_age_basis_loses_little():
    """Emission of any mixture of ages by a dozen numbers, against the light of stars and gas."""
    rng = np.random.default_rng(0)
    ages, pixels = 40, 30
    slow = np.linspace(0, 1, ages)[:, None]
    emission = np.exp(rng.normal(size=(25, 1, pixels)) + slow * rng.normal(size=(25, 1, pixels)))
    ionising, stars = np.exp(-6 * slow[:, 0]), np.ones((ages, pixels))
    onto, of = age_basis(emission, ionising, stars)
    mixtures = rng.exponential(size=(50, ages)) * ionising
    exact = np.einsum("ma,nap->mnp", mixtures, emission)
    told = np.einsum("mk,nkp->mnp", mixtures @ onto, np.einsum("ka,nap->nkp", of, emission))

    assert np.abs(told / exact - 1).max() < 1e-3
    assert np.abs(told[1:] / exact[:-1] - 1).max() > 0.1  # negative control


def test_a_table_without_gas_is_told_what_it_lacks():
    """And columns that make no model are named."""
    names = (*tiny.columns("survey"), "gas_logu")
    with pytest.raises(BadInput, match=r"has no stars, ionising, .*gas_logu takes: make it with"):
        table_arrays(open_store(tiny.TABLE), names)
    check_names((*names, "gas_logz"), Physics())
    with pytest.raises(BadInput, match="gas_logz without gas_logu"):
        check_names((*names[:-1], "gas_logz"), Physics())


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_emits_the_same():
    """Prospector's spectra of any ionisation, between nodes of three metallicities."""
    grid, physics, nodes = Grid(), Physics(), [-0.3, -0.25, -0.2]
    columns = tiny.columns("gas") | {"logzsol": {"low": -0.3, "high": -0.2}}
    columns["tage"] = {"low": 0.001, "high": 0.1, "log": True}
    prior = Prior(columns)
    onto, of = direct_gas_ages(grid, physics)
    tables = direct_ssps(nodes, grid, physics) | direct_gas(nodes, of, grid, physics)
    wanted = ("continuum", "lines", "log_age", "stars", "ionising", "gas_continuum", "gas_lines")
    arrays = {name: tables[name] for name in wanted}
    arrays |= {"logzsol": np.array(nodes), "wave": grid.wave, "age_onto": onto}
    arrays["dust_curve"] = open_store(tiny.TABLE).read("dust_curve")
    engine = Ssp(**arrays, prior=prior)
    theta = prior.sample(30, np.random.default_rng(0))
    direct, status = direct_spectra(theta, prior.names, grid, physics)
    error = np.abs(np.log(engine.flux(torch.tensor(theta), prior.names).numpy() / direct))

    assert (status == OK).all() and -0.3 in LOGZ
    assert np.median(error) < 2e-4 and np.percentile(error, 99) < 5e-3
    theta[:, prior.names.index("gas_logu")] += 0.02
    other = engine.flux(torch.tensor(theta), prior.names).numpy()
    assert np.percentile(np.abs(np.log(other / direct)), 99) > 1e-2  # negative control
