"""Rows of the kill table about contracts: what is lost, and what is done twice, when clocks step,
marks come late, parts meet, a submission is broken off, SLURM is silent, a colleague is at work.

What the machine cannot do is simulated: clocks and network file systems by a `sitecustomize` on the
path of the process, SLURM's silence and a colleague by programs that stand before SLURM's own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsbi.files import read_notes
from hpcsbi.store import open_store

if TYPE_CHECKING:
    from kill_matrix import Case

LAG = 5.0
PARTS = 4
# A clock that was set an hour ahead, and /proc/stat's time of boot with it.
STEPPED = """
import time
real = time.time
time.time = lambda: real() + 3600.0
try:
    import psutil._pslinux as linux
    boot = linux.boot_time
    linux.boot_time = lambda *a, **k: boot(*a, **k) + 3600.0
except ImportError:
    pass
"""
# The driver's client shows a file of .marks some seconds after another thread has written it.
LATE = f"""
import os, threading, time
from pathlib import Path
driver, listdir, stat, exists = threading.main_thread(), os.listdir, os.stat, Path.exists
def late(path):
    if threading.current_thread() is not driver or ".marks" not in Path(path).parts:
        return False
    try:
        return time.time() - stat(path).st_mtime < {LAG}
    except OSError:
        return False
def some(path="."):
    return [name for name in listdir(path) if not late(os.path.join(path, name))]
os.listdir = some
Path.exists = lambda path, **k: exists(path, **k) and not late(path)
"""
SQUEUE = """#!/bin/bash
n=$(cat "$0.n" 2>/dev/null || echo 0); echo $((n + 1)) > "$0.n"
if [ -e "$0.silent" ] && [ $n -lt $(cat "$0.silent") ]; then
    echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1
fi
case " $* " in *" --me "*) exit 0;; esac
cat "$0.says" 2>/dev/null
exit 0
"""


def clock_step(case: "Case") -> tuple[str, int, int]:
    """A second driver whose clock is an hour ahead, while the first is at work."""
    first = start(case)
    middle(case, first)
    first.send_signal(signal.SIGSTOP)  # or it may be done before the second one looks
    told = said(start(case, shim(case, STEPPED)))
    first.send_signal(signal.SIGCONT)
    return f"first {ended(first)}, second {told}", *account(case)


def late_marks(case: "Case") -> tuple[str, int, int]:
    """Marks that the driver sees seconds after they were set."""
    only = start(case, shim(case, LATE))
    return f"driver {ended(only)}", *account(case)


def together(case: "Case") -> tuple[str, int, int]:
    """The parts of an array start, and stop, in the same moment."""
    parts = [
        start(case, options=["cluster=array", f"cluster.index={i}", f"cluster.count={PARTS}"])
        for i in range(PARTS)
    ]
    states = [ended(part) for part in parts]
    last = ended(start(case))
    return f"parts {' '.join(states)}, finishing {last}", *account(case)


def interrupted(case: "Case") -> tuple[str, int, int]:
    """Ctrl-C after the first job of a chain of three was taken."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        return "needs SLURM" + case.finish(), *account(case)
    name = f"ctrlc{os.getpid()}"
    command = [
        "slurm/pipeline.sh", name, "--stages=simulate,augment,train", f"run={case.run}",
        "+site.options.begin=now+1hour",
        *(option for option in case.sizes if not option.startswith("cluster=")),
    ]  # fmt: skip
    pipeline = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "HPCSBI_PYTHON": sys.executable}, start_new_session=True,
    )  # fmt: skip
    pipeline.stdout.readline()
    os.killpg(pipeline.pid, signal.SIGINT)
    pipeline.communicate()
    time.sleep(2)
    listed = subprocess.run(
        ["squeue", "-h", "-o", "%A %j"], capture_output=True, text=True, check=True
    ).stdout.split()
    queued = {job for job, job_name in zip(listed[::2], listed[1::2], strict=True)
              if job_name.startswith(f"{name}-")}  # fmt: skip
    noted = {note["job"] for note in read_notes(case.run / "slurm" / "jobs.jsonl", ("job",))[0]}
    if queued:
        subprocess.run(["scancel", *queued], check=False)
    rest = case.finish()
    lost, twice = account(case)
    return f"{len(queued)} queued, {len(noted)} noted{rest}", lost + len(queued - noted), twice


