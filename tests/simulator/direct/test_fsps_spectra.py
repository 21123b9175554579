import os

import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.library.model_table import load_table
from hpcsbi.simulator.direct import fsps_spectra
from hpcsbi.simulator.direct.fsps_data import tree_notice
from hpcsbi.simulator.direct.fsps_spectra import (
    DIED,
    OK,
    REFUSED,
    FspsError,
    direct_spectra,
    direct_ssps,
    preflight,
)
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete
from hpcsbi.survey.rest_frame import regrid

HOME = os.environ.get("SPS_HOME")
fsps = [pytest.mark.fsps, pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")]
GRID, PHYSICS = Grid(), Physics()
NAMES = ("logmass", "logzsol", "dust2", "tage", "tau", "line_strength")
PRIOR = Prior(
    {
        "logmass": {"low": 8, "high": 13},
        "logzsol": {"low": -2.0, "high": 0.4},
        "dust2": {"low": 0.1, "high": 10},
        "tage": {"low": 0.001, "high": 13.8},
        "tau": {"low": 0.1, "high": 20, "log": True},
        "line_strength": {"low": 0.03, "high": 3, "log": True},
    }
)
STOP = (
    "from hpcsbi.simulator.direct import prospector_model; f = prospector_model.fsps_here().ssp; "
    "f.params['frac_nodust'] = 1.5; f.get_spectrum(tage=1.0)"
)


def mark(test):
    for one in fsps:
        test = one(test)
    return test


def test_without_a_tree_nothing_starts(monkeypatch, tmp_path):
    """Unset and empty SPS_HOME are told before any process is made."""
    monkeypatch.delenv("SPS_HOME", raising=False)
    with pytest.raises(FspsError, match="is not set"):
        preflight(GRID, PHYSICS)
    monkeypatch.setenv("SPS_HOME", str(tmp_path))
    with pytest.raises(FspsError, match="missing or unreadable"):
        direct_spectra(np.ones((1, 6)), NAMES, GRID, PHYSICS)


@pytest.mark.slow
@mark
def test_the_table_agrees_with_prospector():
    """The engine and Prospector make the same spectra, for the tree the table was made with."""
    if not tree_notice(HOME):
        pytest.skip("the shipped table was made with the stand-in tree")
    theta = PRIOR.sample(40, np.random.default_rng(0))
    flux, status = direct_spectra(theta, NAMES, GRID, PHYSICS, processes=2)
    table = open_complete(SHIPPED, "tabulate")
    engine = Ssp(**{name: table.read(name) for name in ARRAYS}, prior=PRIOR)

    assert (status == OK).all()
    fast = engine.flux(torch.tensor(theta), NAMES).numpy()
    for ours in (fast, exact_spectra(engine, theta, NAMES)):
        error = np.abs(np.log(ours / flux))
        assert np.median(error) < 1e-4 and np.percentile(error, 99) < 5e-3
    # Negative control: spectra of the neighbouring row are told apart.
    assert np.median(np.abs(np.log(fast[1:] / flux[:-1]))) > 0.1


@pytest.mark.slow
@mark
def test_a_notebook_has_the_same_spectra():
    """The library asks by name, in any order, and agrees with its table of the same tree."""
    theta = {"tau": 2.0, "tage": 6.0, "dust2": 0.4, "logzsol": -0.3, "logmass": 10.0}
    theta["line_strength"] = 0.5
    table = load_table(SHIPPED, PRIOR)

    flux = table.prospector_spectrum(theta)

    row = np.array([[theta[name] for name in NAMES[:6]]])
    assert np.array_equal(flux, direct_spectra(row, NAMES[:6], GRID, PHYSICS)[0][0])
    far = 5e-3 if tree_notice(HOME) else 1.0  # from the tree that the shipped table is not of
    assert np.median(np.abs(np.log(flux / table.spectrum(theta)))) < far


@pytest.mark.slow
@mark
def test_pixels_of_any_width_hold_the_same_light():
    """A spectrum on logarithmic pixels is that of 1 Angstrom, rebinned; a table of them agrees.

    The table is of two metallicities, between which the draws lie.
    """
    grid, native = Grid(pixels=300, spacing="log"), Grid(first=3730, last=9530, pixels=5801)
    columns = {**PRIOR.columns, "logzsol": {"low": -0.3, "high": -0.25}}
    prior = Prior(columns)
    theta = prior.sample(20, np.random.default_rng(3))
    flux, status = direct_spectra(theta, NAMES, grid, PHYSICS)
    exact, _ = direct_spectra(theta, NAMES, native, PHYSICS)

    rebinned, cover = regrid(
        native.edges, exact.astype(float), np.ones(exact.shape), np.zeros(20), grid.edges
    )
    assert (status == OK).all() and (cover > 0).all()
    # Native pixels are taken as flat where they lie on an edge.
    assert np.abs(np.log(flux / rebinned)).max() < 5e-3
    ssps = direct_ssps([-0.3, -0.25], grid, PHYSICS)
    arrays = {name: ssps[name] for name in ("continuum", "lines", "log_age")}
    arrays |= {"logzsol": np.array([-0.3, -0.25]), "wave": grid.wave}
    engine = Ssp(**arrays, dust_curve=dust_curve(grid.wave, PHYSICS.dust_type), prior=prior)
    error = np.abs(np.log(engine.flux(torch.tensor(theta), NAMES).numpy() / flux))
    assert np.median(error) < 1e-4 and np.percentile(error, 99) < 5e-3
    # Negative control: a pixel aside the two are told apart.
    assert np.abs(np.log(flux[:, 1:] / rebinned[:, :-1])).max() > 0.05


@mark
def test_bad_rows_are_flagged_and_the_rest_goes_on():
    """NaN, a negative tau and age zero among good rows; the same bytes from one or two children."""
    theta = PRIOR.sample(6, np.random.default_rng(1))
    theta[1, 2], theta[3, 4], theta[4, 3] = np.nan, -1.0, 0.0
    flux, status = direct_spectra(theta, NAMES, GRID, PHYSICS)

    assert status[[0, 2, 4, 5]].tolist() == [OK] * 4
    assert status[1] == REFUSED and status[3] in (DIED, REFUSED)
    assert np.isnan(flux[[1, 3]]).all() and (flux[[0, 2, 4, 5]] > 0).all()
    again, _ = direct_spectra(theta, NAMES, GRID, PHYSICS, processes=2)
    assert flux.tobytes() == again.tobytes()


@mark
def test_a_fortran_stop_is_noticed():
    """FSPS ends its process with status 0; the call is flagged and the next one is answered."""
    nursery = fsps_spectra._nursery(PHYSICS, GRID)

    assert nursery.ask(exec, [(STOP, {})]) == [(DIED, "")]
    assert "out of bounds" in nursery.tail(2000)
    preflight(GRID, PHYSICS)
