"""The shards of a store: only what is missing is made, and nothing is left of what was killed."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Array, Serial
from hpcsbi.errors import Unfinished
from hpcsbi.store import shards
from hpcsbi.store.layout import Array as Column
from hpcsbi.store.machine import digest, machine, machines_of
from hpcsbi.store.opening import create
from hpcsbi.store.provenance import code_of
from hpcsbi.store.shards import Elsewhere, run_shards


def empty(folder, rows: int = 4):
    """A store of one row in each shard."""
    return create(folder / "simulations.zarr", {"x": Column({"row": rows}, "float32")}, {}, 1)


def make(store, lucky: bool, shard: int) -> int:
    if shard == 2 and not lucky:
        raise ValueError("out of luck")
    store.write(shard, x=[shard])
    return shard


def test_only_what_is_missing_is_made(tmp_path):
    """A failed shard ends the stage with its reason and the mend; the next run makes only it."""
    store = empty(tmp_path)

    with pytest.raises(RuntimeError, match=r"1 of 4 shards failed(.|\n)*out of luck(.|\n)*again"):
        run_shards(partial(make, store, False), store, Serial(), "simulate")
    assert "out of luck" in store.failure(2)
    assert run_shards(partial(make, store, True), store, Serial(), "simulate") == {2: 2}
    assert run_shards(partial(make, store, True), store, Serial(), "simulate") == {}
    assert not list((store.path / ".lock").iterdir())


def test_parts_of_an_array_make_the_whole(tmp_path):
    """Each part makes every third shard and says so; together they have made all, once."""
    store, made = empty(tmp_path, 8), []
    for index in (2, 0):
        with pytest.raises(Elsewhere, match=f"part {index} of 3"):
            run_shards(partial(make, store, True), store, Array(index, 3), "simulate")
        made.append([shard for shard, state in store.states().items() if state == "done"])
    last = run_shards(partial(make, store, True), store, Array(1, 3), "simulate")

    assert made == [[2, 5], [0, 2, 3, 5, 6]]
    assert set(last) == {1, 4, 7}
    with pytest.raises(ValueError, match=r"--array=0-99"):
        Array(3, 3)


def unwind(store, shard: int) -> None:
    """A worker that was taken for lost removes what another one has made."""
    store.write(shard, x=[shard])
    if shard == 3 and not (store.path / "once").exists():
        (store.path / "once").touch()
        (store.path / ".marks" / "000000.done").unlink()


def test_a_shard_that_goes_again_is_made_again(tmp_path, monkeypatch):
    """The stage ends only when every mark is there."""
    monkeypatch.setattr(shards, "PATIENCE", 0.1)
    store = empty(tmp_path)
    run_shards(partial(unwind, store), store, Serial(), "simulate")

    assert set(store.states(verify=True).values()) == {"done"}


def lose(store, shard: int) -> None:
    """A shard whose files go as soon as they are written."""
    store.write(shard, x=[shard])
    if shard == 2:
        (store.path / ".marks" / "000002.done").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [Serial(), Array(0, 2), "local"])
def test_a_stage_with_a_shard_missing_does_not_succeed(tmp_path, monkeypatch, cluster):
    """Whatever the way of running, a shard that is not there ends the stage and is named."""
    monkeypatch.setattr(shards, "PATIENCE", 0.1)
    store = empty(tmp_path)
    if cluster == "local":
        cluster = Local(2, str(tmp_path / "dask"))

    with pytest.raises(
        Unfinished, match=r"1 of \d shards .* are not there .*\(shard 2\)(.|\n)*again"
    ):
        run_shards(partial(lose, store), store, cluster, "infer")
    assert store.states()[0] == "done"
    run_shards(partial(make, store, True), store, Serial(), "infer")  # the mend
    assert store.read("x").tolist() == [0, 1, 2, 3]


class Late:
    """A store seen through a network file system that shows a mark some looks late."""

    def __init__(self, store, looks: int) -> None:
        self.store, self.looks, self.seen = store, looks, {}

    def __getattr__(self, name):
        return getattr(self.store, name)

    def states(self, asked=None, verify: bool = False):
        states = self.store.states(asked, verify)
        for shard in [shard for shard, state in states.items() if state == "done"]:
            self.seen[shard] = self.seen.get(shard, 0) + 1
            if self.seen[shard] <= self.looks:
                states[shard] = "missing"
        return states


def test_marks_that_are_seen_late_are_waited_for(tmp_path):
    """No shard is made a second time, and the stage succeeds."""
    store, made = empty(tmp_path), []

    def note(shard: int) -> None:
        made.append(shard)
        store.write(shard, x=[shard])

    run_shards(note, Late(store, 3), Serial(), "simulate")

    assert made == [0, 1, 2, 3]


def test_marks_are_listed_and_not_asked_for_by_name(tmp_path, monkeypatch):
    """A name that was once looked for and absent stays absent for a client of NFS: nobody asks."""
    real, absent, made = Path.exists, set(), []

    def exists(path, **options):
        if path in absent:
            return False
        there = real(path, **options)
        if not there and ".marks" in path.parts:
            absent.add(path)
        return there

    monkeypatch.setattr(Path, "exists", exists)
    store = empty(tmp_path)

    def note(shard: int) -> None:
        made.append(shard)
        store.write(shard, x=[shard])

    run_shards(note, store, Serial(), "simulate")
    assert made == [0, 1, 2, 3] and not absent


def test_done_shards_are_made_again_on_demand(tmp_path):
    """Under the lock, and no others."""
    store, made = empty(tmp_path), []
    run_shards(partial(make, store, True), store, Serial(), "fit")

    def note(shard: int) -> None:
        made.append(shard)
        store.write(shard, x=[shard])

    run_shards(
        note, store, Serial(), "fit", again=lambda shard: [slice(3, 4)] if shard == 3 else []
    )
    assert made == [3]


def die_while_writing(store, shard: int) -> None:
    """A worker that SIGKILL ends in the middle of a file, at its first try of shard 1."""
    half = store.path / "x" / "c.0123.partial"
    if shard == 1 and not half.exists():
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    store.write(shard, x=[shard])


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_file_leaves_nothing(tmp_path):
    """The shard is made again in the same run, and the half file is gone at its end."""
    store = empty(tmp_path)
    workers = Local(2, str(tmp_path / "dask"))
    run_shards(partial(die_while_writing, store), store, workers, "simulate")

    assert set(store.states(verify=True).values()) == {"done"}
    assert not list(store.path.rglob("*.partial"))


def fill(store, shard: int) -> None:
    raise OSError(28, "No space left on device", "flux/c/0")


def test_a_full_disk_ends_the_stage_at_once(tmp_path):
    """One piece is enough to know; nothing is marked as failed for it."""
    store = empty(tmp_path)

    with pytest.raises(OSError, match="No space left on device"):
        run_shards(partial(fill, store), store, Serial(), "simulate")
    assert set(store.states().values()) == {"missing"}


def test_another_type_of_processor_is_noted_and_said(tmp_path, monkeypatch, capsys):
    """Who goes on elsewhere is told; a finished store and the same machine say nothing."""
    arrays = {"x": Column({"row": 4}, "float32")}
    store = create(tmp_path / "simulations.zarr", arrays, {"code": code_of("simulate")}, 1)
    run_shards(partial(make, store, True), store, Serial(), "simulate")
    assert machines_of(store.path) == [machine()]
    store.forget(1)
    run_shards(partial(make, store, True), store, Serial(), "simulate")
    assert "processor" not in capsys.readouterr().out

    here = {**machine(), "numba": "skylake-avx512"}
    monkeypatch.setattr("hpcsbi.store.machine.machine", lambda: here)
    run_shards(partial(make, store, True), store, Serial(), "simulate")
    assert "processor" not in capsys.readouterr().out
    store.forget(1)
    run_shards(partial(make, store, True), store, Serial(), "simulate")
    told = capsys.readouterr().out
    assert told.count("another type of processor") == 1 and "skylake-avx512 here" in told


def test_choices_of_the_environment_make_another_machine():
    """What tells libraries to use other loops is part of the type; equal processes agree."""
    code = "from hpcsbi.store.machine import *; print(digest(machine()))"

    def other(**choices) -> str:
        environment = {**os.environ, **choices}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    another = "generic" if os.environ.get("NUMBA_CPU_NAME") == "haswell" else "haswell"
    assert other() == digest(machine()) != other(NUMBA_CPU_NAME=another)
