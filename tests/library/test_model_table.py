"""Model spectra from a notebook: the table's own, FSPS's own, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import small_run as shared
import tiny
import torch

import hpcsbi
from hpcsbi.simulator.direct.fsps_data import FspsError

THETA = {
    "logmass": 10.0,
    "logzsol": -0.3,
    "dust2": 0.4,
    "tage": 6.0,
    "tau": 2.0,
    "line_strength": 1.0,
}


@pytest.fixture(scope="module")
def table():
    return hpcsbi.load_table(tiny.TABLE, hpcsbi.Prior(tiny.columns("survey")))


def test_spectra_scale_with_mass_and_dim_with_dust(table):
    """A dex of mass is a factor of ten; dust takes more of the blue; columns come in any order."""
    flux = table.spectrum(THETA | {"logmass": [10.0, 11.0]})
    dusty = table.spectrum(dict(reversed([*(THETA | {"dust2": 1.4}).items()])))

    assert flux.shape == (2, 138) and table.spectrum(THETA).shape == table.wave.shape
    assert np.allclose(flux[1], 10 * flux[0], rtol=1e-5)
    lost = dusty / flux[0]
    assert (lost < 1).all() and lost[5] < lost[-5]


def test_what_follows_from_theta(table):
    """Less mass survives than was formed, rates go with the mass, A_V with the dust."""
    derived = table.derived(THETA | {"logmass": [10.0, 9.0]})

    assert (derived["logmass_surviving"] < [10.0, 9.0]).all()
    assert derived["sfr_100myr"][0] == pytest.approx(10 * derived["sfr_100myr"][1], rel=1e-6)
    assert derived["av"][0] == pytest.approx(1.086 * THETA["dust2"], rel=0.02)


def test_spectra_are_those_that_a_flow_was_trained_with(small_run):
    """Through a flow, its draws as they are, to the last digit of the engine."""
    flow = hpcsbi.load_flow(small_run / "flows" / "demo")
    posterior = flow(**(shared.nucleus() | {"draws": 50, "certificate": False}))
    draws = posterior.draws

    flux = flow.table.spectrum(draws)

    engine = flow.table._engine
    with torch.no_grad():
        expected = engine.flux(torch.tensor(draws.to_numpy()), [*draws.columns]).numpy()
    assert np.array_equal(flux, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tage": 20.0}, "theta: tage goes from 20 to 20, and the prior of this table from 0.01"),
        ({"tage": np.nan}, "theta: tage goes from nan"),
        ({"tauu": 1.0}, "tauu"),
        ({"dust2": [0.1, 0.2], "tage": [1.0, 2.0, 3.0]}, r"a number or n numbers .* dust2 \(2,\)"),
        ({"dust_index": -0.5}, "dust_index"),
        ({"line_strength": 40.0}, "theta: line_strength goes from 40 to 40"),
    ],
)
def test_wrong_theta_is_refused(table, change, words):
    """In a line that names the parameter."""
    with pytest.raises(hpcsbi.BadInput, match=words) as told:
        table.spectrum(THETA | change)
    assert "\n" not in str(told.value)


def test_a_missing_parameter_is_named(table):
    """Nothing is filled in but what the prior fixes."""
    with pytest.raises(hpcsbi.BadInput, match="tage"):
        table.spectrum({name: value for name, value in THETA.items() if name != "tage"})
    fixed = hpcsbi.Prior(tiny.columns("survey") | {"dust2": {"given": 0.4}})
    less = {name: value for name, value in THETA.items() if name != "dust2"}
    same = hpcsbi.load_table(tiny.TABLE, fixed).spectrum(less)
    assert np.allclose(same, table.spectrum(THETA), rtol=1e-3)


@pytest.mark.parametrize("name", THETA)
def test_what_is_inferred_has_no_default(table, name):
    """Lines of strength 1 would be another model; columns of errors change no spectrum."""
    less = {key: value for key, value in THETA.items() if key != name}
    with pytest.raises(hpcsbi.BadInput, match=f"theta lacks {name}, which the prior"):
        table.spectrum(less)
    floor = table.spectrum(THETA | {"noise_floor": 0.01})
    assert np.array_equal(floor, table.spectrum(THETA))


def test_theta_of_other_tools(table):
    """A row of pandas is a theta; rows without names are refused."""
    row = pd.Series(THETA)
    assert np.array_equal(table.spectrum(row), table.spectrum(THETA))
    for wrong in (np.ones((2, 6)), torch.ones(2, 6), [1.0, 2.0]):
        with pytest.raises(hpcsbi.BadInput, match=r"theta is a .*name its columns"):
            table.spectrum(wrong)


def test_no_table(tmp_path):
    """The path is named."""
    with pytest.raises(FileNotFoundError, match=r"ssp\.zarr"):
        hpcsbi.load_table(tmp_path / "ssp.zarr", hpcsbi.Prior(tiny.columns("survey")))


def test_prospector_takes_its_tree(table, monkeypatch):
    """What it makes is tested beside FSPS itself, tests/simulator/direct/test_fsps_spectra.py."""
    monkeypatch.delenv("SPS_HOME", raising=False)
    with pytest.raises(FspsError, match="SPS_HOME is not set"):
        table.prospector_spectrum(THETA)
