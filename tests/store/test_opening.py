"""A store is opened by the settings that made it, complete and undamaged, or refused by name."""

import errno
import json
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import xarray
from small_store import SETTINGS, arrays, content, filled, flip
from zarr.storage import LocalStore

from hpcsbi.errors import BadInput
from hpcsbi.store.files import Damaged
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create, open_complete, open_store, refuse_damage
from hpcsbi.store.settings import Mismatch, differences


def test_damaged_coordinates_are_found(tmp_path):
    """No flipped bit, cut or loss of a coordinate goes unseen, whatever Zarr makes of it."""
    path = filled(tmp_path / "a.zarr").path
    file = path / "wave" / "c.0"
    raw = file.read_bytes()
    flipped = [raw[:k] + bytes([raw[k] ^ 1]) + raw[k + 1 :] for k in range(len(raw))]

    for damaged in (*flipped, raw[:9], b""):
        file.write_bytes(damaged)
        with pytest.raises(Damaged, match="wave is damaged: run the stage"):
            open_store(path)
    file.unlink()
    other = {**arrays(10), "wave": replace(arrays(10)["wave"], values=np.zeros(2))}
    with pytest.raises(Damaged, match="wave is damaged"):
        create(path, other, SETTINGS, 4)  # not of this store's shape: nothing to mend it with
    other["wave"] = replace(other["wave"], values=np.zeros(3))
    with pytest.raises(Damaged, match="wave is damaged"):
        create(path, other, SETTINGS, 4)  # other numbers do not pass either
    create(path, arrays(10), SETTINGS, 4)
    assert file.read_bytes() == raw


def test_other_settings_are_refused(tmp_path):
    """The keys that differ are named with both values; equal settings open the store."""
    made = filled(tmp_path / "a.zarr")
    other = json.loads(json.dumps(SETTINGS))
    other["prior"]["columns"]["tau"]["low"] = 0.2

    with pytest.raises(Mismatch, match=r"prior\.columns\.tau\.low: 0\.1 in the store, 0\.2 asked"):
        create(made.path, arrays(10), other, 4)
    with pytest.raises(Mismatch, match="shard: 4 in the store, 5 asked"):
        create(made.path, arrays(10), SETTINGS, 5)
    assert create(made.path, arrays(10), SETTINGS, 4).states() == made.states()


def test_the_order_of_names_is_a_setting(tmp_path):
    """Columns of theta in another order are other columns."""
    made = filled(tmp_path / "a.zarr")
    other = json.loads(json.dumps(SETTINGS))
    other["prior"]["columns"] = dict(reversed(SETTINGS["prior"]["columns"].items()))

    with pytest.raises(
        Mismatch,
        match=r"prior\.columns: in the order tau, dust2 in the store, dust2, tau asked",
    ):
        create(made.path, arrays(10), other, 4)
    lines = list(differences({"a": 1, "b": 2, "c": 3}, {"c": 3, "a": 1}))
    assert lines == [
        'b: 2 in the store, "absent" asked',
        "order: in the order a, c in the store, c, a asked",
    ]


def test_a_part_trusts_the_marks_of_rows_that_it_does_not_read(tmp_path):
    """Damage in its own rows is refused, in others' left to their part."""
    made = filled(tmp_path / "a.zarr")
    flip(made._files(1)["theta"])

    store = open_complete(made.path, "augment", verify=False)
    refuse_damage(store, "augment", np.array([0, 3, 9]))
    refuse_damage(store, "augment", np.array([], dtype=int))
    refuse_damage(store, "augment", slice(0, 4))
    refuse_damage(store, "augment", slice(0, 10), ("id",))  # the other array is damaged
    for names in ((), ("theta",)):
        with pytest.raises(Incomplete, match=r"shard 1 \(rows 4-7, damaged\)"):
            refuse_damage(store, "augment", slice(3, 5), names)
    with pytest.raises(Incomplete, match=r"shard 1 \(rows 4-7, damaged\).*jobs/augment"):
        refuse_damage(store, "augment", np.array([3, 5]))
    made.forget(1)
    with pytest.raises(Incomplete, match="missing"):
        open_complete(made.path, "augment", verify=False)


def test_opening_reads_no_shard(tmp_path, monkeypatch):
    """Who reads some rows lists the marks, and opens no file of a row."""
    made, opened = filled(tmp_path / "a.zarr"), []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *a, **k: opened.append(p) or real(p, *a, **k))

    open_complete(made.path, "augment", verify=False)
    assert {path.parent.name for path in opened if path.name.startswith("c.")} == {"wave"}
    open_complete(made.path, "augment")
    assert {path.parent.name for path in opened} >= {"theta", "id"}


def test_marks_of_the_stage_before_may_come_late(tmp_path, monkeypatch):
    """In a job, which follows another one on another node; a user is not kept waiting."""
    made = filled(tmp_path / "a.zarr", only=(0, 2))
    late = Timer(0.3, partial(made.write, 1, **content(made.rows_of(1))))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(Incomplete, match=r"shard 1 .*missing"):
        open_complete(made.path, "simulate")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    late.start()
    assert open_complete(made.path, "simulate").states() == dict.fromkeys(range(3), "done")

    made.forget(1)
    made.mark_failed(1, "no luck")
    with pytest.raises(Incomplete, match=r"shard 1 .*failed"):  # at once
        open_complete(made.path, "simulate")


