import asyncio
import json
import os
import pickle
import shutil
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.store.files import Damaged
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create, open_complete, open_store, refuse_damage
from hpcsbi.store.settings import Mismatch, differences
from hpcsbi.store.store import Store

SETTINGS = {"seed": 3, "prior": {"columns": {"tau": {"low": 0.1}, "dust2": {"low": 0.0}}}}


def arrays(rows: int) -> dict[str, Array]:
    return {
        "theta": Array({"row": rows, "parameter": 2}, "float64", {"units": "Gyr"}),
        "id": Array({"row": rows}, "string"),
        "wave": Array({"pixel": 3}, "float64", {"units": "Angstrom"}, np.array([1.0, 2.0, 3.0])),
    }


def content(rows: slice) -> dict[str, np.ndarray]:
    index = np.arange(rows.start, rows.stop)
    return {
        "theta": np.stack([index, index**2], 1).astype(float),
        "id": np.array([f"NGC {i} é" for i in index], dtype=object),
    }


def filled(path, rows: int = 10, shard: int = 4, only: tuple[int, ...] | None = None):
    made = create(path, arrays(rows), SETTINGS, shard, {"notice": "n"})
    for number in made.shards if only is None else only:
        made.write(number, **content(made.rows_of(number)))
    return made


def all_bytes(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_is_written_is_read(tmp_path):
    """Numbers and names of every row come back, whole and in part."""
    made = filled(tmp_path / "a.zarr")

    whole = content(slice(0, 10))
    assert np.array_equal(made.read("theta"), whole["theta"])
    assert made.read("id").tolist() == whole["id"].tolist()
    assert np.array_equal(made.read("theta", np.array([7, 2])), whole["theta"][[7, 2]])
    assert open_complete(made.path, "simulate").settings == SETTINGS


def test_xarray_opens_it(tmp_path):
    """Dimensions have names, units are attributes, and nothing is warned of."""
    filled(tmp_path / "a.zarr")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(tmp_path / "a.zarr")

    assert data["theta"].dims == ("row", "parameter")
    assert data["wave"].attrs["units"] == "Angstrom"
    assert data["id"].values[3] == "NGC 3 é"


@given(rows=st.integers(1, 5000), shard=st.integers(1, 700))
def test_shards_tile_the_rows(tmp_path_factory, rows, shard):
    """Every row belongs to exactly one shard, and no shard is longer than asked, unless many."""
    path = tmp_path_factory.mktemp("tile") / "a.zarr"
    made = create(path, {"x": Array({"row": rows}, "int32")}, {}, shard)

    parts = [np.arange(rows)[made.rows_of(number)] for number in made.shards]
    assert np.array_equal(np.concatenate(parts), np.arange(rows))
    assert all(0 < len(part) <= made.shard for part in parts)
    assert made.shard == shard or rows > 1024 * shard


def test_equal_work_gives_equal_bytes(tmp_path):
    """Two stores written in another order do not differ in a byte."""
    a, b = filled(tmp_path / "a.zarr"), filled(tmp_path / "b.zarr", only=(2, 0, 1))

    assert all_bytes(a.path) == all_bytes(b.path)


def test_a_write_covers_its_shard(tmp_path):
    """Half a shard, or a shard with an array too few, is refused and leaves no mark."""
    made = filled(tmp_path / "a.zarr", only=())
    half = {name: values[:2] for name, values in content(made.rows_of(0)).items()}

    with pytest.raises(ValueError, match="does not cover shard 0"):
        made.write(0, **half)
    with pytest.raises(ValueError, match="a shard holds theta, id"):
        made.write(0, theta=content(made.rows_of(0))["theta"])
    assert made.states() == {0: "missing", 1: "missing", 2: "missing"}


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    "harm",
    [flip, lambda path: os.truncate(path, path.stat().st_size // 2), lambda path: path.unlink()],
    ids=["flipped byte", "truncated", "removed"],
)
@pytest.mark.parametrize("name", ["theta", "id"])
def test_damage_is_found_named_and_mended(tmp_path, harm, name):
    """A harmed file is told by shard, rows and mend, and the shard can be written again."""
    made = filled(tmp_path / "a.zarr")
    whole = all_bytes(made.path)
    harm(made._files(1)[name])

    assert made.states(verify=True) == {0: "done", 1: "damaged", 2: "done"}
    with pytest.raises(Incomplete, match=r"a\.zarr.*shard 1 \(rows 4-7, damaged\).*jobs/augment"):
        open_complete(made.path, "augment")
    made.write(1, **content(made.rows_of(1)))
    assert all_bytes(made.path) == whole


@pytest.mark.parametrize("content", [b"", b"\xff{", b"{}"])
def test_a_damaged_mark_is_a_damaged_shard(tmp_path, content):
    """A mark that says nothing, or something else, vouches for no shard and stops no reader."""
    made = filled(tmp_path / "a.zarr")
    (made.path / ".marks" / "000001.done").write_bytes(content)

    assert made.states(verify=True) == {0: "done", 1: "damaged", 2: "done"}


def test_a_mark_without_data_is_damage(tmp_path):
    """The mark alone does not make a shard."""
    made = filled(tmp_path / "a.zarr", only=(0, 1))
    mark = made.path / ".marks" / "000001.done"
    (made.path / ".marks" / "000002.done").write_bytes(mark.read_bytes())

    assert made.state(2, verify=True) == "damaged"


def test_damaged_coordinates_are_found(tmp_path):
    """No flipped bit, cut or loss of a coordinate goes unseen, whatever Zarr makes of it."""
    path = filled(tmp_path / "a.zarr").path
    file = path / "wave" / "c.0"
    raw = file.read_bytes()
    flipped = [raw[:k] + bytes([raw[k] ^ 1]) + raw[k + 1 :] for k in range(len(raw))]

    for content in (*flipped, raw[:9], b""):
        file.write_bytes(content)
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


def test_failure_is_kept_until_the_shard_is_made(tmp_path):
    """A failed shard tells its reason, and is done once it is written."""
    made = filled(tmp_path / "a.zarr", only=(0,))
    made.mark_failed(1, "no luck")

    assert made.states() == {0: "done", 1: "failed", 2: "missing"}
    assert made.failure(1) == "no luck"
    made.write(1, **content(made.rows_of(1)))
    assert made.state(1) == "done"


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


def test_a_shard_is_one_file_of_each_array(tmp_path):
    """However many dimensions it has: two arrays of three shards are six files."""
    made = filled(tmp_path / "a.zarr")

    files = [path for name in ("theta", "id") for path in (made.path / name).iterdir()]
    assert sorted({path.name for path in files}) == [
        "c.0", "c.0.0", "c.1", "c.1.0", "c.2", "c.2.0", "zarr.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shard", "chunk"), [(1000, 1000), (4096, 4096), (5120, 1024), (16_000, 4000), (10_001, 10_001)]
)
def test_a_reader_of_a_few_rows_unpacks_a_few(tmp_path, shard, chunk):
    """However many rows a file holds, where they can be halved."""
    store = create(tmp_path / "a.zarr", {"x": Array({"row": 10**5}, "int8")}, {}, shard)

    assert store.arrays["x"].shards == (shard,)
    assert store.arrays["x"].chunks == (chunk,)


def test_a_store_with_folders_for_dimensions_is_read(tmp_path):
    """As older versions laid it out, c/1/0: read, verified and found damaged as any other."""
    made = filled(tmp_path / "a.zarr")
    for name in ("theta", "id", "wave"):
        about = made.path / name / "zarr.json"
        text = about.read_text().replace('"separator": "."', '"separator": "/"')
        about.write_text(text)
        for file in (made.path / name).glob("c.*"):
            target = file.parent.joinpath(*file.name.split("."))
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
    about = made.path / "zarr.json"
    about.write_text(about.read_text().replace('"separator": "."', '"separator": "/"'))
    old = open_complete(made.path, "augment")

    assert np.array_equal(old.read("theta"), content(slice(0, 10))["theta"])
    (made.path / "theta" / "c" / "1" / "0").write_bytes(b"")
    assert old.states(verify=True) == {0: "done", 1: "damaged", 2: "done"}
    old.write(1, **content(old.rows_of(1)))
    again = open_complete(made.path, "augment").read("id").tolist()
    assert again == content(slice(0, 10))["id"].tolist()


def test_settings_are_read_once_in_a_process(tmp_path, monkeypatch):
    """However long they are; a store that was changed, or made anew, is read again."""
    made, opened = filled(tmp_path / "a.zarr"), []
    real = zarr.open_group
    monkeypatch.setattr(zarr, "open_group", lambda *a, **k: opened.append(1) or real(*a, **k))

    for _ in range(5):
        assert Store(made.path).settings == SETTINGS
    assert len(opened) <= 1
    made.group.attrs["notice"] = "another"
    assert Store(made.path).attributes["notice"] == "another"
    shutil.rmtree(made.path)
    create(made.path, arrays(10), {"seed": 4}, 4)
    assert Store(made.path).settings == {"seed": 4}


def test_a_shard_costs_one_crossing_for_each_array(tmp_path, monkeypatch):
    """Zarr works in a thread of its own; on a busy node each way there and back waits its turn."""
    made, crossings = filled(tmp_path / "a.zarr", only=(0,)), []
    real = asyncio.run_coroutine_threadsafe
    monkeypatch.setattr(
        asyncio, "run_coroutine_threadsafe", lambda *a: crossings.append(1) or real(*a)
    )

    Store(made.path).write(1, **content(made.rows_of(1)))

    assert len(crossings) == len(made.attributes["sharded"])


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


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path):
    """The others of the store are still looked at."""
    store = filled(tmp_path / "s.zarr")
    (store.path / "theta" / "c.1.0").unlink()
    (store.path / "theta" / "c.1.0").mkdir()
    (store.path / "wave" / "c.0").unlink()
    (store.path / "wave" / "c.0").mkdir()

    assert store.states(verify=True) == {0: "done", 1: "damaged", 2: "done"}
    assert store.damaged_coordinates() == ["wave"]


def test_settings_of_another_version_say_whose_they_are(tmp_path):
    """A key that is not there names the store; a lookup that allows for that is as before."""
    settings = filled(tmp_path / "s.zarr").settings

    assert settings == SETTINGS and settings.get("grid") is None and "grid" not in settings
    assert pickle.loads(pickle.dumps(settings)) == SETTINGS
    with pytest.raises(BadInput, match=r"s\.zarr: its settings have no grid.*another version"):
        settings["grid"]
