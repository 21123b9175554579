"""A submission is whole or not there, whatever sbatch, the user or the site does meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from fake_slurm import GOOD, ROOT, STAGES, Slurm, submitted

from hpcsbi.cluster import slurm
from hpcsbi.run import submissions
from hpcsbi.stages.status import status


@pytest.fixture
def fake(tmp_path) -> Slurm:
    return Slurm(tmp_path / "slurm")


def started(fake: Slurm, run: Path) -> subprocess.Popen:
    """pipeline.sh at work on a few stages."""
    command = [
        str(ROOT / "slurm" / "pipeline.sh"),
        "n",
        f"run={run}",
        "--stages=" + ",".join(STAGES),
    ]
    return subprocess.Popen(
        command, env=fake.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heard,
    )  # fmt: skip


def heard() -> None:
    """As in a terminal, where the tests may be in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def noted(run: Path) -> list[dict]:
    path = run / "slurm" / "jobs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def known(fake: Slurm, run: Path) -> bool:
    """True if what waits and what is noted are the same jobs."""
    return set(fake.waiting()) == {line["job"] for line in noted(run)}


def nothing_is_left(fake: Slurm, run: Path) -> bool:
    """No job, no note, and no configuration that a retry would take for the newest."""
    return not fake.waiting() and not noted(run) and not list(run.glob("slurm/0*"))


BANNER = 'echo "--- Welcome to site 5 ---"; echo 2024 maintenance; take; echo "$number;cluster"'
LOST = """take; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1"""
SECOND = '[ "$number" = 102 ] && {{ {0}; }}; ' + GOOD


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [BANNER, "take; echo Welcome", "take; sleep 3; echo $number"])
def test_a_number_is_found_whatever_sbatch_prints(fake, tmp_path, behaviour):
    """A site's wrapper talks before, or in place of, the number: the jobs are the right ones."""
    fake.behaves(behaviour)
    done = submitted(fake, tmp_path / "run")

    assert done.returncode == 0, done.stderr
    assert list(fake.waiting().values()) == [f"n-{stage}" for stage in STAGES]
    assert known(fake, tmp_path / "run")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (LOST, ["Socket timed out", "102", "cancelled"]),
        ('echo "sbatch: see the docs" >&2; echo "sbatch: error: no account" >&2; exit 1',
         ["see the docs", "no account"]),
        ("exit 1", ["no reason"]),
        ("exit 0", ["sbatch"]),
    ],
)  # fmt: skip
def test_a_refusal_in_the_middle_leaves_nothing(fake, tmp_path, behaviour, words):
    """The second of three is refused, or taken though sbatch says no: none waits, all is told."""
    fake.behaves(SECOND.format(behaviour))
    done = submitted(fake, tmp_path / "run")

    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_is_left(fake, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_nothing(fake, tmp_path, number):
    """While sbatch works on the second: its job is taken, so it is cancelled with the first."""
    fake.behaves(SECOND.format("touch $FAKE/at-it; sleep 1"))
    process = started(fake, tmp_path / "run")
    while not (fake.folder / "at-it").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    error = process.communicate(timeout=300)[1]

    assert process.returncode == 2
    assert signal.Signals(number).name in error and "Traceback" not in error
    assert (fake.folder / "queue").read_text().count("CANCELLED") == 2
    assert nothing_is_left(fake, tmp_path / "run")


@pytest.mark.slow
def test_a_reader_who_leaves_ends_nothing(fake, tmp_path):
    """As with `slurm/pipeline.sh n | head -1`: all jobs are submitted and noted."""
    process = started(fake, tmp_path / "run")
    process.stdout.close()
    process.wait(timeout=300)

    assert len(fake.waiting()) == len(STAGES)
    assert known(fake, tmp_path / "run")


@pytest.mark.slow
def test_a_killed_submission_is_found_again(fake, tmp_path):
    """SIGKILL between a job and its number: it is told, and no second one comes."""
    fake.behaves(SECOND.format("take; touch $FAKE/at-it; sleep 60"))
    run = tmp_path / "run"
    process = started(fake, run)
    while not (fake.folder / "at-it").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert len(noted(run)) == 1 and len(fake.waiting()) == 2

    with mock.patch.dict(os.environ, fake.environment()):
        told = {job["job"]: job["state"] for job in submissions.ask(run)}
    fake.behaves(GOOD)
    again = submitted(fake, run)

    assert told == {"101": "PENDING", "102": "PENDING"}
    assert again.returncode == 2 and "102" in again.stderr
    assert known(fake, run)


def test_a_run_is_not_submitted_twice(fake, tmp_path):
    """Not through another path either; other stages wait for those in the queue."""
    run, link = tmp_path / "run", tmp_path / "link"
    link.symlink_to(run)
    first = submitted(fake, run)
    second = submitted(fake, link)
    third = submitted(fake, link, "--stages=train")

    assert first.returncode == 0, first.stderr
    assert second.returncode == 2
    assert "submitted already" in second.stderr and "scancel 101 102 103" in second.stderr
    assert third.returncode == 0 and "afterok:103" in third.stdout
    assert len(fake.waiting()) == 4


def test_a_run_of_another_cluster_is_not_taken_for_ended(fake, tmp_path, capsys):
    """Two SLURMs on one file system: its numbers are those of other jobs here, and not to see."""
    run = tmp_path / "run"
    cluster = fake.folder / "bin" / "scontrol"
    cluster.write_text("#!/bin/bash\necho 'ClusterName = alpha'\n")
    assert submitted(fake, run).returncode == 0
    cluster.write_text("#!/bin/bash\necho 'ClusterName = beta'\n")
    (fake.folder / "queue").write_text("101|COMPLETED|n|/elsewhere\n")  # beta's
    slurm.cluster.cache_clear()
    again = submitted(fake, run)
    with mock.patch.dict(os.environ, fake.environment()):
        status(str(run))
    told = capsys.readouterr().out
    other = submitted(fake, run, "--stages=train", "train.training=/absent")

    assert again.returncode == 2 and "tabulate job 101 of alpha" in again.stderr
    assert "not known here" in again.stderr and not fake.waiting()
    assert told.count("not known here, of alpha") == len(STAGES) and "COMPLETED" not in told
    assert other.returncode == 2 and "/absent" in other.stderr  # no hope in alpha's augment


@pytest.mark.slow
def test_not_known_is_not_not_there(fake, tmp_path):
    """squeue that does not answer ends the command; one that fails once is asked again."""
    run = tmp_path / "run"
    assert submitted(fake, run).returncode == 0
    fake.behaves("exit 1", "squeue-behaviour")
    blind = submitted(fake, run)
    fake.behaves("[ -e $FAKE/asked ] || { touch $FAKE/asked; exit 1; }", "squeue-behaviour")
    seen = submitted(fake, run)

    assert blind.returncode == 2 and "not known" in blind.stderr
    assert seen.returncode == 2 and "submitted already" in seen.stderr
    assert len(fake.waiting()) == len(STAGES)


def test_the_environment_decides_nothing(fake, tmp_path):
    """What an enclosing job or a user sets is not handed on; a file says what the job runs."""
    foreign = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SBATCH_EXPORT": "NONE",
               "SQUEUE_PARTITION": "x", "HPCSBI_CONFIG": "/other", "HYDRA_FULL_ERROR": "1",
               "SPS_HOME": str(tmp_path)}  # fmt: skip
    done = submitted(fake, tmp_path / "run", "tabulate.demo=true", **foreign)
    assert done.returncode == 0, done.stderr

    exported = (fake.folder / "environment").read_text()
    settings = (tmp_path / "run/slurm/0001/augment/job.sh").read_text()

    assert not any(f"\n{name}=" in f"\n{exported}" for name in foreign if name != "SPS_HOME")
    assert f"HPCSBI_CONFIG={tmp_path}/run/slurm/0001/config.yaml" in settings
    assert f"SPS_HOME={tmp_path}" in settings


