from pathlib import Path

import pytest

from hpcsbi.cluster import sbatch, slurm_commands
from hpcsbi.health.check import OK, WARNING, WRONG
from hpcsbi.health.slurm_service import answers, jobs, not_needed, programs

SCRIPT, OPTIONS = Path("stage.sbatch"), {"train": {"account": "m1234", "output": "logs/%j.log"}}
CONFIGURATION = 'echo "ClusterName = lab"'


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Between two questions."""
    for module in (sbatch, slurm_commands):
        monkeypatch.setattr(module, "WAITS", ())


@pytest.fixture
def there(programs):
    """A SLURM that answers."""
    programs("sbatch", "exit 0")
    programs("squeue", '[[ $1 == --version ]] && echo slurm 22.05.8 || printf "41\\n42\\n"')
    programs("scontrol", CONFIGURATION)
    programs("sacct", "true")
    return programs


def test_a_slurm_that_answers(there):
    """Version, cluster and jobs are told; nothing is wrong."""
    checks = programs()

    assert [check.state for check in checks] == [OK, OK] and answers(checks)
    assert checks[0].words == "slurm 22.05.8, cluster lab; 2 jobs of yours"


def test_without_slurm_only_a_run_that_needs_it_is_wrong(monkeypatch):
    """The mend names the lab and cluster=local."""
    monkeypatch.setenv("PATH", "/nowhere")

    (check,), other = programs(), not_needed()

    assert check.state == WRONG and "slurm/lab.sh" in check.mend and not answers([check])
    assert check.words == "squeue is not on the path"
    assert other.state == OK and "is not here, and not asked" in other.words


def test_a_controller_that_does_not_answer_is_asked_once(there):
    """In its own words; without accounting only how old jobs ended is not known."""
    there("sacct", "exit 1")
    assert [check.state for check in programs()] == [OK, WARNING]
    there("squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1")
    (check,) = programs()
    assert check.state == WRONG and "Unable to contact" in check.words and check.mend


@pytest.mark.parametrize(
    ("behaviour", "state", "says"),
    [
        ("exit 0", OK, "--account=m1234"),
        ("echo 'sbatch: error: Invalid account' >&2; exit 1", WRONG, "Invalid account"),
        ("echo 'sbatch: error: nodes are busy' >&2; exit 1", WARNING, "nodes are busy"),
    ],
)
def test_a_job_is_shown_and_not_submitted(there, tmp_path, behaviour, state, says):
    """Partition and account are SLURM's to judge; `--test-only` is all that it is asked."""
    there("sbatch", f'echo "$@" >>{tmp_path}/asked; {behaviour}')

    (check,) = jobs(SCRIPT, OPTIONS)

    assert check.state == state and says in check.words and bool(check.mend) == (state != OK)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked and all(line.startswith("--test-only") for line in asked)
