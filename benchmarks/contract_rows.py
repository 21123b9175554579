"""Rows of the kill table about contracts: what is lost, and what is done twice, when clocks step,
marks come late, parts meet, a submission is broken off, SLURM is silent, a colleague is at work.

What the machine cannot do is simulated: clocks and network file systems by a `sitecustomize` on the
path of the process, SLURM's silence and a colleague by programs that stand before SLURM's own. Each
row says whether what it is about has happened: one that missed proves nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsbi.store.files import read_notes
from hpcsbi.store.opening import open_store

if TYPE_CHECKING:
    from kill_matrix import Case

LAG = 5.0
PARTS = 4
# Three stages that find in the case's folder what they need.
CHAINS = {"simulate": "simulate,augment,train", "infer": "infer,fit,report"}
MEETING = 120  # seconds that parts wait for each other
# Each notes in a file beside it that what it simulates was met.
NOTING = """
from pathlib import Path
def met(what="met", folder=Path(__file__).parent):
    (folder / what).touch()
"""
# A clock that was set an hour ahead, and /proc/stat's time of boot with it.
STEPPED = """
import time
real = time.time
def ahead():
    met()
    return real() + 3600.0
time.time = ahead
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
driver, listdir, stat, exists = threading.main_thread(), os.listdir, os.stat, Path.exists
def late(path):
    if threading.current_thread() is not driver or ".marks" not in Path(path).parts:
        return False
    try:
        young = time.time() - stat(path).st_mtime < {LAG}
    except OSError:
        return False
    if young and str(path).endswith(".done"):
        met()
    return young
def some(path="."):
    return [name for name in listdir(path) if not late(os.path.join(path, name))]
os.listdir = some
Path.exists = lambda path, **k: exists(path, **k) and not late(path)
"""
# Parts take their locks when all are about to, and give them back when all are.
TOGETHER = f"""
import os, time
link, unlink = os.link, Path.unlink
def meet(point):
    place = Path(__file__).with_name(f"{{point}}.d")
    place.mkdir(exist_ok=True)
    (place / str(os.getpid())).touch()
    end = time.monotonic() + {MEETING}
    while len(os.listdir(place)) < {PARTS}:
        if time.monotonic() > end:
            return
        time.sleep(0.001)
    met(point)
def linked(source, target, **k):
    if Path(target).name.startswith("part-"):
        meet("start")
    return link(source, target, **k)
def unlinked(path, *a, **k):
    if path.name.startswith("part-") and path.suffix == ".json":
        meet("stop")
    return unlink(path, *a, **k)
os.link, Path.unlink = linked, unlinked
"""
# Once a job is taken the next one takes its time.
SBATCH = """#!/bin/bash
case " $* " in *" --test-only "*) exec REAL "$@";; esac
if [ -s "$0.taken" ]; then touch "$0.at-the-next"; sleep 2; fi
REAL "$@" | tee -a "$0.taken"
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


@dataclass(frozen=True)
class Told:
    """What became of a case.

    Arguments:
        text: what happened.
        hit: what the case is about did happen, in the middle of the work.
        lost: shards that are not there, or jobs that nobody knows.
        twice: shards that were made more than once, or while somebody else held the store.
    """

    text: str
    hit: bool
    lost: int
    twice: int


def clock_step(case: "Case") -> Told:
    """A second driver whose clock is an hour ahead, while the first is at work."""
    first = start(case)
    middle(case, first)
    first.send_signal(signal.SIGSTOP)  # or it may be done before the second one looks
    begun = unfinished(case)
    folder = shim(case, STEPPED)
    told = said(start(case, on_path(folder)))
    first.send_signal(signal.SIGCONT)
    text = f"first {ended(first)}, second {told}"
    return Told(text, begun and (folder / "met").exists(), *account(case))


def late_marks(case: "Case") -> Told:
    """Marks that the driver sees seconds after they were set."""
    folder = shim(case, LATE)
    only = start(case, on_path(folder))
    text = f"driver {ended(only)}"
    return Told(text, (folder / "met").exists(), *account(case))


def together(case: "Case") -> Told:
    """The parts of an array start, and stop, in the same moment."""
    folder = shim(case, TOGETHER)
    parts = [
        start(case, on_path(folder), ["cluster=array", f"cluster.index={i}",
                                      f"cluster.count={PARTS}"])
        for i in range(PARTS)
    ]  # fmt: skip
    states = [ended(part) for part in parts]
    met = [(folder / point).exists() for point in ("start", "stop")]
    last = ended(start(case))
    text = f"parts {' '.join(states)}, finishing {last}"
    return Told(text, all(met), *account(case))


