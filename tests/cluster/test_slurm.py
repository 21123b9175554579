"""On a real SLURM of virtual nodes: whatever the queue does to it costs not a row."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny

from hpcsbi.cluster import slurm
from hpcsbi.cluster.site import make_site
from hpcsbi.store.files import read_notes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = ["simulate.n=3000", "simulate.shard=100", "augment.validation=400", "augment.test=400",
         "train.steps=6000", "train.batch=64", "train.checkpoint=500", "flow.hidden=16",
         "flow.transforms=2"]  # fmt: skip
PATIENCE = 400  # seconds: the machine may be busy with something else


def job(name: str, run: Path, *overrides: str) -> subprocess.CompletedProcess:
    """A job as its users call it."""
    environment = {key: value for key, value in os.environ.items() if key != "SPS_HOME"}
    script = [sys.executable, f"jobs/{name}.py"] if name != "pipeline.sh" else ["slurm/pipeline.sh"]
    first = [run.name] if name == "pipeline.sh" else []
    return subprocess.run(
        [*script, *first, f"run={run}", *SMALL, *overrides],
        cwd=ROOT,
        env=environment | {"HPCSBI_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def submit(run: Path, *overrides: str) -> list[str]:
    """Numbers of the jobs that were submitted."""
    done = job("pipeline.sh", run, "site=lab", *overrides)
    assert done.returncode == 0, done.stderr
    lines = (run / "slurm" / "jobs.jsonl").read_text().splitlines()
    return [json.loads(line)["job"] for line in lines]


def states(*numbers: str) -> dict[str, str]:
    """State of each job or task."""
    return {name: state.state for name, state in slurm.jobs(numbers).items()}


def wait(*numbers: str) -> set[str]:
    """States of jobs when all have ended; a requeued one need not wait its two minutes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = slurm.jobs(numbers)
        if found and not any(state.active for state in found.values()):
            return {state.state for state in found.values()}
        for name in found:
            hurried(name)
        time.sleep(0.3)
    raise TimeoutError(f"{states(*numbers)}")


def until(condition) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def hurried(number: str) -> bool:
    """True if a job runs; one that was queued again need not wait SLURM's two minutes."""
    state = slurm.jobs([number]).get(number)
    if state and state.reason == "BeginTime":
        time.sleep(3)  # sooner SLURM takes the new start for the old one, which it has revoked
        subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)
        time.sleep(1)
    return bool(state) and state.state == "RUNNING"


def marks(run: Path) -> int:
    return len(list((run / "simulations.zarr" / ".marks").glob("*.done")))


