"""A release tells what it holds, is whole or not there, and has the same bytes every time."""

import json
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from astropy.io import fits
from astropy.table import Table
from repeated_catalogue import repeat

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.catalogue_descriptions import described_columns
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.stages.release import release
from hpcsbi.store.settings import Mismatch

ROWS, DRAWS = 23, 5
BOTH = ("fits", "parquet")


@pytest.fixture(scope="module")
def made(small_run, tmp_path_factory):
    """A catalogue of a few rows with draws, and its release."""
    folder = tmp_path_factory.mktemp("release")
    repeat(small_run / "catalogue.zarr", folder / "catalogue.zarr", ROWS, 9, 8)
    release(str(folder / "release"), str(folder / "catalogue.zarr"), BOTH, DRAWS)
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "run")


def again(run, formats=BOTH, draws=DRAWS, out="release"):
    release(str(run / out), str(run / "catalogue.zarr"), formats, draws)


def contents(folder):
    """Bytes of all files by their path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def columns_of(folder):
    from hpcsbi.store.opening import open_store

    store = open_store(folder / "catalogue.zarr")
    along = {dim: store.read(dim).tolist() for dim in ("parameter", "quantity", "blend")}
    return described_columns(store.sharded, along)


def test_files_are_the_table_of_columns(made):
    """Name, type, unit, UCD and words of every column of both files are those of the page."""
    columns = columns_of(made)
    header = fits.getheader(made / "release" / "catalogue.fits", 1)
    kinds = {"string": "A", "int32": "J", "float32": "E", "float64": "D"}
    schema = pyarrow.parquet.read_schema(made / "release" / "catalogue.parquet")

    assert header["TFIELDS"] == len(columns) == len(schema.names)
    for i, each in enumerate(columns, 1):
        told = [header.get(f"{word}{i}", "") for word in ("TTYPE", "TUNIT", "TUCD", "TCOMM")]
        assert told == [each.name, each.unit, each.ucd, each.meaning]
        assert header[f"TFORM{i}"].lstrip("0123456789") == kinds[each.kind]
        field = schema.field(i - 1)
        told = [field.metadata[word].decode() for word in (b"unit", b"ucd", b"description")]
        assert (field.name, *told) == (each.name, each.unit, each.ucd, each.meaning)
        assert field.metadata.get(b"gap", b"").decode() == each.gap


def test_numbers_are_those_of_the_catalogue(made):
    """In both files, to the last bit, gaps among them."""
    catalogue = pd.read_parquet(made / "catalogue.parquet")
    of_parquet = pd.read_parquet(made / "release" / "catalogue.parquet")
    with fits.open(made / "release" / "catalogue.fits") as hdus:
        of_fits = hdus[1].data

        pd.testing.assert_frame_equal(of_parquet, catalogue)
        for name in catalogue:
            values = catalogue[name].to_numpy()
            if catalogue[name].dtype.kind in "if":
                np.testing.assert_array_equal(of_fits[name], values, err_msg=name)
                assert of_fits[name].dtype.itemsize == values.dtype.itemsize
            else:
                assert [*of_fits[name]] == [*values], name


@pytest.mark.parametrize("file", ["catalogue.fits", "catalogue.parquet"])
def test_astropy_reads_units_and_words(made, file):
    """Without a warning; the header is the meta of the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(made / "release" / file)

    assert str(table["tage_p50"].unit) == "Gyr" and len(table) == ROWS
    assert str(table["sfr_100myr_p50"].unit) == "solMass / yr"
    assert "time since star formation began" in table["tage_p16"].description
    assert "DEMONSTRATION" in table.meta.get("NOTICE", table.meta.get("notice")).upper()


