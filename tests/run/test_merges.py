"""Chains know the catalogue that they go into, and the table what it was made of."""

import json
import shutil

import numpy as np
import pytest

from hpcsbi.run.merges import (
    CATALOGUE,
    MADE_OF,
    catalogue_of,
    chains_of,
    is_behind,
    source_marks,
    table_of,
)
from hpcsbi.store.files import write_parquet
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create


def store(path, into=None, rows=2):
    """A store of one shard for each row; of chains, where it goes into a catalogue."""
    attributes = {} if into is None else {CATALOGUE: into}
    made = create(path, {"x": Array({"row": rows}, "float32")}, {}, 1, attributes)
    for shard in made.shards:
        made.write(shard, x=np.zeros(1))
    return made


def merged(catalogue):
    """The table as `write_catalogue` leaves it: with the marks of its sources."""
    header = {MADE_OF: source_marks(catalogue, chains_of(catalogue.path))}
    write_parquet(table_of(catalogue.path), {"x": np.zeros(2)}, header)


@pytest.fixture
def catalogue(tmp_path):
    return store(tmp_path / "run" / "catalogue.zarr")


def test_a_table_is_up_to_date_until_a_store_changes(catalogue):
    """Another chain, a chain gone, another shard: then, and only then, it is behind."""
    chains = store(catalogue.path.with_name("fits.zarr"), "catalogue.zarr")
    assert is_behind(catalogue.path)
    merged(catalogue)
    assert not is_behind(catalogue.path)

    chains.forget(1)
    assert is_behind(catalogue.path)
    chains.write(1, x=np.zeros(1))
    assert not is_behind(catalogue.path)
    shutil.rmtree(chains.path)
    assert is_behind(catalogue.path)


def test_chains_are_those_of_this_catalogue(catalogue):
    """Beside it or elsewhere; those of another, of none, and what is no store are left out."""
    folder = catalogue.path.parent
    beside = store(folder / "fits.zarr", "catalogue.zarr")
    elsewhere = store(folder.parent / "other" / "fits.zarr", "../run/catalogue.zarr")
    store(folder / "none.zarr")
    store(folder / "theirs.zarr", "another.zarr")
    (folder / "broken.zarr").mkdir()
    assert chains_of(catalogue.path) == [beside]

    header = {MADE_OF: json.dumps({"../other/fits.zarr": "", "../gone.zarr": ""})}
    write_parquet(table_of(catalogue.path), {"x": np.zeros(2)}, header)

    assert {chains.path.resolve() for chains in chains_of(catalogue.path)} == {
        beside.path.resolve(),
        elsewhere.path.resolve(),
    }


def test_a_path_is_from_the_folder_of_the_chains(tmp_path, monkeypatch, catalogue):
    """Wherever the reader stands; a store without one goes into none."""
    monkeypatch.chdir(tmp_path)
    chains = store(tmp_path / "a" / "b" / "fits.zarr", "../../run/catalogue.zarr")

    assert catalogue_of(chains) == catalogue.path
    assert catalogue_of(catalogue) is None


def test_marks_move_with_the_run(catalogue):
    """A run that is copied elsewhere is as up to date as it was."""
    store(catalogue.path.with_name("fits.zarr"), "catalogue.zarr")
    merged(catalogue)
    folder = shutil.copytree(catalogue.path.parent, catalogue.path.parent.with_name("copy"))

    assert not is_behind(folder / "catalogue.zarr")
