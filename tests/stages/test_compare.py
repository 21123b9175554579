import csv
import json

import pytest
import tiny

from hpcsbi.cluster import slurm
from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.cluster.executors import Serial
from hpcsbi.cluster.slurm import JobState
from hpcsbi.simulator.observation.noise import FractionalNoise
from hpcsbi.stages import train as training_stage
from hpcsbi.stages.calibrate import calibrate
from hpcsbi.stages.compare import compare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with flows good, same (a copy of it) and worse (trained for a tenth of the steps)."""
    run = tmp_path_factory.mktemp("compare")
    pairs = tiny.pairs(run)
    good = tiny.trained(run / "good", pairs, steps=400)
    worse = tiny.trained(run / "worse", pairs, steps=40, flow=tiny.Flow("zuko_maf", 8, 2))
    for name, flow in {"good": good, "same": good, "worse": worse}.items():
        tiny.copy(flow, run / "flows" / name)
    for name in ("good", "worse"):
        out = run / "calibrations" / f"{name}.zarr"
        calibrate(str(out), str(run / "flows" / name), str(pairs), 50, 20, 64, 0, Serial())
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may add to."""
    return tiny.copy(trained, tmp_path / "run")


def compared(run, **options) -> dict:
    """Rows of the comparison by name."""
    settings = {"pairs": str(run / "training.zarr"), "spectra": 3, "draws": 100, "seed": 0}
    compare(str(run / "sweep.html"), str(run), **settings | options)
    return {row["name"]: row for row in json.loads((run / "sweep.json").read_text())["flows"]}


def submitted(run, *outs: str) -> None:
    """Note an array that was to train these flows."""
    tasks = [
        {"overrides": [], "out": out, "flow": {"network": "zuko_maf", "hidden": 9, "transforms": 7}}
        for out in outs
    ]
    (run / "slurm").mkdir()
    line = {"job": "7", "stage": "train", "log": f"{run}/logs/train-%A_%a.log", "tasks": tasks}
    (run / "slurm" / "jobs.jsonl").write_text(json.dumps(line) + "\n")


def test_equal_flows_are_tied_and_a_worse_one_is_not(run):
    """Of two equal flows each is as good as the other; fewer steps and units are behind."""
    rows = compared(run)

    assert [rows[name]["tied"] for name in ("good", "same", "worse")] == [True, True, False]
    assert sum(row["best"] for row in rows.values()) == 1
    assert rows["good"]["log_prob"] == rows["same"]["log_prob"] > rows["worse"]["log_prob"]
    assert rows["worse"]["behind"] > 5 * rows["worse"]["behind_error"] > 0
    assert rows["worse"]["draws_per_second"] > 0


def test_score_is_that_of_the_test_pairs(run):
    """The same mean as the density that calibrate noted for each of these spectra."""
    store = training_stage.open_complete(run / "calibrations" / "good.zarr", "calibrate")

    score = store.read("log_prob")
    assert compared(run)["good"]["log_prob"] == pytest.approx(score.mean(), rel=1e-5)


def test_verdict_is_of_the_same_flow(run):
    """The calibration of another flow under its name is none of this flow."""
    assert compared(run)["worse"]["calibrated"] in (True, False)

    for suffix in (".zarr", ".json"):
        (run / "calibrations" / f"worse{suffix}").rename(run / "calibrations" / f"kept{suffix}")
    tiny.copy(run / "calibrations" / "good.zarr", run / "calibrations" / "worse.zarr")
    tiny.shutil.copy(run / "calibrations" / "good.json", run / "calibrations" / "worse.json")
    assert compared(run)["worse"]["calibrated"] is None


