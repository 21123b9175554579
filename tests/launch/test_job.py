import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

from hpcsbi.launch.frozen import configuration_of
from hpcsbi.launch.job import run_stage
from hpcsbi.store.opening import open_complete

ROOT = Path(__file__).parents[2]


def job(name: str, *overrides: str, **more: str) -> subprocess.CompletedProcess:
    """Run a job from the repository's root, as its users do; `more` is of its environment."""
    environment = {key: value for key, value in os.environ.items() if key != "SPS_HOME"} | more
    return subprocess.run(
        [sys.executable, f"jobs/{name}.py", *overrides],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_simulate_makes_the_table_it_needs(tmp_path):
    """One command from nothing to spectra, marked as made with the demonstration table."""
    done = job(
        "simulate", "name=n", f"run={tmp_path}", "simulate.source=table", "simulate.n=50",
        "simulate.shard=20", "cluster=serial",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    store = open_complete(tmp_path / "simulations.zarr", "simulate")
    assert store.rows == 50
    assert "not for science" in store.attributes["notice"]
    assert "not for science" in done.stdout
    assert '"stage": "simulate"' in (tmp_path / "costs.jsonl").read_text()


@pytest.mark.slow
def test_nothing_goes_into_the_home_directory(tmp_path):
    """Dask, Hydra and the rest keep to the run's folder, which nobody else reads."""
    (tmp_path / "home").mkdir()
    run = tmp_path / "run"
    done = job(
        "simulate", f"run={run}", "simulate.n=60", "simulate.shard=20", "cluster=local",
        HOME=str(tmp_path / "home"),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").iterdir()) == []
    assert run.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_spectra_of_given_parameters(tmp_path):
    """A file of theta takes the place of n; a bad row is named with value, range and mend."""
    theta = pd.DataFrame(tiny.prior().sample(5, np.random.default_rng(0)))
    theta.columns = list(tiny.DIGS)
    theta["tage"] = [0.5, 1, 2, 3, 3.9]
    theta["tau"] = 0.5
    theta.to_parquet(tmp_path / "theta.parquet")
    options = ["name=n", f"run={tmp_path}", "cluster=serial"]
    done = job("simulate", *options, f"simulate.theta={tmp_path}/theta.parquet")
    assert done.returncode == 0, done.stderr
    assert open_complete(tmp_path / "simulations.zarr", "simulate").rows == 5

    theta.loc[3, "tage"] = 4.5
    theta.to_csv(tmp_path / "bad.csv", index=False)
    bad = job("simulate", f"run={tmp_path}/b", f"simulate.theta={tmp_path}/bad.csv")
    assert bad.returncode == 2
    assert all(word in bad.stderr for word in ("bad.csv", "tage", "4.5", "row"))
    assert "Traceback" not in bad.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("infer", "infer.flow=/nowhere", ["/nowhere", "jobs/train.py"]),
        ("augment", "seed=1", ["simulations.zarr", "run the stage that makes it first"]),
        ("ingest", "ingest.files=[/nowhere/spec.fits]", ["/nowhere/spec.fits"]),
        ("status", "name=absent", ["/run does not exist", "name="]),
        ("simulate", "simulate.rows=3", ["rows"]),
        ("simulate", "experiment=nothing", ["nothing"]),
        ("simulate", "prior.columns.tage.high=40", ["tage", "40", "14"]),
        ("simulate", "simulate.source=magic", ["magic"]),
    ],
)
def test_wrong_input_ends_with_words(tmp_path, name, override, words):
    """Status not zero, the value named, before anything is written."""
    done = job(name, f"run={tmp_path}/run", override)

    assert done.returncode == 2  # 1 is the verdict of a calibration
    text = done.stdout + done.stderr
    assert all(word in text for word in words), text
    assert not list(tmp_path.glob("run/*.zarr"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"), [("status", []), ("simulate", ["simulate.n=60", "cluster=serial"])]
)
def test_a_reader_who_leaves_ends_nothing(tmp_path, name, overrides):
    """As with `2>&1 | head -1`: what is asked for is done, and no stack is printed anywhere."""
    command = [sys.executable, f"jobs/{name}.py", f"run={tmp_path}", *overrides]
    read, write = os.pipe()
    process = subprocess.Popen(command, cwd=ROOT, stdout=write, stderr=write)
    os.close(read)
    os.close(write)

    assert process.wait(timeout=600) == 0
    assert name == "status" or open_complete(tmp_path / "simulations.zarr", "simulate").rows == 60


def test_the_words_of_a_looker_are_cut_without_a_stack(tmp_path):
    """`status | head`: standard error stays empty."""
    command = [sys.executable, "jobs/status.py", f"run={tmp_path}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()

    assert (process.stderr.read(), process.wait(timeout=600)) == (b"", 0)


@pytest.mark.slow
def test_a_sweep_goes_on_after_a_job(tmp_path):
    """Every job of a sweep runs, and its exit status is that of the worst."""
    done = job("status", "-m", f"run={tmp_path},{tmp_path}/absent,{tmp_path}", "status.json=true",
               f"hydra.sweep.dir={tmp_path}")  # fmt: skip

    assert done.returncode == 2
    assert done.stdout.count('"verdicts"') == 2
    assert "absent does not exist" in done.stderr


@pytest.mark.slow
def test_help_is_no_error():
    """Looking at the configuration ends with status 0."""
    assert job("train", "--cfg", "job").returncode == 0


@pytest.mark.slow
def test_wrong_sps_home_is_told(tmp_path):
    """A data tree that is not there ends the job with the mend; Fortran is not even started."""
    done = subprocess.run(
        [sys.executable, "jobs/simulate.py", f"run={tmp_path}", "simulate.source=fsps"],
        cwd=ROOT,
        env=os.environ | {"SPS_HOME": str(tmp_path / "tree")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "SPS_HOME" in done.stderr and str(tmp_path / "tree") in done.stderr


@pytest.mark.slow
def test_status_of_a_run(tmp_path):
    """What is done is counted, in words and as JSON."""
    tiny.pairs(tmp_path, n=220)
    words, numbers = (
        job("status", f"run={tmp_path}"),
        job("status", f"run={tmp_path}", "status.json=true"),
    )

    assert words.returncode == numbers.returncode == 0, words.stderr
    assert "simulations" in words.stdout and "training" in words.stdout
    assert json.loads(numbers.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        ("KeyError('lost')", 70, "KeyError: 'lost'"),  # 1 would read as a failed calibration
        ("ValueError('odd')", 70, "Traceback"),
        ("BadInput('no such thing')", 2, "error: no such thing\n"),
        ("PermissionError(13, 'not yours', '/x')", 2, "error: /x cannot be made"),
        ("KeyboardInterrupt()", 130, "interrupted"),
    ],
)
def test_a_fault_of_the_program_is_no_refusal(tmp_path, error, status, says):
    """What we mean is one line; anything else has its traceback and a status of its own."""

    program = f"""
import sys
from hpcsbi.errors import BadInput
from hpcsbi.launch.job import run_job
def task(cfg):
    raise {error}
sys.argv = ["jobs/status.py", "run={tmp_path}"]
run_job("status", task, lambda cfg: ())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == status and says in done.stderr
    assert ("Traceback" in done.stderr) == (status == 70)


@pytest.mark.parametrize(("stage", "options"), [("infer", {"gres": "gpu:1"}), ("calibrate", {})])
def test_workers_ask_for_what_the_jobs_of_their_stage_do(monkeypatch, tmp_path, stage, options):
    """Elastic ones are jobs of their own: the site that they get is the stage's."""
    taken = {}
    monkeypatch.setattr(f"hpcsbi.stages.{stage}.{stage}", lambda **given: taken.update(given))
    given = ["cluster=slurm", f"run={tmp_path}", "site.infer={gres: 'gpu:1'}"]

    assert run_stage(stage, configuration_of(given)) == 0
    assert taken["cluster"].site.options == options
