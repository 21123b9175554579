"""What waits in the queue and reads a stage that is submitted again runs after it, not before."""

import re

import pytest
from fake_slurm import Slurm, submitted

from hpcsbi.launch.waiting_readers import waiting_readers
from hpcsbi.pipeline import OF_A_RUN, waits

STAGES = ("tabulate", "simulate", "augment", "train", "calibrate", "report")
OVERRIDES = ("experiment=demo", "beside=null", "cluster=allocation")
ASKED = 'echo "$*" >>"$FAKE/asked"\n'


def failed(fake: Slurm, number: str) -> None:
    queue = fake.folder / "queue"
    queue.write_text(queue.read_text().replace(f"{number}|PENDING", f"{number}|FAILED"))


@pytest.fixture
def waiting(tmp_path):
    """A run of which the calibration failed while its report still waits, as do others."""
    fake = Slurm(tmp_path / "slurm")
    first = submitted(fake, tmp_path / "run", *OVERRIDES, f"--stages={','.join(STAGES)}")
    assert first.returncode == 0, first.stderr
    failed(fake, "105")
    return fake, tmp_path / "run"


def told(fake: Slurm, text: str) -> None:
    """Let scontrol do something when a job is to be changed."""
    path = fake.folder / "bin" / "scontrol"
    path.write_text(f'#!/bin/bash\nif [ "$1" = update ]; then\n{text}fi\n')


def calibrated_again(fake, run, *more):
    return submitted(fake, run, *OVERRIDES, "--stages=calibrate", *more)


def test_a_report_waits_for_the_calibration_that_is_submitted_again(waiting):
    """It would run as soon as what it waited for has failed; now it waits for the new job too."""
    fake, run = waiting
    told(fake, ASKED)

    done = calibrated_again(fake, run)

    assert done.returncode == 0, done.stderr
    (asked,) = (fake.folder / "asked").read_text().splitlines()
    assert asked == "update JobId=106 Dependency=afterok:102:103:104,afterany:107"
    assert re.search("report +job 106 waits now for .*afterany:107", done.stdout)
    assert list(fake.waiting()) == ["101", "102", "103", "104", "106", "107"]


def test_a_dry_run_changes_no_job(waiting):
    """It prints the command that would."""
    fake, run = waiting
    told(fake, ASKED)

    done = calibrated_again(fake, run, "--dry-run")

    assert not (fake.folder / "asked").exists()
    assert "scontrol update JobId=106" in done.stdout and "afterany:<calibrate>" in done.stdout


def test_one_that_runs_already_is_told(waiting):
    """The submission stands, and the user hears what to do after it."""
    fake, run = waiting
    told(fake, "echo 'Job is no longer pending execution for job 106' >&2; exit 1\n")

    done = calibrated_again(fake, run)

    assert done.returncode == 0 and "107" in fake.waiting()
    assert "report job 106" in done.stderr and "no longer pending" in done.stderr
    assert f"python jobs/retry.py run run={run}" in done.stderr


def job(stage, active=1, kind="job"):
    return {"stage": stage, "active": active, "kind": kind, "job": stage}


def test_only_what_reads_it_and_has_not_ended():
    """Neither what it reads itself, nor jobs that have ended, nor what follows an array."""
    known = [job(stage) for stage in OF_A_RUN] + [job("report", 0), job("infer", 1, "finish")]
    readers = {entry["stage"] for entry in waiting_readers(known, ["train"])}

    assert readers == {stage for stage in OF_A_RUN if "train" in waits(stage)}
    assert waiting_readers(known, OF_A_RUN) == []
    array = [job("infer", 1, "array"), job("infer", 1, "finish")]
    assert [entry["kind"] for entry in waiting_readers(array, ["ingest"])] == ["array"]
    assert [entry["kind"] for entry in waiting_readers(array[1:], ["ingest"])] == ["finish"]