def test_what_a_job_died_of_is_told(run, monkeypatch):
    """SLURM's words are told apart, with the last line of each log, escaped on the page."""
    ends = {
        "TIMEOUT": "train: 40%|####  \rtrain: 60%|###### \n\n",
        "OUT_OF_MEMORY": "error: <script>alert(1)</script> \x1b[31m\n",
        "NODE_FAIL": None,
        "PENDING": None,
        "RUNNING": "train: 1%",
    }
    submitted(run, *(f"flows/{end}" for end in ends))
    (run / "logs").mkdir()
    for i, text in enumerate(ends.values()):
        if text is not None:
            (run / "logs" / f"train-7_{i}.log").write_text(text)
    states = {f"7_{i}": JobState(end, "Resources") for i, end in enumerate(ends)}
    monkeypatch.setattr(slurm, "jobs", lambda ids: states if set(ids) == {"7"} else {})
    rows = compared(run)

    assert rows["TIMEOUT"]["reason"] == "job 7_0 TIMEOUT: train: 60%|######"
    assert "OUT_OF_MEMORY: error: <script>" in rows["OUT_OF_MEMORY"]["reason"]
    assert "\x1b" not in rows["OUT_OF_MEMORY"]["reason"]
    assert rows["NODE_FAIL"]["reason"].endswith("NODE_FAIL, and left no log")
    assert [rows[end]["state"] for end in ends] == [*["failed"] * 3, "waiting", "training"]
    assert rows["TIMEOUT"]["hidden"] == 9 and rows["TIMEOUT"]["log_prob"] is None
    page = (run / "sweep.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_without_slurm_a_submitted_flow_is_not_forgotten(run, monkeypatch):
    """Where SLURM is gone the table says that nobody tells what becomes of the job."""
    submitted(run, "flows/lost")
    monkeypatch.setenv("PATH", str(run))

    lost = compared(run)["lost"]

    assert lost["state"] == "unknown" and "squeue" in lost["reason"]


def test_a_stopped_training_shows_its_step(run, monkeypatch):
    """A checkpoint without a driver is a training that stopped."""
    monkeypatch.setattr(training_stage, "leaves", lambda _: False)
    with pytest.raises(OutOfTime):
        tiny.trained(run / "flows", run / "training.zarr", steps=50)
    row = compared(run)["flow"]

    assert (row["state"], row["step"], row["steps"]) == ("stopped", 1, 50)
    assert row["hidden"] == 32 and not row["tied"]


def test_what_cannot_be_compared_is_listed_with_its_reason(run, tmp_path, monkeypatch):
    """A damaged flow and one for other noise do not keep the others from their table."""
    weights = run / "flows" / "same" / "flow.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    monkeypatch.setattr(tiny, "FractionalNoise", lambda: FractionalNoise(0.2))
    pairs = tiny.pairs(tmp_path / "noisy")
    tiny.copy(tiny.trained(tmp_path / "noisy", pairs, steps=5), run / "flows" / "noisy")
    rows = compared(run)

    assert "damaged" in rows["same"]["reason"]
    assert "fraction" in rows["noisy"]["reason"] and rows["noisy"]["state"] == "failed"
    assert rows["good"]["best"] and not rows["worse"]["tied"]


def test_costs_are_summed_over_the_jobs_of_a_flow(run):
    """Two jobs of one flow add up; other stages and flows do not count, a cut line is left out."""
    lines = [
        {"stage": "train", "out": "flows/good", "cpu_seconds": 1800},
        {"stage": "train", "out": "flows/good", "cpu_seconds": 5400},
        {"stage": "train", "out": "flows/worse", "cpu_seconds": 36},
        {"stage": "calibrate", "out": "flows/good", "cpu_seconds": 9},
        {"stage": "train", "cpu_seconds": 9},
    ]
    (run / "costs.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"stage": "tr')
    rows = compared(run)

    assert [rows[name]["core_hours"] for name in ("good", "worse", "same")] == [2.0, 0.01, None]


def test_table_for_programs_is_the_same(run):
    """The CSV has a line for each flow with the figures of the JSON."""
    rows = compared(run)
    with (run / "sweep.csv").open() as file:
        lines = list(csv.DictReader(file))

    assert {line["name"]: float(line["log_prob"]) for line in lines} == {
        name: row["log_prob"] for name, row in rows.items()
    }


def test_nothing_to_compare(tmp_path):
    """A run without pairs or flows is told what to run."""
    with pytest.raises(FileNotFoundError, match=r"training\.zarr"):
        compared(tmp_path)
    tiny.pairs(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"jobs/train\.py"):
        compared(tmp_path)
