"""A flow in a notebook says what the stages say, to the last digit, and refuses in one line."""

import pickle

import numpy as np
import pandas as pd
import pytest
import small_run as shared
import torch
from astropy import units
from astropy.table import Table

import hpcsbi
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.flows import _posterior
from hpcsbi.store.files import load_weights

WHOSE = {"file", "file_row", "ra", "dec", "key", "survey", "program", "survey_class"}


@pytest.fixture(scope="module")
def flow(small_run):
    return hpcsbi.load_flow(small_run / "flows" / "demo")


@pytest.mark.parametrize("row", [0, 1, 2])
def test_numbers_are_those_of_the_catalogue(flow, small_run, row):
    """Every column of its row but those that say in which file it lies, bit for bit."""
    catalogue = pd.read_parquet(small_run / "catalogue.parquet").iloc[row]

    found = flow(**shared.nucleus(row)).row

    assert {*catalogue.index} - {*found} == WHOSE and {*found} <= {*catalogue.index}
    for name, value in found.items():
        same = value == catalogue[name] or (value != value and catalogue[name] != catalogue[name])
        assert same, f"{name}: {value} and {catalogue[name]} in the catalogue"


def test_another_seed_draws_others(flow):
    """The control of the last digit: names and seeds decide the draws, and little else."""
    spectrum = shared.nucleus() | {"draws": 100}
    rows = [flow(**(spectrum | other)).row for other in ({}, {"seed": 1}, {"name": "another"})]

    assert len({row["tage_flow_p50"] for row in rows}) == 3
    assert len({row["n_pixels"] for row in rows}) == 1


def test_the_unit_of_flux_counts(flow):
    """Ten times the unit is ten times the mass; its ivar is in its own unit."""
    spectrum = shared.nucleus() | {"draws": 300, "certificate": False}
    usual = flow(**spectrum).quantiles.loc["p50"]
    tenth = {"flux": spectrum["flux"] / 10, "ivar": spectrum["ivar"] * 100}
    other = flow(**(spectrum | tenth | {"flux_unit": "1e-16 erg/s/cm2/Angstrom"})).quantiles

    assert np.allclose(other.loc["p50"], usual, rtol=1e-3)
    fainter = flow(**(spectrum | tenth)).quantiles.loc["p50"]
    assert usual["logmass"] - fainter["logmass"] == pytest.approx(1, abs=0.02)


def test_what_a_flow_tells(flow):
    """Parameters, pixels and the notice in its words; it goes through pickle."""
    words = repr(flow)
    assert "logmass, logzsol" in words and "138 pixels" in words and flow.notice in words
    assert flow.parameters == flow.prior.names and len(flow.wave) == 138
    assert repr(pickle.loads(pickle.dumps(flow))) == words


def test_a_flow_is_loaded_without_pickle(small_run, monkeypatch):
    """A file of another time or person runs no code, and asks for no class of its own version."""

    def refuse(*_, **__):
        raise AssertionError("unpickled")

    _posterior.cache_clear()
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)

    flow = hpcsbi.load_flow(small_run / "flows" / "demo")

    assert flow.parameters[:2] == ("logmass", "logzsol")
    with pytest.raises(AssertionError, match="unpickled"):
        pickle.loads(b"")


