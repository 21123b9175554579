import asyncio
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st
from small_store import SETTINGS, arrays, content, filled, flip

from hpcsbi.errors import BadInput
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create, open_complete
from hpcsbi.store.store import Store


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


def test_failure_is_kept_until_the_shard_is_made(tmp_path):
    """A failed shard tells its reason, and is done once it is written."""
    made = filled(tmp_path / "a.zarr", only=(0,))
    made.mark_failed(1, "no luck")

    assert made.states() == {0: "done", 1: "failed", 2: "missing"}
    assert made.failure(1) == "no luck"
    made.write(1, **content(made.rows_of(1)))
    assert made.state(1) == "done"


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
