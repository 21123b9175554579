import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from hpcsbi.cluster import slurm
from hpcsbi.stages.compare import compare

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OUT = "train.out=${run}/flows/h${flow.hidden}_s${train.steps}"
QUICK = ("flow.transforms=2", "train.batch=64", "train.checkpoint=10", "calibrate.draws=20", OUT)


def job(name: str, *overrides: str) -> subprocess.CompletedProcess:
    """A job with the shipped table, from the repository's root."""
    given = [*overrides, f"tabulate.out={tiny.TABLE}", "cluster=serial"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, f"jobs/{name}.py", *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def sweep(run: Path, *overrides: str) -> subprocess.CompletedProcess:
    """The same as one array."""
    given = [f"run={run}", "site=lab", *QUICK, *overrides]
    return job("train", "-m", "hydra/launcher=slurm_array", *given)


def wait(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.5)


def states(number: str) -> list[str]:
    """Of the tasks of an array, in order."""
    found = slurm.jobs([number])
    return [found[f"{number}_{i}"].state for i in range(len(found))]


@pytest.fixture
def run(tmp_path):
    tiny.pairs(tmp_path / "run")
    return tmp_path / "run"


def test_a_sweep_is_one_array_and_one_failure_is_one_failure(slurm_lab, run):
    """It returns while its tasks wait; one is killed, and the table has the others and its end."""
    done = sweep(run, "flow.hidden=4", "train.steps=1000000,20,30", "site.throttle=2")
    assert done.returncode == 0, done.stderr
    line = json.loads((run / "slurm" / "jobs.jsonl").read_text())
    number = line["job"]
    assert all(slurm.jobs([number])[f"{number}_{i}"].active for i in range(3))
    assert f"{number}_1  train.steps=20" in done.stdout
    assert [task["overrides"] for task in line["tasks"]][1:] == [
        ["train.steps=20"],
        ["train.steps=30"],
    ]

    wait((run / "flows" / "h4_s1000000" / "checkpoint.safetensors").exists)  # the last it writes
    slurm.cancel([f"{number}_0"])
    wait(lambda: not any(state in slurm.ACTIVE for state in states(number)))
    assert states(number) == ["CANCELLED", "COMPLETED", "COMPLETED"]

    compare(str(run / "sweep.html"), str(run), str(run / "training.zarr"), 3, 50, 0)
    rows = {row["name"]: row for row in json.loads((run / "sweep.json").read_text())["flows"]}
    killed = rows.pop("h4_s1000000")
    assert killed["state"] == "failed" and killed["step"] >= 10
    assert "CANCELLED" in killed["reason"]
    for row in rows.values():
        assert row["state"] == "trained" and isinstance(row["calibrated"], bool)
        assert row["cpu_seconds"] > 0 and row["job"].startswith(number)

    # The same settings one after the other in one process: the same weights and verdicts.
    other = tiny.copy(run, run.parent / "other")
    for name in ("flows", "calibrations"):
        shutil.rmtree(other / name)
    here = job("train", "-m", f"run={other}", *QUICK, "flow.hidden=4", "train.steps=20,30")
    assert here.returncode == 0, here.stderr
    for name in rows:
        for path in (f"flows/{name}/flow.safetensors", f"calibrations/{name}.json"):
            assert (run / path).read_bytes() == (other / path).read_bytes()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1,2", "site.partition=nosuch"], ["nosuch", "conf/site"]),
        (["seed=1,2", "+site.partitoin=main"], ["partitoin", "partition"]),
        (["seed=1,2"], ["2 of the settings", "flows/h128_s20", "train.out"]),
        (["seed=range(0,1001)"], ["1001", "1000"]),
        (["flow.network=zuko_maf,magic", OUT + "_${flow.network}"], ["magic", "sbi_maf"]),
        (["name=a,b", "run=runs/${name}", "flow.hidden=4,8"], ["one run", "runs/a", "runs/b"]),
    ],
)
def test_what_cannot_be_submitted_is_told_now(slurm_lab, run, overrides, words):
    """Status 2, the value and the mend; nothing is in the queue and no task's folder is there."""
    done = sweep(run, "train.steps=20", *overrides)

    assert done.returncode == 2, done.stdout
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert not (run / "logs").exists()
    assert not (run / "slurm").exists() and not (run / "flows").exists()


def test_without_slurm_it_is_told_how_to_get_one(run, monkeypatch):
    """The mend names the lab and the way without SLURM, and nothing is written."""
    monkeypatch.setenv("PATH", str(run))
    before = sorted(run.rglob("*"))
    done = sweep(run, "flow.hidden=4,8")

    assert done.returncode == 2
    assert "is not on the path" in done.stderr and "slurm/lab.sh" in done.stderr
    assert sorted(run.rglob("*")) == before
