"""Few files for many rows, and a kill that costs one batch."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tiny

from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.cluster.executors import Array, Enough, Probe, Serial
from hpcsbi.errors import Unfinished
from hpcsbi.store import batches, layout
from hpcsbi.store.batches import KEPT, write_batches
from hpcsbi.store.layout import Array as Column
from hpcsbi.store.opening import create, open_complete, open_store
from hpcsbi.store.shards import Elsewhere, run_shards

ROWS, BATCH = 42, 2


@pytest.fixture(autouse=True)
def few_shards(monkeypatch):
    """So that 42 rows are very many: six shards of four batches, the last one cut short."""
    monkeypatch.setattr(layout, "SHARDS", 7)


def arrays(rows=ROWS):
    return {
        "x": Column({"row": rows, "draw": 3}, "float32"),
        "good": Column({"row": rows}, "bool"),
        "id": Column({"row": rows}, "string"),
        "who": Column({"row": rows, "name": 2}, "string"),
        "level": Column({"level": 2}, "float64", values=np.array([0.1, 0.9])),
    }


def empty(folder, **settings):
    return create(folder / "fits.zarr", arrays(), settings, BATCH)


def content(rows: slice) -> dict[str, np.ndarray]:
    index = np.arange(rows.start, rows.stop)
    return {
        "x": index[:, None] + np.array([0.1, np.nan, 2.0]),
        "good": index % 3 > 0,
        "id": np.array([f'NGC "{i}" é' for i in index], dtype=object),
        "who": np.array([[f"survey {i}", ""] for i in index], dtype=object),
    }


def work(store, shard: int, made: list | None = None, stop: int = -1) -> None:
    """Make a shard; die as an error does when row `stop` is to be made."""

    def make(rows: slice) -> dict[str, np.ndarray]:
        if rows.start == stop:
            raise ValueError("out of luck")
        if made is not None:
            made.append(rows.start)
        return content(rows)

    write_batches(store, shard, make)


@pytest.fixture
def whole(tmp_path):
    """A store that nobody disturbed."""
    store = empty(tmp_path / "whole")
    run_shards(partial(work, store), store, Serial(), "fit")
    return store


def test_files_do_not_grow_with_rows(tmp_path):
    """At most SHARDS shards, but for rows so long that a shard would not fit into memory."""
    for rows in (10, 100, 1000, 10_000):
        store = create(tmp_path / f"{rows}.zarr", arrays(rows), {}, BATCH)
        assert len(store.shards) <= 7 and store.shard % BATCH == 0
        assert store.batch == BATCH
        covered = [row for k in store.shards for b in store.batches_of(k) for row in range(rows)[b]]
        assert covered == list(range(rows))
    long = create(
        tmp_path / "long.zarr", {"x": Column({"row": 1000, "draw": 10**6}, "float64")}, {}, 4
    )
    assert long.shard * 8 * 10**6 <= layout.LARGEST and len(long.shards) == 63
    few = create(tmp_path / "few.zarr", arrays(14), {}, BATCH)
    assert few.shard == BATCH and len(few.batches_of(0)) == 1


def test_what_is_written_is_read(whole):
    """Every row, its text included, and nothing beside the shards."""
    assert len(whole.shards) == 6
    for name, values in content(slice(0, ROWS)).items():
        np.testing.assert_array_equal(whole.read(name), values.astype(whole.read(name).dtype))
    assert not list((whole.path / KEPT).iterdir())
    open_complete(whole.path, "fit")


@pytest.mark.parametrize("stop", [2, 12, 14, 40])
def test_a_kill_costs_one_batch(tmp_path, whole, stop):
    """What was made of a shard before its end is not made again, and the bytes are the same."""
    store, made = empty(tmp_path / "killed"), []
    with pytest.raises(Unfinished, match="out of luck"):
        run_shards(partial(work, store, made=made, stop=stop), store, Serial(), "fit")
    again = []
    run_shards(partial(work, store, made=again), store, Serial(), "fit")

    lost = [row for row in range(stop, store.rows_of(stop // store.shard).stop, BATCH)]
    assert again == lost and sorted(made + again) == list(range(0, ROWS, BATCH))
    assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


def test_killed_before_any_file(tmp_path, whole, boundaries):
    """Between any two files of a shard: the next run makes at most one batch more than was left."""
    store = empty(tmp_path / "counted")
    before = boundaries.count
    work(store, 0)
    total = boundaries.count - before

    for kill in range(0, total, 3):
        store, made = empty(tmp_path / str(kill)), []
        with boundaries.killed_at(kill, hard=True):
            work(store, 0, made)
        run_shards(partial(work, store, made=made), store, Serial(), "fit")
        assert len(made) <= ROWS // BATCH + 1
        assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


CHILD = """
import os, signal, sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_batches as t
t.layout.SHARDS = 7
store = t.empty(Path({folder!r}))
def make(rows):
    if rows.start == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return t.content(rows)
