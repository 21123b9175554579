"""What is not there, not whole or not ours becomes a note that names the mend."""

import os

import numpy as np
import pytest

from hpcsbi.run import readers
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create


@pytest.fixture
def store(tmp_path):
    """Three shards of two rows, the middle one missing."""
    made = create(tmp_path / "run" / "catalogue.zarr", {"x": Array({"row": 6}, "float32")}, {}, 2)
    for shard in (0, 2):
        made.write(shard, x=np.array([shard, np.nan]))
    return made


def test_a_store_is_opened_with_what_it_lacks(store, tmp_path):
    """Absent, something else, or short of a shard: the note names the file and the job."""
    (tmp_path / "other.zarr").mkdir()

    nothing, notes = readers.store_at(str(tmp_path / "fits.zarr"), "fit", " fit.objects=20")
    assert nothing is None and notes == [
        "There is no fits.zarr yet: run jobs/fit.py fit.objects=20."
    ]
    nothing, notes = readers.store_at(str(tmp_path / "other.zarr"), "infer")
    assert nothing is None and "other.zarr is not a Zarr store" in notes[0]
    found, notes = readers.store_at(str(store.path), "infer")
    assert found == store and "only 2 of 3 shards are there; jobs/infer.py" in notes[0]
    assert readers.label(store) == "run/catalogue.zarr"


def test_only_rows_that_are_there_are_read(store):
    """Rows of finished shards, in order, and not more than asked for."""
    rows = readers.finished_rows(store)

    assert rows.tolist() == [0, 1, 4, 5]
    assert readers.finished_rows(store, 3).tolist() == [0, 1, 4]
    read = readers.read_some(store, ("x", "absent"), rows[[0, 2]])
    assert list(read) == ["x"] and read["x"].tolist() == [0, 2]
    assert readers.values_of(store, 4, "x", "absent") == [2.0, None]


def test_marks_are_listed_once(store, monkeypatch):
    """However many shards there are."""
    listed, real = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))

    readers.finished_rows(store)

    assert len(listed) == 1


def test_a_broken_file_is_told(tmp_path):
    """A verdict that a kill cut short, and a flow that is none."""
    path = tmp_path / "calibration.json"
    assert readers.read_json(path, dict) == (None, [])
    for text in ('{"passed": tr', "[1, 2]", "7", "\udcff"):
        path.write_bytes(text.encode(errors="surrogateescape"))
        nothing, notes = readers.read_json(path, dict)
        assert nothing is None and "remove it and run its job again" in notes[0]
    path.write_text("[1, 2]")
    assert readers.read_json(path, list) == ([1, 2], [])
    assert "no trained flow" in readers.weights_of(tmp_path / "flows")[1][0]
    (tmp_path / "flow.safetensors").write_bytes(b"x")
    assert "is damaged" in readers.weights_of(tmp_path)[1][0]