def at_work(log: Path, earlier: int) -> bool:
    """True when the training has begun, or gone on so many times, and takes steps."""
    text = log.read_text() if log.exists() else ""
    return (
        text.count("goes on from step") == earlier and "steps, " in text.split("goes on from")[-1]
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """Everything up to the flow, made in one process."""
    run = tmp_path_factory.mktemp("reference") / "run"
    for name in ("simulate", "augment", "train"):
        done = job(name, run, "cluster=serial")
        assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def run(tmp_path, slurm_lab) -> Path:
    """A folder for a run on the virtual SLURM; whatever it left in the queue is cancelled."""
    folder = tmp_path / "run"
    yield folder
    if (folder / "slurm" / "jobs.jsonl").exists():
        lines = (folder / "slurm" / "jobs.jsonl").read_text().splitlines()
        slurm.cancel(json.loads(line)["job"] for line in lines)


def cost(run: Path, file: str, key: str) -> float:
    """What simulate has cost, by one of the run's notes."""
    return sum(line[key] for line in read_notes(run / file)[0] if line["stage"] == "simulate")


def equal(run: Path, reference: Path, name: str = "simulations.zarr") -> bool:
    return tiny.all_bytes(run / name) == tiny.all_bytes(reference / name)


def test_all_ways_give_the_same_bytes(run, reference):
    """Allocation, jobs of its own and array make what one process makes, for no other's eyes."""
    runs = {way: run.with_name(way) for way in ("allocation", "slurm", "array")}
    numbers = [
        number
        for way, folder in runs.items()
        for number in submit(folder, "--stages=tabulate,simulate", f"cluster={way}")
    ]
    ended = wait(*numbers)

    assert ended == {"COMPLETED"}
    for way, folder in runs.items():
        assert equal(folder, reference), way
        assert equal(folder, reference, "ssp.zarr"), way
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        spent = cost(folder, "costs.jsonl", "cpu_seconds")
        worked = cost(folder, "rates.jsonl", "worker_seconds")
        # Of parts of an array it is their own: less than the clock's on a busy machine.
        assert spent > (0 if way == "array" else worked), "the workers' time is missing"
        assert not any(path.stat().st_mode & 0o077 for path in folder.glob("*.zarr/**/*"))
        assert not list(folder.rglob("*.pem")), "certificates outlive the job"


def test_nothing_listens_but_with_certificates(run):
    """While an allocation is at work, its ports take no plain connection, and all is encrypted."""
    number = submit(run, "--stages=tabulate,simulate", "simulate.n=60000")[-1]
    until(lambda: marks(run) > 0)
    workers = [
        process.cmdline()
        for process in psutil.process_iter()
        if "dask_worker" in " ".join(process.cmdline()) and str(run) in " ".join(process.cmdline())
    ]
    slurm.cancel([number])

    assert workers
    for command in workers:
        assert any(word.startswith("tls://") for word in command)
        assert "--tls-key" in command
        assert command[command.index("--dashboard-address") + 1].startswith("127.0.0.1")


def test_a_killed_worker_costs_nothing(run, reference):
    """SIGKILL of a worker in the middle: its nanny starts another, the job completes."""
    number = submit(run, "--stages=tabulate,simulate")[-1]
    until(lambda: marks(run) > 0)
    victims = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "spawn_main" in " ".join(process.info["cmdline"] or [])
        and str(run) in " ".join(process.parent().cmdline() if process.parent() else [])
    ]
    if victims:
        victims[0].kill()
    ended = wait(number)

    assert ended == {"COMPLETED"}
    assert equal(run, reference)


def test_a_cancelled_task_is_made_up_for(run, reference):
    """scancel of a task before it starts: the others are done, and the next run adds its shards."""
    shutil.copytree(reference / "ssp.zarr", run / "ssp.zarr")
    array, last = submit(run, "--stages=simulate", "cluster=array")
    slurm.cancel([f"{array}_2"])
    ended = wait(array)
    # SLURM forgets a task that never ran unless there is accounting.
    until(lambda: not any(state.active for state in slurm.jobs([last]).values()))

    assert ended <= {"COMPLETED", "CANCELLED"}
    assert 0 < marks(run) < 30
    done = job("simulate", run, "cluster=serial")
    assert done.returncode == 0, done.stderr
    assert equal(run, reference)


def test_training_goes_on_in_the_next_job(run, reference):
    """SIGUSR1, as before a time limit, twice: requeued twice, the weights equal to the bit."""
    for name in ("ssp.zarr", "training.zarr"):
        shutil.copytree(reference / name, run / name)
    (number,) = submit(run, "--stages=train")
    log = run / "logs" / f"train-{number}.log"
    for stops in (1, 2):
        until(lambda stops=stops: hurried(number) and at_work(log, stops - 1))
        time.sleep(0.5)
        subprocess.run(["scancel", "--signal=USR1", "--batch", number], check=True)
        until(lambda stops=stops: log.read_text().count("stopped at step") == stops)
    ended = wait(number)

    assert ended == {"COMPLETED"}
    assert log.read_text().count("goes on from step") == 2
    assert equal(run, reference, "flows")


def test_requeues_are_bounded(run, reference):
    """A job that has used them up fails, and says what to do."""
    for name in ("ssp.zarr", "training.zarr"):
        shutil.copytree(reference / name, run / name)
    (number,) = submit(run, "--stages=train", "site.requeues=0", "train.steps=100000")
    log = run / "logs" / f"train-{number}.log"
    until(lambda: log.exists() and "steps, " in log.read_text())
    subprocess.run(["scancel", "--signal=USR1", "--batch", number], check=True)

    assert wait(number) == {"FAILED"}
    assert "raise site.time or site.requeues" in log.read_text()


