"""Dispersions that are free: the engine against Gaussians of any width, limits, slopes, FSPS."""

import os

import kinematics_table
import numpy as np
import pytest
import tiny
import torch
from kinematics_table import BOTH, CASES, engine_of

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fork_server import OK
from hpcsbi.simulator.direct.fsps_spectra import direct_spectra, direct_ssps
from hpcsbi.simulator.galaxy.kinematics import Dispersions, Kinematics
from hpcsbi.simulator.galaxy.physics import Physics, check_names
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_arrays import table_arrays, table_layout
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import create, open_store

HOME = os.environ.get("SPS_HOME")


def rows_of(theta, names):
    return [dict(zip(names, row, strict=True)) for row in theta]


def draws(prior, n=30, seed=0):
    theta = prior.sample(n, np.random.default_rng(seed))
    theta[: n // 2, prior.names.index("tage")] = np.geomspace(0.02, 0.3, n // 2)  # with lines
    return theta


@pytest.mark.parametrize("case", CASES)
def test_spectra_are_those_of_gaussians(case):
    """Stars and lines smoothed to widths of their own, behind their dust."""
    dust_type, dust = CASES[case]
    prior, engine = engine_of(dust_type, *dust, *BOTH)
    theta = draws(prior)
    right = kinematics_table.truth(rows_of(theta, prior.names), dust_type)

    flux = engine.flux(torch.tensor(theta), prior.names).numpy()
    for spectra in (flux, exact_spectra(engine, theta, prior.names)):
        error = np.abs(np.log(spectra / right))
        assert np.median(error) < 2e-4 and np.percentile(error, 99) < 1e-2
    for name in BOTH:
        other = theta.copy()
        other[:, prior.names.index(name)] = 280 - 0.5 * other[:, prior.names.index(name)]
        moved = np.abs(np.log(engine.flux(torch.tensor(other), prior.names).numpy() / right))
        assert moved.max() > 2e-2  # negative control


def test_lines_follow_the_stars_by_default():
    """A column that says so changes nothing."""
    prior, engine = engine_of(2, "dust2", "sigma_smooth")
    free = kinematics_table.prior("dust2", *BOTH)
    theta = draws(prior)
    at = free.names.index("eline_sigma")
    same = np.insert(theta, at, theta[:, prior.names.index("sigma_smooth")], axis=1)
    flux = engine.flux(torch.tensor(theta), prior.names)
    assert engine.flux(torch.tensor(same), free.names).numpy() == pytest.approx(
        flux.numpy(), rel=1e-5
    )


def test_the_dispersion_of_the_physics_is_one_of_them():
    """A table without columns is one with them, at that dispersion."""
    prior, engine = engine_of(2, "dust2", "sigma_smooth")
    tied, fixed = engine_of(2, "dust2")
    theta = draws(tied)
    at = prior.names.index("sigma_smooth")
    flux = fixed.flux(torch.tensor(theta), tied.names).numpy()
    errors = []
    for sigma in (Physics().sigma_smooth, 250.0):
        same = torch.tensor(np.insert(theta, at, sigma, axis=1))
        errors.append(np.abs(np.log(engine.flux(same, prior.names).numpy() / flux)))
    assert np.median(errors[0]) < 2e-4 and np.percentile(errors[0], 99) < 1e-2
    assert errors[1].max() > 0.02  # negative control


def test_a_table_for_a_fixed_dispersion_holds_that_one():
    """As many moments as one that is smoothed so, and the same bytes; another one is refused."""
    tied, smoothed = engine_of(2, "dust2")
    columns = dict(tied.columns) | {"sigma_smooth": {"given": Physics().sigma_smooth}}
    prior = Prior(columns)
    engine = kinematics_table.engine(2, prior)
    theta = draws(tied)
    same = np.insert(theta, prior.names.index("sigma_smooth"), Physics().sigma_smooth, axis=1)

    assert engine.kinematics.degrees == 1
    flux = engine.flux(torch.tensor(same), prior.names).numpy()
    assert flux == pytest.approx(smoothed.flux(torch.tensor(theta), tied.names).numpy(), rel=1e-5)
    exact = exact_spectra(engine, same, prior.names)
    assert exact == pytest.approx(exact_spectra(smoothed, theta, tied.names), rel=1e-6)
    nodes = engine.kinematics.dispersions.nodes
    assert nodes == pytest.approx([350.0])
    with pytest.raises(BadInput, match=r"spans 200 to 200 km/s, the table 350 to 350"):
        Kinematics({"sigma_smooth": Column(given=200)}, nodes)
    apart = {"sigma_smooth": Column(given=200), "eline_sigma": Column(given=100)}
    assert Kinematics.table(apart, kinematics_table.GRID).degrees > 2


def test_slopes_and_both_ways_to_sum():
    """Automatic slopes are those of differences; compiled sums are those of torch."""
    prior, engine = engine_of(2, "dust2", "sigma_smooth")
    theta = torch.tensor(draws(prior, 20, 2))
    with torch.no_grad():
        compiled = engine.flux(theta, prior.names)
    written = engine.flux(theta.clone().requires_grad_(), prior.names).detach()
    assert written.numpy() == pytest.approx(compiled.numpy(), rel=1e-4)
    dustless = theta.clone()
    dustless[:, prior.names.index("dust2")] = 0
    dustless[:, prior.names.index("logmass")] = 0
    assert engine.dustless(theta, prior.names).numpy() == pytest.approx(
        engine.flux(dustless, prior.names).numpy(), rel=1e-4
    )

    double = kinematics_table.engine(2, prior).double()
    theta = theta.requires_grad_()
    (slope,) = torch.autograd.grad(double.flux(theta, prior.names).log().sum(), theta)
    at = prior.names.index("sigma_smooth")
    step = 1e-4 * torch.eye(len(prior.names))[at]
    low, high = (double.flux(theta.detach() + side * step, prior.names) for side in (-1, 1))
    numerical = (high.log() - low.log()).sum(1) / 2e-4
    assert slope[:, at].numpy() == pytest.approx(numerical.numpy(), rel=1e-4, abs=1e-7)


@pytest.mark.slow
def test_gas_that_is_free_is_smoothed_as_well():
    """Its continuum as the stars, its lines as lines: as the exact sums, and as nodes tell."""
    prior, engine = engine_of(2, "dust2", "gas_logu", *BOTH)
    theta = draws(prior)
    exact = exact_spectra(engine, theta, prior.names)
    error = np.abs(np.log(engine.flux(torch.tensor(theta), prior.names).numpy() / exact))
    assert np.median(error) < 2e-4 and np.percentile(error, 99) < 1e-2
    other = theta.copy()
    other[:, prior.names.index("eline_sigma")] = 100
    assert np.abs(np.log(exact_spectra(engine, other, prior.names) / exact)).max() > 0.02


def test_polynomials_meet_their_nodes():
    """At nodes the spectra of which they are made; ends beyond; NaN of NaN."""
    free = Dispersions(60.0, 400.0, 5)
    rng = np.random.default_rng(0)
    at_nodes = rng.normal(size=(5, 7, 3, 4))
    table = free.moments(at_nodes)
    kinematics = Kinematics({"sigma_smooth": Column(60.0, 400.0)}, free.nodes)
    sigma = torch.tensor([*free.nodes, 1000.0, 400.0, np.nan])
    spectra = kinematics.of_dust(
        np.repeat(table[:1], len(sigma), 0), {"sigma_smooth": sigma}, lines=True
    )

    assert table.shape == (7, 3 + 4 * 2, 4)
    assert spectra[:5, :2] == pytest.approx(at_nodes[:, 0, :2], rel=1e-9, abs=1e-9)
    assert spectra[5] == pytest.approx(spectra[6]) and np.isnan(spectra[7, :2]).all()
    again = Dispersions.through(free.nodes)
    assert (again.low, again.high) == pytest.approx((60.0, 400.0)) and again.degrees == 5


def test_wrong_columns_and_tables_are_told(tmp_path):
    """One line that names the column, the table and the mend."""
    names = (*tiny.columns("survey"), *BOTH)
    check_names(names, Physics())
    with pytest.raises(BadInput, match="eline_sigma without sigma_smooth"):
        check_names([name for name in names if name != "sigma_smooth"], Physics())
    with pytest.raises(BadInput, match=r"has no sigma_nodes, .*sigma_smooth takes: make it with"):
        table_arrays(open_store(tiny.TABLE), names)
    with pytest.raises(BadInput, match="sigma_smooth spans 10"):
        Prior(tiny.columns("survey") | {"sigma_smooth": {"low": 10.0, "high": 400.0}})
    columns = {name: Column(50.0, 400.0) for name in BOTH}
    with pytest.raises(BadInput, match="no dispersions, and the prior has a column sigma_smooth"):
        Kinematics(columns)
    nodes = Dispersions(60.0, 400.0, 5).nodes
    with pytest.raises(BadInput, match=r"free dispersions, and the prior has no column"):
        Kinematics({}, nodes)
    with pytest.raises(BadInput, match=r"spans 50.0 to 400.0 km/s, the table 60 to 400"):
        Kinematics(columns, nodes)
    shipped = open_store(tiny.TABLE)
    axes = {name: shipped.read(name) for name in ("logzsol", "log_age", "wave", "dust_curve")}
    layout = table_layout(axes | {"sigma_nodes": nodes}, Physics())
    assert layout["continuum"].dims["moment"] == 11 and layout["bands"].dims["moment"] == 3
    store = create(tmp_path / "ssp.zarr", layout, {}, 8, {})
    with pytest.raises(BadInput, match="dispersions that are free, and theta has no column"):
        table_arrays(store, tuple(tiny.columns("survey")))


def test_lines_are_as_wide_as_their_column():
    """Or as that of the stars, or as the physics say."""
    stars, lines = Column(50.0, 300.0), Column(50.0, 500.0)
    assert Kinematics.widest_lines({}, 350.0) == 350
    assert Kinematics.widest_lines({"sigma_smooth": stars}, 350.0) == 300
    assert Kinematics.widest_lines({"sigma_smooth": stars, "eline_sigma": lines}, 350.0) == 500


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_makes_the_same():
    """Prospector's spectra of any dispersions of stars and lines, between three metallicities."""
    grid, physics, nodes = Grid(), Physics(), [-0.3, -0.25, -0.2]
    prior = Prior(tiny.columns("kinematics") | {"logzsol": {"low": -0.3, "high": -0.2}})
    free = Kinematics.table(prior.columns, grid)
    tables = direct_ssps(nodes, grid, physics, free=free)
    arrays = {name: tables[name] for name in ("continuum", "lines", "log_age")}
    arrays |= {"logzsol": np.array(nodes), "wave": grid.wave, "sigma_nodes": free.nodes}
    arrays["dust_curve"] = open_store(tiny.TABLE).read("dust_curve")
    engine = Ssp(**arrays, prior=prior)
    theta = prior.sample(30, np.random.default_rng(0))
    direct, status = direct_spectra(theta, prior.names, grid, physics)
    error = np.abs(np.log(engine.flux(torch.tensor(theta), prior.names).numpy() / direct))

    assert (status == OK).all()
    assert np.median(error) < 2e-4 and np.percentile(error, 99) < 5e-3
    for name in BOTH:
        other = theta.copy()
        other[:, prior.names.index(name)] = 280 - 0.5 * other[:, prior.names.index(name)]
        moved = engine.flux(torch.tensor(other), prior.names).numpy()
        assert np.percentile(np.abs(np.log(moved / direct)), 99) > 5e-3  # negative control
