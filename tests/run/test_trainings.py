"""The trainings of a run: done, going on, or failed, and why; not known is not failed."""

import json
from pathlib import Path

import numpy as np

from hpcsbi.run.trainings import _unfinished, trainings
from hpcsbi.store.files import save_weights


def test_a_training_that_nobody_can_ask_about_has_not_failed(programs, tmp_path):
    """Its state is unknown, with the reason."""
    task = type("Task", (), {"job": "7_1", "log": tmp_path / "log", "flow": {}})()

    state, reason = _unfinished(Path(tmp_path), task, "squeue: no answer")

    assert state == "unknown" and "no answer" in reason


def test_a_training_of_another_cluster_has_not_failed(programs, tmp_path):
    """The job of its number here has, which is another one."""
    programs("scontrol", "echo 'ClusterName = beta'")
    programs("squeue", 'echo "7_0|FAILED|NonZeroExitCode"; echo "7_1|FAILED|NonZeroExitCode"')
    (tmp_path / "slurm").mkdir()
    line = {"job": "7", "stage": "train", "log": f"{tmp_path}/train-%A_%a.log"}
    lines = [
        line | {"cluster": cluster, "tasks": [{"out": f"flows/{cluster}", "flow": {}}]}
        for cluster in ("alpha", "beta")
    ]
    (tmp_path / "slurm" / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))

    assert {one.name: one.state for one in trainings(tmp_path)} == {
        "alpha": "unknown",
        "beta": "failed",
    }


def test_what_lies_in_the_folder_tells_how_far_it_is(programs, tmp_path):
    """Trained, stopped at a step, damaged, or not begun: each with what its file says."""
    programs("squeue", "exit 1")
    settings = {"settings": {"steps": 500, "flow": {"hidden": 8}}}
    save_weights(tmp_path / "flows/a/flow.safetensors", {"w": np.zeros(3)}, settings)
    begun = settings | {"step": 200}
    save_weights(tmp_path / "flows/b/checkpoint.safetensors", {"w": np.zeros(3)}, begun)
    (tmp_path / "flows/c").mkdir()
    (tmp_path / "flows/c/flow.safetensors").write_bytes(b"x")
    (tmp_path / "flows/d").mkdir()

    told = {one.name: one for one in trainings(tmp_path)}

    assert [told[name].state for name in "abcd"] == ["trained", "stopped", "failed", "stopped"]
    assert [told[name].step for name in "abcd"] == [500, 200, 0, 0]
    assert told["b"].settings == settings["settings"] and told["b"].job == ""
    assert "is damaged" in told["c"].reason and "give the command again" in told["d"].reason


def test_costs_are_those_of_all_calls_for_a_flow(tmp_path):
    """Of trainings only; a flow of which none is noted has none."""
    lines = [
        {"stage": "train", "out": "flows/a", "cpu_seconds": 3.0},
        {"stage": "train", "out": "flows/a", "cpu_seconds": 4.0},
        {"stage": "calibrate", "out": "flows/a", "cpu_seconds": 99.0},
    ]
    (tmp_path / "costs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("a", "b"):
        (tmp_path / "flows" / name).mkdir(parents=True)

    assert [one.cpu_seconds for one in trainings(tmp_path)] == [7.0, None]
