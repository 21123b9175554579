"""SLURM's programs, called so that nothing but the question decides what they answer.

The variables by which a user or an enclosing job changes what they print, ask for and export are
taken away, none is waited for without end, and a question that fails once is asked again.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from subprocess import PIPE

from hpcsbi.errors import Unfinished

__all__ = [
    "FLEETING",
    "PATIENCE",
    "WAITS",
    "SlurmError",
    "answer",
    "away",
    "call",
    "clean_environment",
    "reason",
]

PATIENCE = 30.0  # seconds for an answer
WAITS = (0.5, 3.0)  # seconds before a question is asked again
SLICE = 0.2  # seconds between two looks at whether to hurry
KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")  # how to find and speak to the controller
OURS = ("HPCSBI_", "HYDRA_")  # what an enclosing job was told is not for the next
THEIRS = ("SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SALLOC_", "SRUN_",
          "SINFO_")  # fmt: skip
# In what SLURM says when it could not be asked: whether it has done what it was told is open.
FLEETING = ("timed out", "unable to contact", "connection", "socket", "send/recv", "communicat",
            "zero bytes", "temporarily", "no answer", "try again")  # fmt: skip
# In what SLURM says where its controller, or where that is, cannot be found.
AWAY = ("unable to contact", "dns_srv", "configuration source", "process configuration file")
ASK_LATER = (
    "SLURM's controller does not answer here: log in to a node of the cluster, or try again when "
    'it answers; that of this machine (site=lab) is started by slurm/lab.sh start; eval "$('
    'slurm/lab.sh env)".'
)
GET_ONE = (
    "log in to a SLURM cluster, or try one on this machine with "
    'slurm/lab.sh start && eval "$(slurm/lab.sh env)", or run here with cluster=local.'
)


class SlurmError(Unfinished):
    """SLURM is not there, refused or did not answer; says what it printed.

    Arguments:
        problem: what happened.
        mend: what to do about it, "" where that is not known.
    """

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(f"{problem}: {mend}" if mend else problem)
        self.problem, self.mend = problem, mend


def clean_environment(**more: str) -> dict[str, str]:
    """Environment of this process without what changes SLURM's answers, in English."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(THEIRS + OURS)
    }
    return kept | more


def answer(command: Sequence[str], **environment: str) -> str:
    """What a question to SLURM printed.

    Arguments:
        command: program and arguments; asking it twice must do no harm.
        environment: variables it gets beside the clean ones.

    Raises:
        SlurmError: it is not known, because SLURM is not there or does not answer.
    """
    for wait in (*WAITS, None):
        done = call(command, clean_environment(LC_ALL="C", **environment), PATIENCE)
        if not done.returncode:
            return done.stdout
        slow = done.returncode == -signal.SIGKILL
        if wait is None or slow:
            break
        time.sleep(wait)
    said = reason(done.stderr)
    raise SlurmError(
        f"what SLURM knows is not known now: {command[0]}: {said}; nothing is taken for ended or "
        "not there because of that",
        away(said) or "try again when it answers.",
    )


def call(
    command: Sequence[str],
    environment: Mapping[str, str],
    patience: float,
    hurry: Callable[[], bool] = lambda: False,
) -> subprocess.CompletedProcess:
    """Run a program in a session of its own, so that Ctrl-C ends us and not it half-way.

    Arguments:
        command, environment: of the program.
        patience: seconds after which it is killed, with all that it started; its status is -9.
        hurry: when it becomes true, a tenth of the patience is left.

    Raises:
        SlurmError: there is no such program.
    """
    if shutil.which(command[0]) is None:
        raise SlurmError(f"{command[0]} is not on the path", GET_ONE)
    end, hurried = time.monotonic() + patience, False
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE,
        encoding="utf-8", errors="surrogateescape", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            while time.monotonic() <= end:
                with suppress(subprocess.TimeoutExpired):
                    out, err = process.communicate(timeout=SLICE)
                    return subprocess.CompletedProcess(command, process.returncode, out, err)
                if not hurried and hurry():
                    end, hurried = min(end, time.monotonic() + patience / 10), True
        finally:  # too late, or something stopped us
            if process.returncode is None:
                _kill(process)
    err = f"no answer within {patience:.0f} s"
    return subprocess.CompletedProcess(command, -signal.SIGKILL, "", err)


def away(said: str) -> str:
    """What to do where SLURM is not reached, by what it says; "" where it is."""
    return ASK_LATER if any(word in said.lower() for word in AWAY) else ""


def _kill(process: subprocess.Popen) -> None:
    """End a program and its children: a wrapper's child would keep our pipe open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def reason(text: str) -> str:
    """All that a program said on its standard error, in one line, without its own name."""
    said = []
    for line in text.encode(errors="replace").decode().splitlines():
        words = line.strip()
        for start in ("sbatch: ", "squeue: ", "scancel: ", "sacct: ", "scontrol: ", "error: "):
            words = words.removeprefix(start)
        if words and words not in said:
            said.append(words)
    return "; ".join(said) or "it gave no reason"