def test_topcat_finds_ucds_in_parquet(made):
    """A VOTable stands in its header, as the note on Parquet in the Virtual Observatory says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(made / "release" / "catalogue.parquet", format="parquet.votable")

    assert table["tage_p50"].meta["ucd"] == "time.age;stat.median" and len(table) == ROWS


def test_flags_and_origin_are_in_every_header(made):
    """Legend, code, prior, noise, files of the spectra: in FITS as cards, in Parquet as JSON."""
    header = fits.getheader(made / "release" / "catalogue.fits", 1)
    attributes = pd.read_parquet(made / "release" / "catalogue.parquet").attrs
    facts = json.loads((made / "release" / "provenance.json").read_text())
    text = (made / "release" / "README.md").read_text()

    assert header["FLAG22"].startswith("WEAK_WEIGHTS: no proposal")
    assert "WEAK_WEIGHTS" in attributes["flags"] and "`WEAK_WEIGHTS`" in text
    assert json.loads(header["PRIOR"]) == facts["prior"]
    assert json.loads(attributes["provenance"])["input"] == facts["input"]
    assert "sdss_nuclei.fits.gz" in facts["input"]["files"]
    assert set(facts["code"]) == {"simulate", "augment", "train", "ingest", "infer"}
    assert "NOT FOR SCIENCE" in text and f"{ROWS} spectra" in text
    assert f"{ROWS - ROWS // 7} with a position" in text
    assert all(f"`{each.family}`" in text for each in columns_of(made))
    assert "DATE" not in "".join(header)


def test_sums_are_those_of_sha256sum(made):
    """The tool that everybody has checks them, and every file is in the list."""
    folder = made / "release"
    checked = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == len(contents(folder)) - 1 == 6


def test_draws_are_those_of_the_store(made):
    """Joined by key; each column in its unit; the same in FITS and Parquet."""
    from hpcsbi.store.opening import open_store

    store = open_store(made / "catalogue.zarr")
    samples, names = store.read("samples"), store.read("parameter").tolist()
    of_fits = Table.read(made / "release" / "draws.fits")
    of_parquet = Table.read(made / "release" / "draws.parquet")

    assert of_fits["tage"].shape == (ROWS, DRAWS) and str(of_fits["tage"].unit) == "Gyr"
    assert [*of_fits["key"]] == store.read("identity")[:, 3].tolist()
    for j, name in enumerate(names):
        np.testing.assert_array_equal(of_fits[name], samples[:, [0, 2, 4, 6, 8], j])
        np.testing.assert_array_equal(of_parquet[name], of_fits[name])


def test_the_same_catalogue_has_the_same_bytes(run):
    """Made again elsewhere, in any block size; what is there is left alone."""
    before = contents(run / "release")
    again(run)
    again(run, out="second")

    assert contents(run / "second") == contents(run / "release") == before


@pytest.mark.slow
def test_killed_between_any_two_files(run, boundaries, monkeypatch):
    """A reader finds no release or all of it; the same command gives the same bytes."""
    monkeypatch.setattr("hpcsbi.store.locks.SETTLED", 0.0)
    before = boundaries.count
    again(run, ["fits"], out="counted")
    total, whole = boundaries.count - before, contents(run / "counted")
    assert total > 9 and "draws.fits" in whole

    for kill in range(total):
        folder = run / f"killed{kill}"
        with boundaries.killed_at(kill, hard=True):
            again(run, ["fits"], out=folder.name)
        if folder.exists():
            assert contents(folder) == whole
        again(run, ["fits"], out=folder.name)
        assert contents(folder) == whole
    names = {path.name for path in run.iterdir()}
    assert not [name for name in names if name.endswith(".partial")]


@pytest.mark.slow
def test_what_a_killed_writer_left_of_another_catalogue_is_not_used(run, boundaries, monkeypatch):
    """Its files are of other options: they are made anew."""
    monkeypatch.setattr("hpcsbi.store.locks.SETTLED", 0.0)
    shutil.rmtree(run / "release")
    with boundaries.killed_at(6, hard=True):
        again(run, draws=3)
    again(run)

    assert Table.read(run / "release" / "draws.fits")["tage"].shape == (ROWS, DRAWS)


def test_another_release_is_not_overwritten(run):
    """What was given to others stays; the difference and the mend are told."""
    with pytest.raises(Mismatch, match=r"release.draws: 5 in the store, 3 asked[\s\S]*Remove it"):
        again(run, draws=3)


def test_a_key_twice_is_refused(run):
    """In one line that names it and both rows, before anything is written."""
    from hpcsbi.store.opening import open_store

    store = open_store(run / "catalogue.zarr")
    shard = {name: store.read(name, store.rows_of(1)) for name in store.sharded}
    key = str(store.read("identity", slice(2, 3))[0, 3])
    shard["identity"][3, 3] = key
    store.forget(1)
    store.write(1, **shard)
    write_catalogue(run / "catalogue.zarr")

    with pytest.raises(BadInput, match=rf"rows 2 and 11 have the same key '{key}'") as error:
        again(run, out="other")
    assert "\n" not in str(error.value) and not (run / "other").exists()


@pytest.mark.parametrize("name", ["quantiles", "zred", "chi2"])
def test_a_gap_that_is_not_told_is_refused(run, name):
    """A NaN where there are draws; the same where there are none is what its description says."""
    from hpcsbi.store.opening import open_store

    store = open_store(run / "catalogue.zarr")
    shard = {each: store.read(each, store.rows_of(0)) for each in store.sharded}
    shard["n_draws"][1] = 0
    shard[name][1] = np.nan
    store.forget(0)
    store.write(0, **shard)
    write_catalogue(run / "catalogue.zarr")
    again(run, out="told")

    shard["n_draws"][1] = 7
    store.forget(0)
    store.write(0, **shard)
    write_catalogue(run / "catalogue.zarr")
    with pytest.raises(BadInput, match="is no number for key"):
        again(run, out="untold")


def test_a_table_that_is_behind_is_refused(run):
    """It is not of the stores that are there."""
    (run / "catalogue.parquet").unlink()

    with pytest.raises(BadInput, match=r"run jobs/infer\.py again"):
        again(run, out="other")


@pytest.mark.parametrize(
    ("formats", "draws", "words"),
    [
        ((), 0, "name each of fits, parquet, hats once"),
        (("fits", "fits"), 0, "name each"),
        (("csv",), 0, "choose from fits, parquet, hats"),
        (("fits",), 10, r"release.draws=10 of the 9 .* infer.keep_draws=10"),
    ],
)
def test_wrong_options_name_the_mend(run, formats, draws, words):
    """Before anything is written."""
    with pytest.raises(BadInput, match=words):
        again(run, formats, draws, "other")
    assert not (run / "other").exists()


def test_hats_without_its_library_is_refused(run, monkeypatch):
    """With the command that installs it."""
    monkeypatch.setattr("hpcsbi.release.hats_folder.find_spec", lambda _: None)

    with pytest.raises(BadInput, match=r"pip install 'hpcsbi\[release\]'"):
        again(run, ("hats",), 0, "other")


def test_draws_of_a_row_with_a_chain_are_the_chain_s(run, monkeypatch):
    """As its quantiles are: a row is never of two posteriors."""
    chains = np.array([4]), np.full((1, 50, 7), 2.5, np.float32)
    monkeypatch.setattr("hpcsbi.run.posterior_draws.chain_draws", lambda _: chains)
    again(run, out="other")
    drawn = Table.read(run / "other" / "draws.fits")

    assert np.flatnonzero((drawn["tage"] == 2.5).all(1)).tolist() == [4]
    assert drawn["origin"][4] == "mcmc" and drawn["origin"][3] != "mcmc"