def script(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    """slurm/stage.sbatch as SLURM runs it, with a stage that prints what it is given."""
    (tmp_path / "jobs").mkdir(exist_ok=True)
    (tmp_path / "jobs" / "show.py").write_text(
        "import os, sys; print(sys.argv[1:], os.environ.get('SEEN'))"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "HPCSBI"))}
    return subprocess.run(
        ["bash", str(ROOT / "slurm" / "stage.sbatch"), "show", *arguments],
        env=clean | {"SLURM_SUBMIT_DIR": str(tmp_path), "HPCSBI_PYTHON": sys.executable} | more,
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip


def settings_file(tmp_path: Path, **settings: str) -> Path:
    path = tmp_path / "job.sh"
    found = {"HPCSBI_ROOT": tmp_path, "HPCSBI_PYTHON": sys.executable} | settings
    path.write_text("".join(f"{name}='{value}'\n" for name, value in found.items()))
    return path


def test_a_job_runs_what_was_submitted_or_nothing(tmp_path):
    """Its file wins over the environment; without file or configuration it refuses."""
    (tmp_path / "one.yaml").touch()
    (tmp_path / "other.yaml").touch()
    path = settings_file(tmp_path, HPCSBI_CONFIG=tmp_path / "one.yaml")
    done = script(tmp_path, "--job", str(path), HPCSBI_CONFIG=str(tmp_path / "other.yaml"))
    lost = script(tmp_path, "--job", str(tmp_path / "absent.sh"))
    (tmp_path / "one.yaml").unlink()
    gone = script(tmp_path, "--job", str(path))
    by_hand = script(tmp_path, "name=x")

    assert done.returncode == 0 and "'one.yaml'" in done.stdout and "other" not in done.stdout
    assert lost.returncode == gone.returncode == 2
    assert "submit it again" in lost.stderr and "submit it again" in gone.stderr
    assert not lost.stdout and not gone.stdout
    assert "['cluster=allocation', 'name=x']" in by_hand.stdout


def test_setup_runs_as_in_a_login_shell(tmp_path):
    """Unset variables, failing lines, `set -eu` left on and positional arguments do no harm."""
    (tmp_path / "one.yaml").touch()
    lines = ['export SEEN="$#$UNSET_VARIABLE"', "false", "set -eu"]
    path = settings_file(
        tmp_path, HPCSBI_CONFIG=tmp_path / "one.yaml", HPCSBI_SETUP="\n".join(lines)
    )
    done = script(tmp_path, "--job", str(path), "a=1")

    assert done.returncode == 0, done.stderr
    assert "'a=1'] 0" in done.stdout
