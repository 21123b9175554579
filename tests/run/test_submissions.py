"""Jobs of a run as they were noted, and what SLURM says of them."""

import json

import pytest

from hpcsbi.cluster.slurm import SlurmError
from hpcsbi.run.submissions import (
    ask,
    jobs_without_states,
    queued_jobs,
    submitted_jobs,
    unnoted_jobs,
)
from hpcsbi.store.files import Damaged


def noted(run, *jobs):
    """Note jobs as a submission does."""
    (run / "slurm").mkdir(parents=True, exist_ok=True)
    lines = [
        {"log": f"{run}/logs/{job['stage']}-%j.log", "config": "1/c.yaml"} | job for job in jobs
    ]
    (run / "slurm" / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def started(run, number, text):
    """The folder of a job whose number was not noted, and what its file says."""
    folder = run / "slurm" / number / "train"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(text)
    return folder


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def test_a_run_that_was_never_submitted_has_no_jobs(run, programs):
    """SLURM is not even asked for them."""
    programs("squeue", "exit 1")

    assert submitted_jobs(run) == unnoted_jobs(run) == jobs_without_states(run) == []


def test_states_failures_and_waits_of_each_job(run, programs):
    """An array's tasks are counted, a failure has the last line of its log, a wait its mend."""
    noted(
        run,
        {"job": "7", "stage": "simulate", "parts": 3, "array": "0-2", "log": f"{run}/s-%A_%a.log"},
        {"job": "8", "stage": "augment"},
        {"job": "9", "stage": "train"},
    )
    (run / "s-7_1.log").write_text("began\nouch\n")
    programs(
        "squeue", "echo '7_0|COMPLETED|None'; echo '7_1|TIMEOUT|None'; echo '8|PENDING|Priority'"
    )

    array, waiting, forgotten = ask(run)

    assert array["states"] == {"COMPLETED": 1, "TIMEOUT": 1, "unknown": 1}
    assert (array["kind"], array["active"]) == ("array", 0)
    (failure,) = array["failures"]
    assert (failure["job"], failure["line"]) == ("7_1", "ouch")
    assert failure["why"] == "the limit site.time was reached"
    assert waiting["waits"] == [
        {"reason": "Priority", "jobs": 1, "mend": "waits behind other jobs, nothing to do"}
    ]
    assert forgotten["state"] == "unknown" and not forgotten["failures"]


def test_the_newest_submission_of_a_stage_comes_first(run):
    """Also without SLURM, where no state is known."""
    noted(
        run,
        {"job": "1", "stage": "train", "config": "1/config.yaml"},
        {"job": "2", "stage": "infer", "config": "1/config.yaml"},
        {"job": "3", "stage": "train", "config": "2/finish.yaml"},
    )

    jobs = jobs_without_states(run)

    assert [(job["job"], job["newest"]) for job in jobs] == [("2", True), ("3", True), ("1", False)]
    assert {job["state"] for job in jobs} == {"unknown"} and not any(job["active"] for job in jobs)
    assert [job["kind"] for job in jobs] == ["job", "finish", "job"]


def test_queued_jobs_are_the_last_that_wait_or_run():
    """Of the newest submission where there are several; ended ones do not count."""
    jobs = [
        {"stage": "train", "job": "3", "active": 1, "newest": True},
        {"stage": "infer", "job": "4", "active": 0, "newest": True},
        {"stage": "train", "job": "1", "active": 1, "newest": False},
    ]

    assert queued_jobs(jobs) == {"train": "3"}


def test_a_job_without_a_number_is_found_by_its_folder(run, programs):
    """One whose submission was killed; what was noted, or starts elsewhere, is left out."""
    lost = started(run, "0001", '{"stage": "train"}')
    known = started(run, "0002", '{"stage": "train"}')
    noted(run, {"job": "8", "stage": "train", "start": str(known)})
    programs("squeue", f"echo '7|{lost}'; echo '8|{known}'; echo '9|/elsewhere'")

    assert unnoted_jobs(run) == [{"stage": "train", "job": "7"}]

    (lost / "job.json").write_text('{"stage": "tr')
    with pytest.raises(Damaged, match=r"job\.json is damaged"):
        unnoted_jobs(run)
    programs("squeue", "exit 1")
    with pytest.raises(SlurmError, match="not known now"):
        unnoted_jobs(run)
