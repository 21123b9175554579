"""SLURM's programs are asked with a clean environment, again, and for a bounded time."""

import time

import pytest

from hpcsbi.cluster import slurm
from hpcsbi.cluster.slurm import SlurmError
from hpcsbi.cluster.slurm_commands import answer, call, clean_environment, reason

CLEAN = (
    "for name in ${!SQUEUE_@} ${!SBATCH_@} ${!SLURM_@}; do [ $name = SLURM_CONF ] || exit 9; done"
)


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


def test_an_enclosing_job_is_not_handed_on(monkeypatch):
    """What it was told and who filters go, the way to the controller and the user's own stay."""
    for name in ("SLURM_JOB_ID", "SQUEUE_FORMAT", "HPCSBI_CONFIG", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SLURM_CONF", "/somewhere")
    monkeypatch.setenv("SPS_HOME", "/fsps")

    found = clean_environment(LC_ALL="C")

    assert not any(name.startswith(("SQUEUE_", "HPCSBI_", "HYDRA_")) for name in found)
    assert "SLURM_JOB_ID" not in found and found["SLURM_CONF"] == "/somewhere"
    assert (found["SPS_HOME"], found["LC_ALL"]) == ("/fsps", "C")


def test_a_program_that_is_not_there_says_where_one_is():
    """The mend names the virtual SLURM and the way without."""
    with pytest.raises(SlurmError, match=r"no-such is not on the path.*lab\.sh.*cluster=local"):
        call(["no-such"], {}, 1.0)


@pytest.mark.parametrize(("hurry", "patience"), [(False, 0.3), (True, 3.0)])
def test_a_program_that_hangs_is_ended(programs, hurry, patience):
    """With its children, who hold our pipe; in a hurry after a tenth of the patience."""
    programs("squeue", "echo began; sleep 60 & sleep 60")
    start = time.monotonic()

    done = call(["squeue"], clean_environment(), patience, lambda: hurry)

    assert time.monotonic() - start < 2.5
    assert (done.returncode, done.stdout) == (-9, "") and "no answer within" in done.stderr


def test_an_answer_is_what_was_printed(programs):
    """A program that never answers well is told with what it said."""
    programs("squeue", "echo $ASKED")
    assert answer(["squeue"], ASKED="7") == "7\n"

    programs("squeue", "echo 'squeue: error: no such user' >&2; exit 1")
    with pytest.raises(SlurmError, match="not known now: squeue: no such user"):
        answer(["squeue"])


def test_reasons_are_one_line():
    """Every line once, without the program's name; nothing said is told as such."""
    text = "sbatch: error: no account\nsbatch: error: no account\n\nsbatch: see the docs\n"

    assert reason(text) == "no account; see the docs"
    assert reason(" \n") == "it gave no reason"
