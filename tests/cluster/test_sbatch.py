"""A job is submitted and its number known, or it is not in the queue."""

from pathlib import Path

import pytest

from hpcsbi.cluster import sbatch
from hpcsbi.cluster.slurm import SlurmError
from hpcsbi.cluster.slurm_commands import answer

OPTIONS = {"partition": "main", "exclusive": ""}
LATE = "sbatch: error: Socket timed out on send/recv operation"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Between two looks, and between two questions."""
    monkeypatch.setattr(sbatch, "LOOKS", (0.0, 0.01))
    monkeypatch.setattr(sbatch, "WAITS", (0.01, 0.01))


def submit(folder: Path) -> str:
    return sbatch.submit(Path("stage.sbatch"), ["train"], OPTIONS, folder)


def would_submit() -> str:
    return sbatch.would_submit(Path("stage.sbatch"), ["train"], OPTIONS)


def test_options_are_as_sbatch_reads_them():
    """With a value, or bare."""
    assert sbatch.flags(OPTIONS) == ["--partition=main", "--exclusive"]


def test_a_number_is_that_of_the_job(programs, tmp_path):
    """Whatever a site's wrapper says beside it; the job starts in its folder."""
    programs("sbatch", f"echo Welcome to 2024; echo \"$@\" >{tmp_path}/asked; echo '41;cluster'")

    assert submit(tmp_path) == "41"
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["--parsable", f"--chdir={tmp_path}", "--partition=main", "--exclusive",
                     "stage.sbatch", "train"]  # fmt: skip


def test_a_job_whose_number_is_lost_is_found_by_its_folder(programs, tmp_path):
    """One that starts elsewhere is another's."""
    programs("sbatch", "echo submitted")
    programs("squeue", f'echo "40|/elsewhere"; echo "41|{tmp_path}"')

    assert submit(tmp_path) == "41"


def test_a_refusal_names_what_was_asked(programs, tmp_path):
    """With sbatch's own reason, and where the options come from."""
    programs("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    programs("squeue", "true")

    with pytest.raises(SlurmError, match="refused: Invalid account") as caught:
        submit(tmp_path)
    assert "--partition=main --exclusive" in str(caught.value) and "conf/site" in str(caught.value)


def test_a_job_that_was_taken_though_refused_is_cancelled(programs, tmp_path):
    """Its number is told; a queue that cannot be asked is told as not known."""
    programs("sbatch", f"echo '{LATE}' >&2; exit 1")
    programs("scancel", f"echo $* >{tmp_path}/cancelled")
    programs("squeue", f'[ -e {tmp_path}/cancelled ] || echo "41|{tmp_path}"')
    with pytest.raises(SlurmError, match="job 41, which it took all the same, is cancelled"):
        submit(tmp_path)
    assert (tmp_path / "cancelled").read_text().split() == ["41"]

    programs("squeue", "exit 1")
    with pytest.raises(SlurmError, match=r"is not known.*scancel what starts in"):
        submit(tmp_path)


def test_what_would_only_wait_is_no_refusal(programs):
    """A maintenance is told; a wrong account is refused; a good job has nothing to tell."""
    programs("sbatch", "[[ $1 == --test-only ]]")
    assert would_submit() == ""

    programs("sbatch", "echo 'sbatch: error: Nodes required for job are DOWN' >&2; exit 1")
    assert "DOWN" in would_submit()

    programs("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    with pytest.raises(SlurmError, match="Invalid account"):
        would_submit()


@pytest.mark.parametrize(
    "said",
    [
        "resolve_ctls_from_dns_srv: res_nsearch error: Unknown host",
        "fatal: Could not establish a configuration source",
        "allocation failure: Unable to contact slurm controller (connect failure)",
    ],
)
def test_a_slurm_that_is_not_reached_is_no_fault_of_the_site(programs, tmp_path, said):
    """The mend is to reach it, or to start that of this machine, and not to change options."""
    programs("sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")
    programs("squeue", f"echo 'squeue: error: {said}' >&2; exit 1")

    for ask in (would_submit, lambda: answer(["squeue"])):
        with pytest.raises(SlurmError, match=r"lab\.sh start") as caught:
            ask()
        assert caught.value.mend and "conf/site" not in str(caught.value)
    with pytest.raises(SlurmError, match=r"lab\.sh start"):
        submit(tmp_path)


def test_a_controller_that_is_late_is_asked_again(programs, tmp_path):
    """Once it answers, that counts; what never answers is told."""
    late = f"echo x >>{tmp_path}/asked; echo '{LATE}' >&2; exit 1"
    programs("sbatch", f"[ -e {tmp_path}/asked ] && exit 0; {late}")
    assert would_submit() == ""

    programs("sbatch", late)
    with pytest.raises(SlurmError, match="Socket timed out"):
        would_submit()
    assert (tmp_path / "asked").read_text().count("x") == 4
