"""A submission that is whole or not there: every job of it is noted, or none is in the queue.

Before a job is given to SLURM its folder is on disk, and the job starts in it; its number is noted
when SLURM tells it. So a job is known by its folder even if this program is killed in between, and
whatever ends it otherwise (a refusal, Ctrl-C, a full disk) cancels what was taken so far.
"""

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hpcsbi.cluster import sbatch, slurm
from hpcsbi.cluster.site import Site
from hpcsbi.errors import Unfinished
from hpcsbi.launch.checkout import BATCH_SCRIPT, ROOT
from hpcsbi.launch.privacy import keep_private
from hpcsbi.run import submissions
from hpcsbi.run.folder import RunFolder
from hpcsbi.store.files import write_atomically
from hpcsbi.store.locks import locked

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DECIDING = ("PYTHONPATH", "SPS_HOME")  # which code and which models a job computes with


@dataclass(frozen=True)
class Job:
    """One job to submit.

    Arguments:
        stage: what runs.
        options: of sbatch, without dashes.
        config: frozen configuration, or a folder of them with one for each task of an array.
        waits: stage -> kind of dependency.
        outs: what it makes.
        parts: number of parts of a whole array.
        finishes: it makes what follows the last shard of an array.
        tasks: what `status` and `compare` read of each setting of a sweep.
    """

    stage: str
    options: dict[str, str]
    config: Path
    waits: dict[str, str]
    outs: tuple[str, ...] = ()
    parts: int = 0
    finishes: bool = False
    tasks: tuple[dict, ...] = ()

    @property
    def name(self) -> str:
        """Of its folder in that of the submission."""
        return f"{self.stage}-finish" if self.finishes else self.stage

    def log(self) -> str:
        """Where it prints, with %j or %A_%a in the name of the file only."""
        return self.options["output"].replace("%%", "%")