t.run_shards(lambda shard: t.write_batches(store, shard, make), store, t.Serial(), "fit")
"""


def test_sigkill_inside_a_shard(tmp_path, whole):
    """Its first two batches are kept on disk, and the next run makes the others alone."""
    code = CHILD.format(tests=os.path.dirname(__file__), folder=str(tmp_path / "killed"))
    path = os.pathsep.join([*sys.path, os.path.dirname(os.path.dirname(__file__))])
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    assert ended.returncode == -signal.SIGKILL
    store, made = open_store(tmp_path / "killed" / "fits.zarr"), []
    assert len(list((store.path / KEPT).iterdir())) == 2

    run_shards(partial(work, store, made=made), store, Serial(), "fit")

    assert made == list(range(12, ROWS, BATCH))
    assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


def test_a_damaged_batch_is_made_again(tmp_path, whole):
    """A kept file that is cut short or changed counts for nothing."""
    for harm in (lambda raw: raw[:-3], lambda raw: raw[:-3] + b"xyz", lambda raw: b""):
        store, made = empty(tmp_path / f"{harm(b'123456')}"), []
        with pytest.raises(Unfinished):
            run_shards(partial(work, store, stop=6), store, Serial(), "fit")
        kept = store.path / KEPT / "000000002.safetensors"
        kept.write_bytes(harm(kept.read_bytes()))
        run_shards(partial(work, store, made=made), store, Serial(), "fit")

        assert made == [2, 6]
        assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


def test_no_batch_is_begun_that_cannot_end(tmp_path, whole, monkeypatch):
    """The job ends inside a shard: no failure, and the next one goes on there."""
    looks = iter([True, True, False])
    store, made = empty(tmp_path), []
    with monkeypatch.context() as patch:
        patch.setattr(batches, "leaves", lambda seconds: next(looks))
        with pytest.raises(OutOfTime, match="shard 0 before row 4"):
            run_shards(partial(work, store, made=made), store, Serial(), "fit")
    assert made == [0, 2] and set(store.states().values()) == {"missing"}
    run_shards(partial(work, store, made=made), store, Serial(), "fit")

    assert made == list(range(0, ROWS, BATCH))
    assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


def test_a_probe_makes_two_batches(tmp_path):
    """And tells the time of the whole shard by the second one."""
    store, made = empty(tmp_path), []

    with pytest.raises(Enough) as end:
        run_shards(partial(work, store, made=made), store, Probe(), "fit")

    assert made == [0, 2] and end.value.piece == 0
    assert 0 < end.value.seconds < 5
    run_shards(partial(work, store, made=made), store, Serial(), "fit")
    assert made == list(range(0, ROWS, BATCH))


def test_batches_of_a_done_shard_are_made_again(whole):
    """Those alone; a kill in between costs none of the others."""
    before, made = tiny.all_bytes(whole.path), []

    def again(shard: int) -> list[slice]:
        return [slice(10, 12)] if shard == 1 else []

    with pytest.raises(Unfinished):
        run_shards(partial(work, whole, stop=10), whole, Serial(), "fit", again=again)
    run_shards(partial(work, whole, made=made), whole, Serial(), "fit")

    assert made == [10]
    assert tiny.all_bytes(whole.path) == before


def test_parts_of_an_array_make_the_whole(tmp_path, whole):
    """Each part its shards, whatever their length."""
    store = empty(tmp_path)
    for index in (1, 0):
        try:
            run_shards(partial(work, store), store, Array(index, 2), "fit")
        except Elsewhere:
            assert index == 1
    assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


def test_what_a_late_worker_kept_goes(whole):
    """A worker taken for lost leaves batches of a shard that is done: the next run removes them."""
    before = tiny.all_bytes(whole.path)
    batches._keep(whole, slice(10, 12), content(slice(10, 12)))
    run_shards(partial(work, whole), whole, Serial(), "fit")

    assert tiny.all_bytes(whole.path) == before


def test_another_batch_is_another_setting(whole):
    """Told by the name that the stage gives it."""
    with pytest.raises(ValueError, match="shard: 2 in the store, 3 asked"):
        create(whole.path, arrays(), {}, 3)
