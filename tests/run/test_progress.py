"""How far products are, by their marks, headers and notes."""

import os

import numpy as np
import pytest

from hpcsbi.run.progress import (
    WorkLeft,
    core_rates,
    flow_progress,
    store_progress,
    work_left,
    worker_seconds,
)
from hpcsbi.store.files import save_weights
from hpcsbi.store.layout import Array
from hpcsbi.store.locks import locked
from hpcsbi.store.opening import create


def simulations(run, done=(0, 1, 2)):
    """A store of three shards of ten rows, each a second after the one before."""
    store = create(run / "simulations.zarr", {"x": Array({"row": 30}, "float32")}, {}, 10)
    for i in done:
        store.write(i, x=np.zeros(10))
        os.utime(store.path / ".marks" / f"{i:06d}.done", (1000.0 + i, 1000.0 + i))
    return store


def test_notes_of_all_drivers_add_up(tmp_path):
    """Rows and seconds of one process by stage; a stage without time has no speed."""
    store = simulations(tmp_path)
    for rows, seconds in ((300, 30.0), (100, 10.0)):
        store.note_cost("simulate", rows, 1, seconds, 99.0)
    store.note_cost("infer", 5, 1, 0.0, 0.0)

    assert core_rates(tmp_path) == {"simulate": pytest.approx(10.0)}
    assert worker_seconds(tmp_path, "simulate") == pytest.approx(40.0)
    assert worker_seconds(tmp_path, "infer") == worker_seconds(tmp_path, "train") == 0
    assert core_rates(tmp_path / "absent") == {}


def test_what_is_no_store_has_an_error(tmp_path):
    """In words, and no counts that could be added up."""
    (tmp_path / "simulations.zarr").mkdir()

    assert "simulations.zarr" in store_progress(tmp_path / "simulations.zarr")["error"]
    assert store_progress(tmp_path / "simulations.zarr").keys() == {"error"}


def test_counts_add_up_to_the_shards(tmp_path):
    """Done, failed, missing and damaged; damage is seen only where files are compared."""
    store = simulations(tmp_path, done=(0, 2))
    store.mark_failed(1, "first\nlast words")
    file = store.path / "x" / "c.2"
    file.write_bytes(file.read_bytes()[:-1])

    trusting, exact = (store_progress(store.path, verify) for verify in (False, True))

    counts = ("done", "failed", "missing", "running")
    assert [trusting[name] for name in counts] == [2, 1, 0, 0] and trusting["damaged"] == []
    assert [exact[name] for name in counts] == [1, 1, 0, 0] and exact["damaged"] == [2]
    assert exact["failure"] == {"shard": 1, "reason": "last words"}
    assert (trusting["rows_done"], exact["rows_done"]) == (20, 10)


@pytest.mark.parametrize(
    ("done", "left"), [((), None), ((0,), None), ((0, 1), 1.0), ((0, 1, 2), None)]
)
def test_time_left_takes_two_shards(tmp_path, done, left):
    """Of fewer there is no speed, and of all there is nothing left."""
    progress = store_progress(simulations(tmp_path, done).path)

    assert progress["seconds_left"] == (left and pytest.approx(left))


def test_work_left_is_told_in_words_and_shards(tmp_path):
    """All where nothing is, some where some are, none where the stage is done."""
    out = tmp_path / "simulations.zarr"
    assert work_left("simulate", out) == WorkLeft("simulations.zarr is not there")
    store = simulations(tmp_path, done=(0,))
    store.mark_failed(2, "no")
    left = work_left("simulate", out)
    assert left.shards == [1, 2]
    assert "2 of 3 shards of simulations.zarr to make (1 missing, 1 failed)" in left.why

    for shard in (1, 2):
        store.write(shard, x=np.zeros(10))
    assert work_left("simulate", out) is None


def test_steps_of_a_flow(tmp_path):
    """Of its checkpoint, then of its weights; one that is cut short is not trained."""
    flow, settings = tmp_path / "a", {"settings": {"steps": 500}}
    assert work_left("train", flow).why == "a is not there"
    save_weights(flow / "checkpoint.safetensors", {"w": np.zeros(9)}, settings | {"step": 200})
    assert (flow_progress(flow)["step"], flow_progress(flow)["trained"]) == (200, False)
    assert work_left("train", flow).why == "a is at step 200 of 500"

    save_weights(flow / "flow.safetensors", {"w": np.zeros(9)}, settings)
    assert (flow_progress(flow)["step"], flow_progress(flow)["trained"]) == (500, True)
    assert work_left("train", flow) is None

    path = flow / "flow.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert flow_progress(flow)["trained"] and "is damaged" in work_left("train", flow).why


def test_a_driver_at_work_tells_its_pace(tmp_path):
    """Steps a second and the time left are as it notes them; without one there are none."""
    settings = {"settings": {"steps": 500}, "step": 200}
    save_weights(tmp_path / "checkpoint.safetensors", {"w": np.zeros(9)}, settings)
    with locked(tmp_path) as lock:
        lock.note(step=250, steps=500, made=50, seconds=10.0)
        at_work = flow_progress(tmp_path)
    after = flow_progress(tmp_path)

    assert (at_work["running"], at_work["step"]) == (1, 250)
    assert at_work["steps_per_second"] == 5.0 and at_work["seconds_left"] == 50.0
    assert (after["running"], after["step"], after["steps_per_second"]) == (0, 200, None)