def silent(case: "Case") -> tuple[str, int, int]:
    """SLURM does not answer the first query about the job that holds the store."""
    return asked_of_slurm(case, os.getuid(), "1")


def colleague(case: "Case") -> tuple[str, int, int]:
    """The store is held by a job of another user on another node."""
    return asked_of_slurm(case, os.getuid() + 1, "0")


def asked_of_slurm(case: "Case", user: int, silences: str) -> tuple[str, int, int]:
    """Try while job 77 on another node holds the store, and again when it has ended."""
    whole = start(case)
    middle(case, whole)
    whole.send_signal(signal.SIGKILL)
    whole.wait()
    done = sum(state == "done" for state in open_store(product(case)).states().values())
    bin_folder = case.run.with_name(f"{case.run.name}.bin")
    shutil.rmtree(bin_folder, ignore_errors=True)
    bin_folder.mkdir()
    for name, text in (("squeue", SQUEUE), ("scontrol", "#!/bin/bash\nexit 0\n"),
                       ("sacct", "#!/bin/bash\nexit 1\n")):  # fmt: skip
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    (bin_folder / "squeue.silent").write_text(silences)
    (bin_folder / "squeue.says").write_text("77|RUNNING|None\n")
    lock = product(case) / ".lock" / "whole.json"
    lock.write_text(json.dumps({
        "host": "n7", "machine": "m", "boot": "b", "space": "s", "pid": 7, "started": 7,
        "user": user, "job": "77", "restarts": 0, "command": f"{case.stage}.py",
        "since": "yesterday", "token": "t",
    }))  # fmt: skip
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    second = said(start(case, environment))
    (bin_folder / "squeue.says").write_text("77|COMPLETED|None\n")
    third = ended(start(case, environment))
    lost, twice = account(case)
    # The killed driver noted nothing of what it had made.
    return f"held: {second}; job ended: {third}", lost, max(0, twice + done)


def start(
    case: "Case", environment: dict | None = None, options: list[str] | None = None
) -> subprocess.Popen:
    """The stage in a process of its own."""
    return subprocess.Popen(
        [sys.executable, f"jobs/{case.stage}.py", f"run={case.run}", *case.sizes, *(options or [])],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


def shim(case: "Case", text: str) -> dict:
    """Environment of a process that begins with some code."""
    folder = case.run.with_name(f"{case.run.name}.shim")
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def middle(case: "Case", process: subprocess.Popen) -> None:
    """Wait until some shards are made."""
    while process.poll() is None and not case.progress():
        time.sleep(0.02)


def ended(process: subprocess.Popen) -> str:
    """How a process ended."""
    error = process.communicate()[1]
    lines = [line for line in error.splitlines() if line.startswith("error:")]
    return "ok" if process.returncode in (0, 1) else f"{process.returncode} {lines or error[-200:]}"


def said(process: subprocess.Popen) -> str:
    """Whether a process was refused by the lock."""
    error = process.communicate()[1]
    return "refused" if "is held by" in error else f"WAS NOT REFUSED ({process.returncode})"


def product(case: "Case") -> Path:
    """The store of the case."""
    from kill_matrix import PRODUCT

    return case.run / PRODUCT[case.stage]


def account(case: "Case") -> tuple[int, int]:
    """Shards that are not there, and how many were made more than once."""
    states = open_store(product(case)).states(verify=True)
    notes = read_notes(case.run / "rates.jsonl", ("stage", "shards"))[0]
    made = sum(note["shards"] for note in notes if note["stage"] == case.stage)
    return sum(state != "done" for state in states.values()), made - len(states)


ROOT = Path(__file__).resolve().parents[1]
CONTRACTS: dict[str, Callable[["Case"], tuple[str, int, int]]] = {
    "clock step": clock_step,
    "late marks": late_marks,
    "together": together,
    "interrupted": interrupted,
    "silent SLURM": silent,
    "colleague": colleague,
}
