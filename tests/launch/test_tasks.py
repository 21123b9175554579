"""What a job does: the stages that it runs in turn, and the status that it ends with."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from configurations import DEMO, composed
from hydra.types import RunMode

from hpcsbi.launch import tasks


@pytest.fixture
def stages(monkeypatch):
    """Stages that ran, and what each is to return."""
    ran = SimpleNamespace(names=[], status={}, outs=[])

    def run_stage(name, cfg):
        ran.names.append(name)
        ran.outs.append(cfg[name].get("out"))
        return ran.status.get(name, 0)

    monkeypatch.setattr(tasks, "run_stage", run_stage)
    return ran


@pytest.fixture
def start(monkeypatch):
    """The task of a job, and the stages that are checked before it."""

    def call(name):
        given = []
        monkeypatch.setattr(tasks, "run_job", lambda *arguments: given.extend(arguments))
        tasks.start(name)
        assert given[0] == name
        return given[1], given[2]

    return call


@pytest.mark.parametrize(
    ("name", "overrides", "names"),
    [
        ("infer", [], ["infer"]),
        ("simulate", [], ["tabulate", "simulate"]),
        ("simulate", ["cluster=array"], ["simulate"]),
        ("simulate", ["simulate.source=fsps"], ["simulate"]),
    ],
)
def test_a_job_runs_its_stages_in_turn(start, stages, name, overrides, names):
    """And they are those that are checked first; parts of an array do not each make a table."""
    cfg = composed(*DEMO, *overrides)
    task, checked = start(name)

    assert task(cfg) == 0
    assert stages.names == list(checked(cfg)) == names


@pytest.mark.parametrize("worst", ["tabulate", "simulate"])
def test_a_job_ends_with_the_worst_status(start, stages, worst):
    """Whichever stage has it."""
    stages.status = {worst: 1}

    assert start("simulate")[0](composed(*DEMO)) == 1


@pytest.mark.parametrize(
    ("judge", "mode", "judged"),
    [
        ("true", RunMode.RUN, True),
        ("false", RunMode.MULTIRUN, False),
        ("null", RunMode.MULTIRUN, True),
        ("null", RunMode.RUN, False),
    ],
)
def test_a_flow_of_a_sweep_is_judged(start, stages, monkeypatch, judge, mode, judged):
    """Under its own name, and where it fails that is not the training's status."""
    monkeypatch.setattr(tasks.HydraConfig, "get", lambda: SimpleNamespace(mode=mode))
    stages.status = {"calibrate": 1}
    cfg = composed(*DEMO, f"judge={judge}", "run=/data/x", "train.out=/data/x/flows/h8")

    assert start("train")[0](cfg) == 0
    assert stages.names == (["train", "calibrate"] if judged else ["train"])
    if judged:
        assert Path(stages.outs[1]) == Path("/data/x/calibrations/h8.zarr")


def test_a_training_that_failed_has_failed(start, stages):
    """Whatever its calibration says."""
    stages.status = {"train": 1}

    assert start("train")[0](composed(*DEMO, "judge=true")) == 1