def test_a_second_driver_is_told_of_the_job(run):
    """A store that a job works on is refused with the job's number; nothing is harmed."""
    number = submit(run, "--stages=tabulate,simulate", "simulate.n=600000")[-1]
    until(lambda: marks(run) > 0)
    subprocess.run(["scontrol", "suspend", number], check=True)  # it would soon be done
    second = job("simulate", run, "cluster=serial", "simulate.n=600000")
    slurm.cancel([number])

    assert second.returncode == 2, second.stdout
    assert "is held by process" in second.stderr and f"job {number}" in second.stderr


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["site.partition=nowhere"], ["partition", "nowhere", "conf/site"]),
        (["cluster=array", "site.tasks=5000"], ["site.tasks=5000", "1000"]),
        (["+site.acount=x"], ["site.acount", "Did you mean account?"]),
        (["cluster=local"], ["cluster=allocation"]),
        (["--stages=simulat"], ["simulat", "tabulate"]),
        (["prior.columns.tage.high=40"], ["tage", "40"]),
        (["site.umask=rwx"], ["umask", "077"]),
    ],
)
def test_wrong_submissions_leave_nothing_in_the_queue(run, overrides, words):
    """What can be known before is known before: named, with a mend, and no job waits in vain."""
    before = set(slurm.waiting_jobs("run-simulate")) | set(slurm.waiting_jobs("run-tabulate"))
    done = job("pipeline.sh", run, "site=lab", *overrides)
    after = set(slurm.waiting_jobs("run-simulate")) | set(slurm.waiting_jobs("run-tabulate"))

    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert after == before
    assert not (run / "slurm" / "jobs.jsonl").exists()


def test_a_dry_run_submits_and_writes_nothing(run):
    """It prints every command with its options and dependencies."""
    done = job("pipeline.sh", run, "site=lab", "--dry-run", "cluster=array")

    assert done.returncode == 0, done.stderr
    assert "--array=0-3" in done.stdout and "--dependency=afterok:<simulate>" in done.stdout
    assert done.stdout.count("slurm/stage.sbatch") + done.stdout.count("slurm/array.sbatch") == 10
    assert not run.exists()


def test_without_slurm_the_error_says_where_to_find_one(tmp_path):
    """No sbatch on the path: the virtual SLURM and cluster=local are named."""
    environment = os.environ | {"PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(
        [sys.executable, "jobs/submit.py", "x", f"run={tmp_path / 'x'}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "sbatch is not on the path" in done.stderr
    assert "slurm/lab.sh start" in done.stderr and "cluster=local" in done.stderr


def test_an_allocation_outside_a_job_is_refused(tmp_path):
    """cluster=allocation in a shell names the script to submit."""
    environment = {key: value for key, value in os.environ.items() if "SLURM" not in key}
    done = subprocess.run(
        [sys.executable, "jobs/simulate.py", f"run={tmp_path}", *SMALL, "cluster=allocation"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "slurm/stage.sbatch" in done.stderr


def test_sites_are_what_they_say():
    """Every file of conf/site makes a site; its options reach sbatch without the unset ones."""
    site = make_site({"partition": "cpu", "options": {"gres": "x:1"}, "time": "00:10:00"})

    assert site.sbatch_options(ntasks=3) == {
        "partition": "cpu", "time": "00:10:00", "gres": "x:1", "ntasks": "3",
    }  # fmt: skip
    assert site.mask == 0o077
    with pytest.raises(ValueError, match="at least one"):
        make_site({"tasks": 0})


def test_signals_reach_the_work_in_one_process(tmp_path):
    """SIGUSR1 to a stage outside SLURM: it stops between two shards, with the status for more."""
    run = tmp_path / "run"
    environment = {key: value for key, value in os.environ.items() if key != "SPS_HOME"}
    process = subprocess.Popen(
        [sys.executable, "jobs/simulate.py", f"run={run}", "cluster=serial", "simulate.n=100000",
         "simulate.shard=100"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until(lambda: marks(run) > 0)
    process.send_signal(signal.SIGUSR1)
    out = process.communicate(timeout=PATIENCE)[0]

    assert process.returncode == 75
    assert "the next job goes on from here" in out
    assert 0 < marks(run) < 1000
