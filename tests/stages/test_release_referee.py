"""Rows for a referee: with what made them, whole or not at all, and only where they are found."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.stages.infer import infer
from hpcsbi.stages.release import release
from hpcsbi.stages.release_referee import sample_of
from hpcsbi.store.files import load_weights, save_weights
from hpcsbi.store.opening import open_complete, open_store


@pytest.fixture(scope="module")
def made(small_run, tmp_path_factory):
    """A run with a catalogue that takes no time, and its release."""
    run = tmp_path_factory.mktemp("referee")
    shutil.copytree(small_run / "spectra.zarr", run / "spectra.zarr")
    shutil.copytree(small_run / "flows" / "demo", run / "flow")
    args = str(run / "catalogue.zarr"), str(run / "flow"), str(run / "spectra.zarr")
    infer(*args, 100, 20, 0, False, 1, 0, Serial())
    released(run)
    return run


@pytest.fixture
def run(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "run")


def released(run, out="release", objects=1, seed=0):
    catalogue, spectra, flow = (run / each for each in ("catalogue.zarr", "spectra.zarr", "flow"))
    args = str(run / out), str(catalogue), ("parquet",), 0, objects, str(spectra), str(flow), seed
    release(*args)


def contents(folder):
    """Bytes of all files by their path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_rows_spectra_and_flow_are_those_of_the_catalogue(made):
    """One at random and one of each flag; as they were stored; in the lists of both folders."""
    folder, catalogue = made / "release" / "referee", pd.read_parquet(made / "catalogue.parquet")
    rows = pd.read_parquet(folder / "rows.parquet")
    source = open_store(made / "spectra.zarr")
    spectra = open_complete(folder / "spectra.zarr", "ingest")
    at = catalogue["key"].isin(rows["key"]).to_numpy()

    pd.testing.assert_frame_equal(rows, catalogue[at].reset_index(drop=True))
    assert np.bitwise_or.reduce(rows["flags"]) == np.bitwise_or.reduce(catalogue["flags"])
    for name in source.sharded:
        np.testing.assert_array_equal(spectra.read(name), source.read(name, np.flatnonzero(at)))
    flow = contents(made / "flow")
    del flow["history.json"]
    assert contents(folder / "flow") == flow
    about = json.loads((folder / "settings.json").read_text())
    assert about["infer"]["draws"] == 100 and about["chosen"]["rows"] == len(rows)
    files = {"settings.json", "rows.parquet", "rerun.parquet", "constraints.txt", "README.txt"}
    listed = (made / "release" / "SHA256SUMS").read_text()
    assert files <= contents(folder).keys()
    assert all(f"  referee/{name}\n" in listed for name in contents(folder))
    assert "`referee`" in (made / "release" / "README.md").read_text()


def test_the_same_seed_gives_the_same_bytes(run):
    """And without rows for a referee nothing is said of them."""
    released(run, "second")
    released(run, "without", objects=0)

    assert contents(run / "second") == contents(run / "release")
    facts = json.loads((run / "without" / "provenance.json").read_text())["release"]
    assert "referee" not in facts and not (run / "without" / "referee").exists()


@pytest.mark.slow
def test_killed_at_any_file(run, boundaries, monkeypatch):
    """A reader finds no release or all of it; the same command gives the same bytes."""
    monkeypatch.setattr("hpcsbi.store.locks.SETTLED", 0.0)
    before = boundaries.count
    released(run, "counted")
    total, whole = boundaries.count - before, contents(run / "counted")

    for kill in range(total // 12, total, total // 5):  # each takes two reruns
        with boundaries.killed_at(kill, hard=True):
            released(run, f"killed{kill}")
        folder = run / f"killed{kill}"
        assert not folder.exists() or contents(folder) == whole
        released(run, folder.name)
        assert contents(folder) == whole
    assert not [path for path in run.iterdir() if path.name.endswith(".partial")]


def refused(run, error, words, **options):
    """In one line, with nothing left."""
    with pytest.raises(error, match=words) as told:
        released(run, "other", **options)
    assert "\n" not in str(told.value)
    assert not [path for path in run.iterdir() if path.name.startswith("other")]


def test_what_is_gone_is_refused(run):
    """Spectra and flow, by path."""
    (run / "spectra.zarr").rename(run / "away")
    refused(run, FileNotFoundError, r"spectra\.zarr does not exist")
    (run / "away").rename(run / "spectra.zarr")
    (run / "flow" / "flow.safetensors").unlink()
    refused(run, FileNotFoundError, r"flow\.safetensors does not exist")


def test_what_was_made_with_other_settings_is_refused(run):
    """The first difference is told, and how to name the right one."""
    tensors, header = load_weights(run / "flow" / "flow.safetensors")
    header["settings"]["steps"] += 1
    save_weights(run / "flow" / "flow.safetensors", tensors, header)
    refused(
        run, BadInput, r"flow is not the .*steps: 200 in the catalogue, 201 there.*release\.flow"
    )
    shutil.rmtree(run / "flow")
    shutil.copytree(run / "catalogue.zarr", run / "flow")
    refused(run, FileNotFoundError, "does not exist")


def test_what_has_changed_since_is_refused(run):
    """Under the same settings: another spectrum in a row, other flux, other weights."""
    store = open_store(run / "spectra.zarr")
    shards = {i: {n: store.read(n, store.rows_of(i)) for n in store.sharded} for i in range(3)}
    write(store, [shards[1], shards[0], shards[2]])
    refused(run, BadInput, "of row 0 is another one", objects=3)
    bright = {i: {**shard, "flux": shard["flux"] * 3} for i, shard in shards.items()}
    write(store, [bright[i] for i in range(3)])
    refused(run, BadInput, "made again .* does not agree: .*logmass", objects=3)
    write(store, [shards[i] for i in range(3)])
    tensors, header = load_weights(run / "flow" / "flow.safetensors")
    weights = {n: -v for n, v in tensors.items() if n.startswith("network") and v.dtype.kind == "f"}
    tensors |= weights
    save_weights(run / "flow" / "flow.safetensors", tensors, header)
    refused(run, BadInput, "does not agree", objects=3)


def write(store, shards):
    for i, shard in enumerate(shards):
        store.forget(i)
        store.write(i, **shard)


def test_an_edited_catalogue_is_refused(run):
    """Its table is that of its store, and its store is not what its flow gives."""
    store = open_store(run / "catalogue.zarr")
    shard = {name: store.read(name, store.rows_of(1)) for name in store.sharded}
    shard["quantiles"] += np.float32(0.7)
    store.forget(1)
    store.write(1, **shard)
    write_catalogue(store.path)

    refused(run, BadInput, "does not agree: columns .*_p", objects=3)


def test_rows_of_chains_are_not_chosen(run):
    """What a chain has taken the place of is not made again; where all are, that is told."""
    path = run / "catalogue.parquet"
    table = pyarrow.parquet.read_table(path)
    column = pyarrow.array(["mcmc", "flow", "mcmc"])
    table = table.append_column("origin", column)
    pyarrow.parquet.write_table(table, path)

    catalogue, args = (
        open_store(run / "catalogue.zarr"),
        (str(run / "spectra.zarr"), str(run / "flow")),
    )
    sample = sample_of(catalogue, *args, 3, 0)
    assert sample.rows.tolist() == [1] and sample.chains == 2
    table = table.set_column(table.num_columns - 1, "origin", pyarrow.array(["mcmc"] * 3))
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(BadInput, match="of chains"):
        sample_of(catalogue, *args, 3, 0)
