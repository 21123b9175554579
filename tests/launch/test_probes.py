"""A plan tries what is not known on a few rows, beside the run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from configurations import DEMO, composed

from hpcsbi.errors import BadInput
from hpcsbi.launch import probes

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_probe_writes_nothing_and_is_about_right(tmp_path):
    """A run with pairs and a flow: every stage has a number, and no file is new or changed."""
    run = tmp_path / "run"
    tiny.trained(run, tiny.pairs(run, n=400), steps=20)
    (run / "simulations.zarr/.marks/000001.done").unlink()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    done = subprocess.run(
        [sys.executable, "jobs/plan.py", f"run={run}", "name=n", "plan.json=true", "seed=0",
         f"tabulate.out={tiny.TABLE}", f"train.out={run}/flow", "simulate.n=400",
         "simulate.shard=64", "augment.validation=100", "augment.test=100", "infer.draws=100",
         "calibrate.draws=100", "fit.objects=2",
         "ingest.files=['${package_data:sdss_nuclei.fits.gz}']"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    assert (stages["tabulate"]["left"], stages["augment"]["left"], stages["train"]["left"]) == (
        0,
        0,
        0,
    )
    assert stages["simulate"]["source"] == "measured"
    assert (stages["calibrate"]["left"], stages["calibrate"]["source"]) == (100, "estimated")
    assert stages["calibrate"]["rate"] > 0
    assert (stages["ingest"]["left"], stages["infer"]["left"]) == (3, 3)
    assert (stages["fit"]["left"], stages["fit"]["core_hours"]) == (2, None)
    assert [Path(out).name for out in stages["fit"]["waits"]] == ["spectra.zarr", "catalogue.zarr"]
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert not (ROOT / "outputs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("train.source=stored", "augment.copies=2")])
def test_before_the_first_job_training_is_known(tmp_path, options):
    """Few rows are made for those that read them; a flow is not, whose quality decides the speed.

    A number that the user knows is taken in place of a trial, and nothing is written.
    """
    done = subprocess.run(
        [sys.executable, "jobs/plan.py", f"run={tmp_path}/run", "name=n", "plan.json=true",
         "experiment=demo", "simulate.n=9000", "augment.validation=3000", "augment.test=3000",
         "plan.rates={augment: 77}", "flow.hidden=8", "flow.transforms=1",
         "train.representation=projection", *options],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    for stage, left in (("simulate", 9000), ("train", 4000)):
        assert stages[stage]["left"] == left and stages[stage]["source"] == "estimated"
        assert stages[stage]["core_hours"] > 0
    assert stages["augment"]["rate"] == 77
    assert stages["calibrate"]["core_hours"] is stages["infer"]["core_hours"] is None
    assert [Path(out).name for out in stages["infer"]["waits"]][1] == "spectra.zarr"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """The node `plan` as the stage is called with it."""
    monkeypatch.setattr(probes, "run_stage", lambda name, cfg: {"plan": 0}[name])

    def call(*overrides):
        cfg = composed(*DEMO, f"run={tmp_path}/run", "simulate.source=fsps", *overrides)
        assert probes.plan(cfg) == 0
        return cfg.plan

    return call


@pytest.mark.parametrize(
    ("overrides", "rows"),
    [
        (["augment.copies=3", "simulate.n=1000"], {"augment": 3 * 700 + 300, "simulate": 1000}),
        (["augment.copies=0"], {"augment": 300}),
        (["simulate.n=200", "augment.copies=3"], {"augment": 300}),
        (["simulate.theta=x.csv"], {"simulate": None}),
        (["fit.objects=20"], {"fit": 20}),
        (["fit.objects=[a,b]"], {"fit": 2}),
    ],
)
def test_rows_follow_from_the_options(planned, overrides, rows):
    """Spectra that are held out have one copy; rows of a file are not known before it is read."""
    node = planned("plan.probe=false", "augment.validation=200", "augment.test=100", *overrides)

    assert {stage: node.rows[stage] for stage in rows} == rows


def test_chains_are_planned_where_they_are_asked_for(planned):
    """They take long, and most runs have none."""
    assert "fit" not in planned("plan.probe=false").outs
    assert "fit" in planned("plan.probe=false", "fit.objects=2").outs


def test_what_a_trial_finds_is_noted(planned, monkeypatch):
    """Speed and rows; a speed that the user gives stands. What waits for others is not tried."""
    tried = []
    monkeypatch.setattr(probes, "_probe", lambda stage, *_: tried.append(stage) or (5.0, 7))

    node = planned("plan.rates={tabulate: 77}")

    assert "ingest" in tried and not {"infer", "train", "calibrate"} & set(tried)
    assert (node.rates["ingest"], node.rows["ingest"]) == (5.0, 7)
    assert node.rates["tabulate"] == 77


def test_what_cannot_be_tried_is_told_and_the_rest_is_planned(planned, monkeypatch, capsys):
    """A file that is wrong does not keep the user from the other numbers; a fault is no refusal."""

    def refuse(stage, *_):
        raise BadInput("no such spectrum")

    monkeypatch.setattr(probes, "_probe", refuse)
    assert "ingest" not in planned().rates
    assert "ingest cannot be tried: no such spectrum" in capsys.readouterr().err

    monkeypatch.setattr(probes, "_probe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        planned()


@pytest.mark.parametrize(("ids", "rows"), [(None, 3), ("NGC 3522\nNGC 3073\n", 2)])
def test_chosen_objects_are_counted_in_a_trial(tmp_path, ids, rows):
    """The trial reads what the first file has; planned are no more than are chosen."""
    (tmp_path / "ids.txt").write_text(ids or "")
    (tmp_path / "out").mkdir()
    chosen = [f"ingest.ids={tmp_path}/ids.txt"] if ids else []
    cfg = composed(*DEMO, f"run={tmp_path}/run", *chosen)

    rate, planned = probes._probe("ingest", cfg, tmp_path / "out")

    assert rate > 0 and planned == rows