class Submission:
    """The jobs of one command, from the first to the last."""

    def __init__(self, run: Path, folder: Path, site: Site) -> None:
        self.run, self.folder, self.site = run, folder, site
        self.taken: list[str] = []
        self.stopped: int | None = None

    def add(self, job: Job, after: str = "") -> str:
        """Submit a job; returns its number, which is on disk by then.

        Arguments:
            job: what to submit.
            after: dependency, as sbatch takes it.
        """
        self._end_if_stopped()
        start = self.folder / job.name
        start.mkdir()
        line = self._line(job, start)
        settings = start / "job.sh"
        write_atomically(settings, _settings(job, self.site).encode())
        write_atomically(start / "job.json", json.dumps(line).encode())
        dependency = job.options.get("dependency")
        waits = ",".join(filter(None, (dependency, after)))
        wait = {"dependency": waits, "kill-on-invalid-dep": "yes"} if after else {}
        number = sbatch.submit(
            BATCH_SCRIPT,
            [job.stage, "--job", str(settings)],
            job.options | wait,
            start,
            lambda: self.stopped is not None,
        )
        self.taken.append(number)
        note(self.run, line | {"job": number})
        self._end_if_stopped()
        return number

    def _line(self, job: Job, start: Path) -> dict:
        """What `status` reads of a job."""
        line = {
            "stage": job.stage,
            "parts": job.parts,
            "array": job.options.get("array", ""),
            "log": job.log(),
            "config": str(job.config),
            "submitted": time.time(),
            "user": os.getuid(),
            "cluster": slurm.cluster(),
            "start": str(start),
            "outs": [os.path.relpath(out, self.run) for out in job.outs],
        }
        return line | ({"tasks": list(job.tasks)} if job.tasks else {})

    def _end_if_stopped(self) -> None:
        if self.stopped is not None:
            name = signal.Signals(self.stopped).name
            raise Unfinished(
                f"stopped by {name}: what SLURM had taken of this submission is cancelled, nothing "
                "of it is left."
            )

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal: a job that is being submitted gets its number first."""
        self.stopped = number


@contextmanager
def submission(run: Path, site: Site) -> Iterator[Submission]:
    """Submit jobs of a run in the block; if it does not come to its end, none of them is left.

    Arguments:
        run: absolute path of the run's folder.
        site: of its jobs.

    Raises:
        Held: somebody else submits this run at the moment.
        Unfinished: SIGINT, SIGTERM or SIGHUP came.
    """
    parent = RunFolder(run).submissions
    fresh = [path for path in (run, run / "logs", parent) if not path.exists()]
    keep_private(run, site.mask)
    for path in (run / "logs", parent):
        path.mkdir(exist_ok=True)
    with ExitStack() as never:
        for path in fresh:  # a run that was never submitted is not there
            never.callback(_remove_if_empty, path)
        with locked(parent), ExitStack() as after, ExitStack() as undo:
            for line in submissions.unnoted_jobs(run):  # a submission that was killed left it
                note(run, line)
            new = Submission(run, _new_folder(parent), site)
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                    after.callback(signal.signal, number, signal.signal(number, new.stop))
            undo.callback(_undo, new)
            yield new
            new._end_if_stopped()
            undo.pop_all()
        never.pop_all()


def _new_folder(parent: Path) -> Path:
    """A folder for this submission, the next number."""
    while True:
        taken = [int(path.name) for path in RunFolder(parent.parent).numbered_submissions]
        folder = parent.resolve() / f"{1 + max(taken, default=0):04d}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue


def _undo(failed: Submission) -> None:
    """Cancel what was taken; what cannot be cancelled stays noted, and is told."""
    slurm.cancel(failed.taken)
    path = RunFolder(failed.run).jobs
    if path.exists():
        kept = [
            line for line in submissions.submitted_jobs(failed.run) if not _of(line, failed.folder)
        ]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(path, text.encode()) if text else path.unlink()
    shutil.rmtree(failed.folder, ignore_errors=True)


def _of(line: Mapping, folder: Path) -> bool:
    return Path(line.get("start", "")).parent == folder


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return


def note(run: Path, line: Mapping) -> None:
    """Note a job for `status`, on disk when this returns."""
    with RunFolder(run).jobs.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        cut = file.read() not in (b"", b"\n")  # the last one was cut short
        file.write(b"\n" * cut + json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _settings(job: Job, site: Site) -> str:
    """What the job's script reads in place of variables, which a site may not export."""
    variables = {
        "HPCSBI_ROOT": str(ROOT),
        "HPCSBI_PYTHON": sys.executable,
        "HPCSBI_FOLDER": os.getcwd(),
        "HPCSBI_PATH": os.environ.get("PATH", ""),
        "HPCSBI_SETUP": "\n".join(site.setup),
        "HPCSBI_REQUEUES": str(site.requeues),
        "HPCSBI_UMASK": str(site.umask),
        "HPCSBI_CONFIG": str(job.config),
        "HPCSBI_THREADS": os.environ.get("HPCSBI_THREADS", "1"),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    for name in DECIDING:
        paths = [os.path.abspath(path) for path in os.environ.get(name, "").split(":") if path]
        value = shlex.quote(":".join(paths))
        lines.append(f"export {name}={value}" if paths else f"unset {name}")
    return "# Written when the job was submitted: what it runs.\n" + "\n".join(lines) + "\n"


def refuse_twice(jobs: Sequence[Job], run: Path, known: Sequence[Mapping]) -> None:
    """Refuse a job that makes what one in the queue already makes.

    Arguments:
        jobs: about to be submitted.
        run: folder of the run.
        known: jobs of the run, from `submissions.ask`.

    Raises:
        Unfinished: names those in the queue and the mend.
    """
    asked = {(job.stage, os.path.relpath(out, run)) for job in jobs for out in job.outs}
    stages = {stage for stage, _ in asked}
    same = [
        job for job in known
        if job["stage"] in stages
        and (job["outs"] is None or any((job["stage"], out) in asked for out in job["outs"]))
    ]  # fmt: skip
    if away := [job for job in same if job["elsewhere"]]:
        names = ", ".join(f"{job['stage']} job {job['job']} of {job['elsewhere']}" for job in away)
        raise Unfinished(
            f"{run} was submitted on another cluster: {names}. Whether they wait or run is not "
            f"known here: ask there, and when they have ended remove their lines from "
            f"{run / 'slurm' / 'jobs.jsonl'}."
        )
    if clash := [job for job in same if job["active"]]:
        names = ", ".join(f"{job['stage']} job {job['job']} {job['state']}" for job in clash)
        numbers = " ".join(job["job"] for job in clash)
        raise Unfinished(
            f"{run} is submitted already: {names}. Wait for them (jobs/status.py tells), submit "
            f"other stages with --stages, or end them first: scancel {numbers}"
        )