BAD = {
    "no redshift": ({"zred": np.nan}, r"zred=nan: a posterior takes the redshift"),
    "too few of one": ({"ivar": np.ones(5)}, r"wave has \d+, flux has \d+, ivar has 5 pixels"),
    "no number": ({"zred": [0.1, 0.2]}, r"zred has shape \(2,\): it takes the number of one"),
    "text": ({"wave": ["a"] * 3794}, r"wave holds no numbers: could not convert"),
    "several spectra": ({"flux": np.ones((2, 5))}, r"flux has shape \(2, 5\): it takes one"),
    "a unit in an array": ({"flux": np.ones(9) * units.Jy}, r"flux has a unit \(Jy\): pass its"),
    "no unit": ({"flux_unit": ""}, r"flux_unit is '', not a flux density per Angstrom"),
    "a unit of another kind": ({"flux_unit": "Jy"}, r"flux_unit is 'Jy', not a flux density per"),
    "nanometres": ({"wave": np.linspace(380, 920, 3794)}, r"NGC 3073: .*are they in nanometre"),
    "no factor": ({"flux_unit": "erg/s/cm2/Angstrom"}, r"NGC 3073: median .* L_sun/A at .*factor"),
    "backwards": ({"wave": np.linspace(9200, 3800, 3794)}, r"NGC 3073: .*wavelength"),
    "beyond": ({"zred": 19.0, "distance": np.nan}, r"NGC 3073: wavelengths .* cover too little"),
    "all masked": ({"ivar": np.zeros(3794)}, r"NGC 3073: ivar is 0 in 3794"),
    "no draws": ({"draws": 0}, r"draws=0, cap=50: each is 1 or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(flow, case):
    """It names the value and what it should be."""
    spectrum, (change, words) = shared.nucleus(), BAD[case]
    n = len(spectrum["wave"])
    change = {
        name: value[:n] if np.shape(value) == (3794,) else value for name, value in change.items()
    }
    if case in ("nanometres", "backwards"):
        change["wave"] = np.linspace(change["wave"][0], change["wave"][-1], n)
    if case == "all masked":
        change, words = {"ivar": np.zeros(n)}, words.replace("3794", str(n))

    with pytest.raises(hpcsbi.BadInput, match=words) as told:
        flow(**(spectrum | change))

    assert "\n" not in str(told.value) and len(str(told.value)) < 300


def test_a_run_is_no_flow(small_run):
    """Its flows are named."""
    with pytest.raises(hpcsbi.BadInput, match=r"is the folder of a run: name one .*flows/demo"):
        hpcsbi.load_flow(small_run)


def test_a_flow_without_a_table(flow, small_run):
    """What takes one says so."""
    tensors, header = load_weights(small_run / "flows" / "demo" / "flow.safetensors")
    bare = hpcsbi.TrainedFlow(Posterior(header["settings"], tensors))

    with pytest.raises(hpcsbi.BadInput, match="pass certificate=False"):
        bare(**shared.nucleus())
    with pytest.raises(hpcsbi.BadInput, match="took no table along"):
        _ = bare.table
    posterior = flow(**(shared.nucleus() | {"draws": 50}), certificate=False)
    assert posterior.certificate == {} and len(posterior.draws) == 50
    posterior._posterior = bare._posterior
    for ask in (lambda: posterior.derived, lambda: posterior.plot_spectrum(None, None)):
        with pytest.raises(hpcsbi.BadInput, match="took none along"):
            ask()


def test_files_of_a_survey_are_inferred_as_the_catalogue_was(flow, small_run):
    """One after the other, bit for bit, with the flags that the survey's files give."""
    catalogue = hpcsbi.load_catalogue(small_run)
    arguments = {"draws": shared.DRAWS, "cap": shared.CAP}
    for row, posterior in enumerate(flow.of_files(shared.NUCLEI, "table", **arguments)):
        found = posterior.row
        for name in ("id", "flags", "logmass_p50", "tage_p97_5", "log_evidence"):
            np.testing.assert_array_equal(found[name], catalogue[name].iloc[row])
    assert row == 2


def test_what_cannot_be_inferred_is_left_out_with_a_warning(flow, tmp_path):
    """By name, with the reason; the others come."""
    table = Table.read(shared.NUCLEI)
    table["IVAR"][1] = 0
    table.write(tmp_path / "two.fits")
    with pytest.warns(UserWarning, match="NGC 3522: ivar is 0"):
        names = [each.name for each in flow.of_files(tmp_path / "two.fits", "table", draws=50)]

    assert names == ["NGC 3073", "NGC 4636"]