def interrupted(case: "Case") -> Told:
    """Ctrl-C while the second job of a chain of three is given to SLURM, which takes it."""
    sbatch = shutil.which("sbatch")
    if sbatch is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        return Told("needs SLURM" + case.finish(), False, *account(case))
    name = f"ctrlc{os.getpid()}"
    command = [
        "slurm/pipeline.sh", name, f"--stages={CHAINS[case.stage]}", f"run={case.run}",
        "+site.options.begin=now+1hour",
        *(option for option in case.sizes if not option.startswith("cluster=")),
    ]  # fmt: skip
    folder = programs(case, {"sbatch": SBATCH.replace("REAL", sbatch)})
    pipeline = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **before_others(folder), "HPCSBI_PYTHON": sys.executable},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    )  # fmt: skip
    while pipeline.poll() is None and not (folder / "sbatch.at-the-next").exists():
        time.sleep(0.02)
    begun = pipeline.poll() is None
    pipeline.send_signal(signal.SIGINT)
    told = pipeline.communicate()[0]
    if not (folder / "sbatch.taken").exists():
        return Told(f"nothing was taken: {told[-200:]}" + case.finish(), False, *account(case))
    listed = subprocess.run(
        ["squeue", "-h", "-o", "%A %j"], capture_output=True, text=True, check=True
    ).stdout.split()
    queued = {job for job, job_name in zip(listed[::2], listed[1::2], strict=True)
              if job_name.startswith(f"{name}-")}  # fmt: skip
    noted = {note["job"] for note in read_notes(case.run / "slurm" / "jobs.jsonl", ("job",))[0]}
    if queued:
        subprocess.run(["scancel", *queued], check=False)
    taken = len((folder / "sbatch.taken").read_text().split())
    rest = case.finish()
    lost, twice = account(case)
    text = f"{taken} of 3 taken, {len(queued)} queued, {len(noted)} noted{rest}"
    return Told(text, begun and 0 < taken < 3, lost + len(queued ^ noted), twice)


def silent(case: "Case") -> Told:
    """SLURM does not answer the first query about the job that holds the store."""
    return asked_of_slurm(case, os.getuid(), 1)


def colleague(case: "Case") -> Told:
    """The store is held by a job of another user on another node."""
    return asked_of_slurm(case, os.getuid() + 1, 0)


def asked_of_slurm(case: "Case", user: int, silences: int) -> Told:
    """Try while job 77 on another node holds the store, and again when it has ended."""
    whole = start(case)
    middle(case, whole)
    whole.send_signal(signal.SIGKILL)
    whole.wait()
    begun, done = unfinished(case), made(case)
    folder = programs(case, {
        "squeue": SQUEUE, "scontrol": "#!/bin/bash\nexit 0\n", "sacct": "#!/bin/bash\nexit 1\n",
    })  # fmt: skip
    (folder / "squeue.silent").write_text(str(silences))
    (folder / "squeue.says").write_text("77|RUNNING|None\n")
    lock = product(case) / ".lock" / "whole.json"
    lock.write_text(json.dumps({
        "host": "n7", "machine": "m", "boot": "b", "space": "s", "pid": 7, "started": 7,
        "user": user, "job": "77", "restarts": 0, "command": f"{case.stage}.py",
        "since": "yesterday", "token": "t",
    }))  # fmt: skip
    second = said(start(case, before_others(folder)))
    asked = (folder / "squeue.n").exists() and int((folder / "squeue.n").read_text()) > silences
    against = made(case) - done
    (folder / "squeue.says").write_text("77|COMPLETED|None\n")
    third = ended(start(case, before_others(folder)))
    lost, twice = account(case)
    # The killed driver noted nothing of what it had made.
    text = f"held: {second}; job ended: {third}"
    return Told(text, begun and asked, lost, max(0, twice + done) + against)


def start(
    case: "Case", environment: Mapping | None = None, options: list[str] | None = None
) -> subprocess.Popen:
    """The stage in a process of its own."""
    return subprocess.Popen(
        [sys.executable, f"jobs/{case.stage}.py", f"run={case.run}", *case.sizes, *(options or [])],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


def beside(case: "Case", suffix: str) -> Path:
    """A fresh folder beside the case's run."""
    folder = case.run.with_name(f"{case.run.name}.{suffix}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def shim(case: "Case", text: str) -> Path:
    """Folder of some code that a process begins with."""
    folder = beside(case, "shim")
    (folder / "sitecustomize.py").write_text(NOTING + text)
    return folder


def on_path(folder: Path) -> dict:
    """Environment of a process that begins with that code."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def programs(case: "Case", texts: Mapping[str, str]) -> Path:
    """Folder of some scripts by name."""
    folder = beside(case, "bin")
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def before_others(folder: Path) -> dict:
    """Environment in which they stand for programs of their names."""
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def middle(case: "Case", process: subprocess.Popen) -> None:
    """Wait until some shards are made."""
    while process.poll() is None and not case.progress():
        time.sleep(0.02)


def made(case: "Case") -> int:
    """Number of shards that are there."""
    return sum(state == "done" for state in open_store(product(case)).states().values())


def unfinished(case: "Case") -> bool:
    """True if some shards are made, and some not."""
    return 0 < made(case) < len(open_store(product(case)).shards)


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
    worked = sum(note["shards"] for note in notes if note["stage"] == case.stage)
    return sum(state != "done" for state in states.values()), worked - len(states)


ROOT = Path(__file__).resolve().parents[1]
CONTRACTS: dict[str, Callable[["Case"], Told]] = {
    "clock step": clock_step,
    "late marks": late_marks,
    "together": together,
    "interrupted": interrupted,
    "silent SLURM": silent,
    "colleague": colleague,
}
