"""Plan reckons what is left from what a run measured or a probe tried, and writes nothing."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.cluster.deadline import way_out
from hpcsbi.cluster.executors import Enough, Probe
from hpcsbi.cluster.site import seconds_of
from hpcsbi.stages.plan import Work, _reckoned, plan, works
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create
from hpcsbi.store.shards import run_shards

ROOT = Path(__file__).parents[2]


def half_made(run: Path, rows: int = 1000, shard: int = 10, done: int = 40):
    """Simulations of which some shards are there."""
    store = create(run / "simulations.zarr", {"x": Array({"row": rows}, "int8")}, {}, shard)
    for i in range(done):
        store.write(i, x=np.zeros(shard))
    return store


def planned(run: Path, capsys, **options) -> dict:
    """What plan prints for programs, of one stage."""
    arguments = {
        "outs": {"simulate": str(run / "simulations.zarr")},
        "rows": {"simulate": 1000, "train": 500},
        "shards": {"simulate": 10},
        "rates": {},
        "tasks": 4,
        "cores": 1,
        "training_cores": 1,
        "time": "01:00:00",
        "requeues": 10,
        "probe": False,
        "json": True,
    }
    plan(str(run), **(arguments | options))
    return json.loads(capsys.readouterr().out)


def test_core_hours_from_what_the_run_measured(tmp_path, capsys):
    """600 rows at 2 a second and core: 300 core-seconds, a quarter of that on four cores."""
    store = half_made(tmp_path)
    store.note_cost("simulate", 300, 30, 150.0, 40.0)
    store.note_cost("simulate", 100, 10, 50.0, 50.0)

    found = planned(tmp_path, capsys, rates={"simulate": 99.0})

    (stage,) = found["stages"]
    assert (stage["left"], stage["shards"], stage["source"]) == (600, 60, "measured")
    assert stage["rate"] == pytest.approx(2.0)
    assert found["wall_seconds"] == pytest.approx(75.0)
    assert found["core_hours"] == pytest.approx(300 / 3600)
    assert found["complete"] and stage["jobs"] == 1


def test_marks_tell_where_those_at_work_are_known(tmp_path, capsys):
    """While two processes are at it, the rate of the marks is that of two; after them of nobody."""
    store = half_made(tmp_path)
    for i in range(40):
        os.utime(store.path / f".marks/{i:06d}.done", (1000 + i, 1000 + i))

    with store.locked() as lock:
        lock.note(workers=2)
        assert planned(tmp_path, capsys)["stages"][0]["rate"] == pytest.approx(5.0)
    assert planned(tmp_path, capsys)["stages"][0]["rate"] is None


def test_idle_cores_of_the_last_round_are_paid(tmp_path, capsys):
    """Five shards on four cores take two rounds of all four."""
    half_made(tmp_path, rows=50, done=0)

    found = planned(tmp_path, capsys, rates={"simulate": 1.0})

    assert found["wall_seconds"] == pytest.approx(20.0)
    assert found["core_hours"] == pytest.approx(80 / 3600)


def test_cores_that_a_process_keeps_from_others_are_paid(tmp_path, capsys):
    """With four processors for each task core-hours are four times as many, times are the same."""
    half_made(tmp_path)
    rates = {"simulate": 1.0, "train": 10.0}
    outs = {"simulate": str(tmp_path / "simulations.zarr"), "train": str(tmp_path / "flows/x")}
    plain = planned(tmp_path, capsys, rates=rates, outs=outs)
    wide = planned(tmp_path, capsys, rates=rates, outs=outs, cores=4, training_cores=32)

    assert wide["wall_seconds"] == plain["wall_seconds"]
    hours = ([stage["core_hours"] for stage in one["stages"]] for one in (wide, plain))
    ratios = [more / less for more, less in zip(*hours, strict=True)]
    assert ratios == pytest.approx([4, 32])


@given(
    st.integers(1, 10**6), st.integers(1, 5000), st.integers(1, 300), st.floats(1e-3, 1e6),
    st.integers(60, 10**6),
)  # fmt: skip
def test_no_plan_is_faster_than_its_cores(rows, shard, tasks, rate, limit):
    """Core-hours cover the work, the cores the time, and the jobs too."""
    shards = -(-rows // shard)
    work = Work("simulate", rows, shards, min(shard, rows), rate, "measured")
    found = _reckoned(work, tasks, 1, limit, 0)

    seconds = rows / rate
    assert found["wall_seconds"] <= seconds * (1 + 1e-9)
    assert found["wall_seconds"] * min(tasks, shards) >= seconds * (1 - 1e-9)
    assert found["core_hours"] * 3600 >= seconds * (1 - 1e-9)
    assert found["jobs"] * (limit - way_out(limit)) >= found["wall_seconds"] * (1 - 1e-9)


def test_what_a_short_job_cannot_do_is_told(tmp_path, capsys):
    """A shard that takes half of a job, and more jobs than requeues, get a warning each."""
    half_made(tmp_path)

    found = planned(
        tmp_path, capsys, rates={"simulate": 0.01}, time="00:30:00", requeues=1, tasks=1
    )

    shard, requeues = found["stages"][0]["warnings"]
    assert "simulate.shard" in shard and "site.requeues=1" in requeues


def test_a_shard_is_no_longer_than_the_rows(tmp_path, capsys):
    """Three rows in shards of thousands are three rows."""
    (stage,) = planned(
        tmp_path, capsys, rows={"simulate": 3}, shards={"simulate": 4096}, rates={"simulate": 1.0}
    )["stages"]

    assert (stage["wall_seconds"], stage["warnings"]) == (3.0, [])


def test_unknown_is_said_and_not_guessed(tmp_path, capsys):
    """Without a speed the rows are told, no hours, and what has to be there first."""
    outs = {name: str(tmp_path / f"{name}.zarr") for name in ("tabulate", "simulate")}
    found = planned(tmp_path, capsys, outs=outs, shards={"tabulate": 8, "simulate": 10})
    assert not found["complete"] and found["core_hours"] == 0
    assert found["stages"][1]["waits"] == [outs["tabulate"]]

    planned_text = {
        "outs": outs,
        "shards": {"tabulate": 8, "simulate": 10},
        "rows": {"simulate": 9},
        "cores": 1,
        "training_cores": 1,
    }
    plan(str(tmp_path), **planned_text, rates={}, tasks=1, time="5", requeues=0, probe=True)
    assert "9 rows known when tabulate.zarr is there" in capsys.readouterr().out


def test_a_probe_makes_two_pieces_and_times_the_second(tmp_path):
    """Two of a hundred shards are made; a piece that fails is told as it is."""
    store, made = half_made(tmp_path, done=0), []

    with pytest.raises(Enough) as end:
        run_shards(made.append, store, Probe(), "simulate")
    assert (made, end.value.piece) == ([0, 1], 1)
    assert 0 <= end.value.seconds < 1

    with pytest.raises(RuntimeError, match="division by zero"):
        run_shards(lambda shard: 1 / shard, store, Probe(), "simulate")


def test_training_counts_steps(tmp_path):
    """A flow that is not there has all its steps left, and one core makes them."""
    (work,) = works(
        str(tmp_path), {"train": str(tmp_path / "a")}, {"train": 500}, {}, {"train": 5.0}
    )

    assert (work.left, work.shards, work.rate, work.source) == (500, 1, 5.0, "estimated")


def test_no_more_chains_than_spectra(tmp_path):
    """Of the first 20 of three spectra there are three, and one has a row in the catalogue each."""
    spectra = create(tmp_path / "spectra.zarr", {"x": Array({"row": 3}, "int8")}, {}, 10)
    outs = {name: str(tmp_path / f"{name}.zarr") for name in ("infer", "fit")}
    outs["ingest"] = str(spectra.path)
    sizes = dict.fromkeys(outs, 1)

    left = {work.stage: work.left for work in works(str(tmp_path), outs, {"fit": 20}, sizes, {})}
    assert (left["infer"], left["fit"]) == (3, 3)
    fewer = works(str(tmp_path), outs, {"fit": 2}, sizes, {})
    assert [work.left for work in fewer if work.stage == "fit"] == [2]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("04:00:00", 14400), ("90", 5400), (30, 1800), ("10:30", 630), ("1-12", 129600),
     ("2-00:00:30", 172830)],
)  # fmt: skip
def test_times_are_those_of_slurm(time, seconds):
    """Every spelling that sbatch takes."""
    assert seconds_of(time) == seconds


@pytest.mark.parametrize("time", ["", "soon", "1:2:3:4", "00:00:00", "-5", "1-"])
def test_times_that_are_none(time):
    """Others are named."""
    with pytest.raises(ValueError, match="the time"):
        seconds_of(time)