def test_leftovers_of_a_killed_run_do_no_harm(tmp_path):
    """Half a store of long ago is removed, one of now is another driver's; half a file is swept."""
    path = tmp_path / "a.zarr"
    old, new = (tmp_path / f"a.zarr.{name}.partial" for name in ("old", "new"))
    for half, age in ((old, 10_000), (new, 0)):
        half.mkdir()
        os.utime(half, (time.time() - age,) * 2)
    made = filled(path)
    (path / "theta" / "x.partial").write_text("")

    made.sweep()

    assert set(tmp_path.iterdir()) == {path, new}
    assert not list(path.rglob("*.partial"))
    assert set(made.states(verify=True).values()) == {"done"}


def test_drivers_that_start_together_share_one_store(tmp_path):
    """Of eight that lay out the same store at once one wins, and all have it."""
    path = tmp_path / "a.zarr"
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: create(path, arrays(10), SETTINGS, 4), range(8)))

    assert {store.path for store in made} == {path}
    assert list(tmp_path.iterdir()) == [path]
    assert set(open_store(path).states().values()) == {"missing"}


def test_something_else_is_not_a_store(tmp_path):
    """A folder or a foreign Zarr group gets an error that says so."""
    (tmp_path / "folder").mkdir()
    xarray.Dataset({"x": ("row", [1])}).to_zarr(tmp_path / "foreign.zarr", zarr_format=3)

    with pytest.raises(Damaged, match="folder"):
        open_store(tmp_path / "folder")
    with pytest.raises(Damaged, match="none of hpcsbi"):
        open_store(tmp_path / "foreign.zarr")
    with pytest.raises(FileNotFoundError, match="run the stage"):
        open_store(tmp_path / "absent.zarr")


def edited(path: Path, **attributes) -> None:
    """Change attributes in the file of a store as no program of ours would."""
    file = path / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"] |= attributes
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[1, 2]", "7", '{"zarr_format": 3', "\0\0", '"zarr"'])
def test_a_foreign_file_in_the_place_of_the_metadata_is_damage(tmp_path, text):
    """Whatever its zarr.json holds, a store is read, or refused in a line that names it."""
    path = filled(tmp_path / "s.zarr").path
    (path / "zarr.json").write_text(text)

    with pytest.raises(Damaged, match=r"s\.zarr is not a Zarr store .*: remove it and run again"):
        open_store(path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ETIMEDOUT])
def test_a_file_system_that_does_not_answer_is_no_damage(tmp_path, monkeypatch, number):
    """The store may be as good as ever: nobody is told to remove it."""
    path = filled(tmp_path / "s.zarr").path
    read = LocalStore.get

    async def get(self, key, *arguments, **options):
        if key == "zarr.json":
            raise OSError(number, os.strerror(number), key)
        return await read(self, key, *arguments, **options)

    monkeypatch.setattr(LocalStore, "get", get)
    os.utime(path / "zarr.json", (1, 1))  # so that it is read again
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as told:
        open_store(path)
    assert told.value.errno == number

    monkeypatch.undo()
    assert open_store(path).rows == 10


@pytest.mark.parametrize(
    "attributes",
    [
        {"rows": "many"}, {"rows": 11}, {"shard": 0}, {"batch": 0}, {"settings": [1]},
        {"sharded": ["theta", "flux"]}, {"sharded": "theta"}, {"sharded": [["theta"]]},
        {"checksums": [1]},
    ],
)  # fmt: skip
def test_attributes_that_do_not_fit_the_arrays_are_damage(tmp_path, attributes):
    """They are looked at when a store is opened, not where they first break something."""
    path = filled(tmp_path / "s.zarr").path
    edited(path, **attributes)

    with pytest.raises(Damaged, match=r"s\.zarr: attributes and arrays .* do not fit: remove"):
        open_store(path)
    edited(path, rows=10, shard=4, batch=4, settings=SETTINGS, sharded=["theta", "id"])
    edited(path, checksums={})
    assert open_store(path).rows == 10


def test_a_copy_without_the_marks_is_refused(tmp_path):
    """A copy of STORE/* leaves them behind, and then nothing says what is done."""
    path = filled(tmp_path / "s.zarr").path
    shutil.rmtree(path / ".marks")

    with pytest.raises(Damaged, match=r"s\.zarr has no folder \.marks"):
        open_store(path)


@pytest.mark.parametrize(
    ("rows", "shard", "words"), [(7, 4, r"\[7, 10\]"), (10, 0, r"shards of 0")]
)
def test_arrays_that_cannot_be_cut_alike_make_no_store(tmp_path, rows, shard, words):
    """Of different rows, or into shards of none: the path is named, and nothing is left."""
    other = arrays(10) | {"id": Array({"row": rows}, "string")}

    with pytest.raises(BadInput, match=rf"a\.zarr: arrays of .*{words}"):
        create(tmp_path / "a.zarr", other, SETTINGS, shard)
    assert not list(tmp_path.iterdir())
