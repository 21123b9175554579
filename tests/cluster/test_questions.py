"""Questions to SLURM: neither the user's settings nor a failure decides what the answer is."""

import json
import os
import time
from pathlib import Path

import pytest

from hpcsbi.cluster import slurm, slurm_commands
from hpcsbi.cluster.slurm import SlurmError
from hpcsbi.run.trainings import _unfinished, trainings

CLEAN = (
    "for name in ${!SQUEUE_@} ${!SBATCH_@} ${!SLURM_@}; do [ $name = SLURM_CONF ] || exit 9; done"
)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Write a program of SLURM's, to be found before any other."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm_commands, "WAITS", (0.05, 0.05))
    monkeypatch.setattr(slurm, "WAITS", (0.05, 0.05))

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    write("sacct", "exit 1")
    write("scontrol", "echo 'PrivateData = none'; echo 'MaxArraySize = 1001'")
    return write


def test_settings_of_the_user_hide_nothing(programs, monkeypatch):
    """Variables that filter or format what squeue prints do not reach it; its place does."""
    programs("squeue", f'{CLEAN}\necho "7|RUNNING|None"; [[ $* == *--me* ]] && exit 1; exit 0')
    for name in ("SQUEUE_PARTITION", "SLURM_TIME_FORMAT", "SBATCH_EXPORT", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SLURM_CONF", "/somewhere")

    assert slurm.jobs(["7"])["7"].active


def test_one_failure_is_asked_again_and_several_are_told(programs, tmp_path):
    """What is not known is never "not there", nor a banner a job."""
    once = f"[ -e {tmp_path}/asked ] || {{ touch {tmp_path}/asked; exit 1; }}"
    programs("squeue", f'{once}\necho "Welcome to 1|2|3"; echo "7|PENDING|Resources"')
    assert slurm.jobs(["7"]) == {"7": slurm.JobState("PENDING", "Resources")}

    programs("squeue", 'echo "slurm_load_jobs error: Unable to contact" >&2; exit 1')
    for question in (
        lambda: slurm.jobs(["7"]),
        lambda: slurm.waiting_jobs("x"),
        lambda: slurm.jobs_below(tmp_path),
    ):
        with pytest.raises(SlurmError, match=r"not known now: squeue: .*Unable to contact"):
            question()


def test_hidden_jobs_of_others_are_not_known(programs):
    """Where SLURM shows everybody their own jobs only, one that is not seen may well run."""
    programs("squeue", 'echo "7|RUNNING|None"')
    assert slurm.jobs(["7", "8"]).keys() == {"7"}

    programs("scontrol", "echo 'PrivateData = accounts,jobs'")
    assert slurm.jobs(["7", "8"], own=True).keys() == {"7"}
    with pytest.raises(SlurmError, match=r"PrivateData.* 8 wait or run is not known"):
        slurm.jobs(["7", "8"])


def test_an_accounting_that_hangs_is_not_waited_for(programs, monkeypatch, capsys):
    """Its children neither; what the queue knows is told."""
    monkeypatch.setattr(slurm, "ACCOUNTING", 0.5)
    programs("squeue", 'echo "7|RUNNING|None"')
    programs("sacct", "sleep 60; echo never")
    start = time.monotonic()

    assert slurm.jobs(["7", "8"]).keys() == {"7"}

    assert time.monotonic() - start < 10
    assert "sacct: no answer" in capsys.readouterr().err


def test_the_end_of_a_job_is_asked_in_utc(programs, monkeypatch):
    """Whatever the zone; a job without a limit has none, and no answer is an error."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    programs("squeue", "TZ=$TZ date -d @1700000000 +%Y-%m-%dT%H:%M:%S")
    assert slurm.end_time() == 1700000000

    programs("squeue", "echo N/A")
    assert slurm.end_time() is None
    programs("squeue", "echo Ystday 10:00")
    with pytest.raises(SlurmError, match="when this job ends is not known"):
        slurm.end_time()


def test_what_cannot_be_cancelled_is_named(programs):
    """scancel that fails is asked again; jobs that are left are told with the mend."""
    programs("scancel", "exit 1")
    programs("squeue", 'echo "7|COMPLETED|None"')
    slurm.cancel(["7"])

    programs("squeue", 'echo "7|PENDING|None"; echo "8_1|RUNNING|None"')
    with pytest.raises(SlurmError, match="scancel 7 8"):
        slurm.cancel(["8", "7"])


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
