"""The jobs that were submitted for a run, and what became of them."""

import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from hpcsbi.cluster import slurm
from hpcsbi.cluster.job_words import FORGOTTEN, last_line, mend, summary, why_ended
from hpcsbi.cluster.slurm import JobState
from hpcsbi.run.folder import RunFolder
from hpcsbi.store.files import read_notes, read_object

__all__ = [
    "ask",
    "jobs_without_states",
    "queued_jobs",
    "retry_command",
    "submitted_jobs",
    "unnoted_jobs",
]

DONE = "COMPLETED"


def submitted_jobs(run: Path) -> list[dict]:
    """Jobs of a run in the order of submission, as hpcsbi/launch noted them."""
    return read_notes(RunFolder(run).jobs, ("stage", "job"))[0]


def unnoted_jobs(run: Path) -> list[dict]:
    """Jobs in the queue whose submission was killed before it noted their numbers.

    Raises:
        SlurmError: it is not known whether there are any.
        Damaged: what one of them is cannot be read.
    """
    parent, noted = RunFolder(run).submissions.resolve(), _starts(run)
    folders = [folder.resolve() for folder in RunFolder(run).numbered_submissions]
    paths = [path for folder in folders for path in folder.glob("*/job.json")]
    files = [path for path in paths if path.parent not in noted]
    starts = slurm.jobs_below(parent, active=True) if files else {}
    return [
        read_object(start / "job.json") | {"job": number}
        for number, start in starts.items()
        if start / "job.json" in files
    ]


def _starts(run: Path) -> set[Path]:
    return {Path(job.get("start", "")) for job in submitted_jobs(run)}


def ask(run: Path) -> list[dict]:
    """Jobs of a run with their states; those of each stage's newest submission come first.

    The state of a job that SLURM has forgotten is "unknown". Of one of another cluster, "elsewhere"
    says of which, and nothing is known.

    Raises:
        SlurmError: what SLURM would say is not known.
    """
    noted = submitted_jobs(run)
    jobs = noted + unnoted_jobs(run)
    away = {name for name in {job.get("cluster") for job in jobs} if slurm.is_elsewhere(name)}
    here = [job for job in jobs if job.get("cluster") not in away]
    ours = all(job.get("user", os.getuid()) == os.getuid() for job in here)
    return _entries(jobs, slurm.jobs((job["job"] for job in here), ours), away)


def jobs_without_states(run: Path) -> list[dict]:
    """The same without asking SLURM: the state of every job is "unknown"."""
    return _entries(submitted_jobs(run), {})


def _entries(
    jobs: Sequence[Mapping], states: Mapping[str, JobState], away: Collection[str] = ()
) -> list[dict]:
    newest = {job["stage"]: _submission(job) for job in jobs}
    entries = [
        (_elsewhere(job) if job.get("cluster") in away else _here(job, states))
        | {"newest": newest[job["stage"]] == _submission(job)}
        for job in jobs
    ]
    return sorted(entries, key=lambda entry: not entry["newest"])


def queued_jobs(jobs: Iterable[Mapping]) -> dict[str, str]:
    """Stages with a job that waits or runs, of what `ask` tells -> the last of these jobs."""
    ordered = sorted(jobs, key=lambda job: job["newest"])
    return {job["stage"]: job["job"] for job in ordered if job["active"]}


def retry_command(run: Path) -> str:
    """What submits again what of a run failed or is missing."""
    words = ["python", "jobs/retry.py", run.absolute().name]
    here = run.absolute() == Path("runs", run.absolute().name).absolute()
    return shlex.join(words if here else [*words, f"run={run}"])


def _submission(job: Mapping) -> str:
    return str(Path(job.get("config", "")).parent)


def _here(job: Mapping, states: Mapping[str, JobState]) -> dict:
    return _entry(job, slurm.tasks_of(job["job"], states))


def _elsewhere(job: Mapping) -> dict:
    """A job of another cluster, whose number is that of another job here."""
    cluster = job["cluster"]
    return _entry(job, {}) | {"elsewhere": cluster, "state": f"not known here, of {cluster}"}


def _entry(job: Mapping, tasks: Mapping[str, JobState]) -> dict:
    states = [state.state for state in tasks.values()]
    # A task that is cancelled before it begins leaves no trace in SLURM.
    expected = (
        slurm.array_tasks(f"{job['job']}_[{job['array']}]") if job.get("array") and tasks else ()
    )
    states += [FORGOTTEN for name in expected if name not in tasks]
    bad = {name: s for name, s in tasks.items() if not s.active and s.state != DONE}
    waits = Counter(s.reason for s in tasks.values() if s.state == "PENDING" and s.reason)
    return {
        "job": job["job"],
        "stage": job["stage"],
        "kind": _kind(job),
        "submitted": job.get("submitted"),
        "state": summary(states),
        "states": dict(Counter(states)),
        "elsewhere": "",
        "active": sum(state.active for state in tasks.values()),
        "waits": [{"reason": why, "jobs": n, "mend": mend(why)} for why, n in waits.items()],
        "failures": [_failure(job, name, state) for name, state in bad.items()],
        "outs": _outs(job),
    }


def _outs(job: Mapping) -> list[str] | None:
    """What a job makes, relative to the run; None where it was not noted."""
    swept = [task["out"] for task in job.get("tasks", ())]
    return swept or job.get("outs")


def _kind(job: Mapping) -> str:
    if job.get("parts"):
        return "array"
    return "finish" if Path(job.get("config", "")).name == "finish.yaml" else "job"


def _failure(job: Mapping, name: str, state: JobState) -> dict:
    log = Path(job.get("log", ""))
    log = log.with_name(log.name.replace("%j", name).replace("%A_%a", name)) if log.name else log
    return {
        "job": name,
        "state": state.state,
        "why": why_ended(job["stage"], state),
        "exit_code": state.exit_code,
        "log": str(log),
        "line": last_line(log),
    }
