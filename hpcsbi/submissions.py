"""What became of the jobs that were submitted for a run: their states, reasons and last words."""

import json
import os
import pwd
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from hpcsbi import slurm
from hpcsbi.files import read_notes
from hpcsbi.slurm import JobState

__all__ = [
    "ask",
    "last_line",
    "lines",
    "mend",
    "printable",
    "queued",
    "remembered",
    "submitted",
    "summary",
    "unnoted",
    "user_name",
]

TAIL = 8192  # bytes at the end of a log that are looked at
SHOWN = 3  # failed tasks of an array that are told in full
DONE, FORGOTTEN = "COMPLETED", "unknown"
# Start of SLURM's reason for a job that waits -> what to do.
MENDS = {
    "DependencyNeverSatisfied": "what it waits for failed, so it never starts: scancel it, "
    "then jobs/retry.py",
    "Dependency": "waits for another job of this run",
    "Resources": "waits for free nodes, nothing to do",
    "Priority": "waits behind other jobs, nothing to do",
    "BeginTime": "was queued again and starts in a moment",
    "JobArrayTaskLimit": "as many tasks run as site.throttle allows",
    "ReqNodeNotAvail": "the nodes are down or reserved: wait, or drop site.constraint",
    "Reservation": "waits for its reservation",
    "PartitionTimeLimit": "never starts: asks for more time than the partition gives; lower "
    "site.time, or choose another site.partition",
    "PartitionNodeLimit": "never starts: asks for more nodes than the partition has; lower "
    "site.tasks, or choose another site.partition",
    "PartitionConfig": "never starts: asks for more than the partition has; lower site.tasks or "
    "site.memory, or choose another site.partition",
    "PartitionDown": "the partition is down: wait, or choose another site.partition",
    "PartitionInactive": "the partition is closed: wait, or choose another site.partition",
    "BadConstraints": "never starts: no node has what it asks for; mend site.constraint",
    "InvalidAccount": "never starts: mend site.account",
    "InvalidQOS": "never starts: mend site.qos",
    "AccountNotAllowed": "never starts: mend site.account",
    "QOSNotAllowed": "never starts: mend site.qos",
    "AssocMax": "over a limit of your account: waits until your other jobs end; if there are "
    "none, lower site.tasks or site.time",
    "AssocGrp": "your group is at its limit: waits until its other jobs end; if the limit is of "
    "hours spent, choose another site.account",
    "QOSMax": "over a limit of the QOS: waits until your other jobs end; if there are none, lower "
    "site.tasks or site.time, or choose another site.qos",
    "QOSGrp": "the QOS is at its limit: wait, or choose another site.qos",
    "JobHeldUser": "is held: scontrol release it",
    "JobHeldAdmin": "is held by an administrator: ask why",
    "launch failed requeued held": "is held, its node did not start it: scontrol release it",
}
# What ended jobs mean here, where SLURM's word does not say it all.
ENDS = {
    "TIMEOUT": "the limit site.time was reached",
    "OUT_OF_MEMORY": "raise site.memory",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "another job took its place",
    "BOOT_FAIL": "its node did not start",
    "DEADLINE": "its deadline passed",
}
EXITS = {
    ("calibrate", "1:0"): "the flow is not calibrated",
    ("", "0:9"): "killed, as a rule for memory: raise site.memory",
    ("", "75:0"): "site.requeues is used up",
}


def submitted(run: Path) -> list[dict]:
    """Jobs of a run in the order of submission, as jobs/submit.py noted them."""
    return read_notes(run / "slurm" / "jobs.jsonl")[0]


def unnoted(run: Path) -> list[dict]:
    """Jobs in the queue whose submission was killed before it noted their numbers.

    Raises:
        SlurmError: it is not known whether there are any.
    """
    parent = (run / "slurm").resolve()
    left = [path for path in parent.glob("[0-9]*/*/job.json") if path.parent not in _starts(run)]
    found = slurm.started_in(parent, active=True) if left else {}
    return [
        json.loads((start / "job.json").read_text()) | {"job": number}
        for number, start in found.items()
        if start / "job.json" in left
    ]


def _starts(run: Path) -> set[Path]:
    return {Path(job.get("start", "")) for job in submitted(run)}


def ask(run: Path) -> list[dict]:
    """Jobs of a run with their states; those of each stage's newest submission come first.

    The state of a job that SLURM has forgotten is "unknown". Of one of another cluster, "elsewhere"
    says of which, and nothing is known.

    Raises:
        SlurmError: what SLURM would say is not known.
    """
    noted = submitted(run)
    jobs = noted + unnoted(run)
    away = {name for name in {job.get("cluster") for job in jobs} if slurm.is_elsewhere(name)}
    here = [job for job in jobs if job.get("cluster") not in away]
    own = all(job.get("user", os.getuid()) == os.getuid() for job in here)
    return _told(jobs, slurm.jobs((job["job"] for job in here), own), away)


def remembered(run: Path) -> list[dict]:
    """The same without asking SLURM: the state of every job is "unknown"."""
    return _told(submitted(run), {})


def _told(
    jobs: Sequence[Mapping], states: Mapping[str, JobState], away: Collection[str] = ()
) -> list[dict]:
    newest = {job["stage"]: _submission(job) for job in jobs}
    found = [
        (_elsewhere(job) if job.get("cluster") in away else _here(job, states))
        | {"newest": newest[job["stage"]] == _submission(job)}
        for job in jobs
    ]
    return sorted(found, key=lambda entry: not entry["newest"])


def queued(jobs: Iterable[Mapping]) -> dict[str, str]:
    """Stages with a job that waits or runs, of what `ask` tells -> the last of these jobs."""
    ordered = sorted(jobs, key=lambda job: job["newest"])
    return {job["stage"]: job["job"] for job in ordered if job["active"]}


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
    expected = slurm.spread(f"{job['job']}_[{job['array']}]") if job.get("array") and tasks else ()
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


def summary(states: Sequence[str]) -> str:
    """States of the tasks of a job in words, e.g. "37 COMPLETED, 2 TIMEOUT"."""
    if not states:
        return FORGOTTEN
    if len(states) == 1:
        return states[0]
    return ", ".join(f"{n} {state}" for state, n in Counter(sorted(states)).items())


def mend(reason: str) -> str:
    """What to do about a job that waits for that reason, "" where it is not known."""
    starts = [start for start in MENDS if reason.startswith(start)]
    return MENDS[max(starts, key=len)] if starts else ""


def _failure(job: Mapping, name: str, state: JobState) -> dict:
    log = Path(job.get("log", ""))
    log = log.with_name(log.name.replace("%j", name).replace("%A_%a", name)) if log.name else log
    return {
        "job": name,
        "state": state.state,
        "why": _why(job["stage"], state),
        "exit_code": state.exit_code,
        "log": str(log),
        "line": last_line(log),
    }


def _why(stage: str, state: JobState) -> str:
    if state.state == "CANCELLED":
        if state.reason.startswith("Dependency"):
            return "what it waited for failed"
        return f"by {user_name(state.reason[3:])}" if state.reason.startswith("by ") else ""
    code = state.exit_code
    known = ENDS.get(state.state) or EXITS.get((stage, code)) or EXITS.get(("", code))
    return known or (f"exit status {code}" if code not in ("", "0:0") else "")


def user_name(number: int | str) -> str:
    """Name of a user by number."""
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, ValueError):
        return f"user {number}"


def last_line(log: Path) -> str:
    """Last line of a log that says something, without control characters; "" where there is none.

    A bar that was drawn over and over on one line counts as it was last.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    said = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
    return printable(said[-1].strip()) if said else ""


def printable(text: str) -> str:
    """Text without control characters: names from survey files reach the terminal here."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def lines(jobs: Sequence[Mapping]) -> Iterable[str]:
    """Newest jobs, and older ones that are still in the queue, for a reader."""
    shown = [job for job in jobs if job["newest"] or job["active"]]
    wide = max((len(_name(job)) for job in shown), default=0)
    for job in shown:
        yield f"{job['stage']:10} {_name(job):{wide}} {_headline(job)}"
        yield from (f"{'':10} {'':{wide}} {line}" for line in _details(job))


def _name(job: Mapping) -> str:
    return f"{job['kind']} {job['job']}"


def _headline(job: Mapping) -> str:
    """State of a job, and why it ended so where one reason holds for all of it."""
    why = f" ({_one_reason(job)})" if _one_reason(job) else ""
    forgotten = job["states"].get(FORGOTTEN) if job["kind"] == "array" else 0
    note = "; what SLURM forgets was cancelled before it began" if forgotten else ""
    return job["state"] + _waits(job) + why + note + ("" if job["newest"] else ", older submission")


def _one_reason(job: Mapping) -> str:
    """Why a job ended, "" where some of its tasks did not fail, or for other reasons."""
    whys = {failure["why"] for failure in job["failures"]}
    return (
        whys.pop() if len(whys) == 1 and len(job["failures"]) == sum(job["states"].values()) else ""
    )


def _waits(job: Mapping) -> str:
    """Why a job waits, and what to do about it."""
    reasons = [(printable(wait["reason"]), wait["mend"]) for wait in job["waits"]]
    texts = [": ".join(filter(None, reason)) for reason in reasons]
    return f" ({'; '.join(texts)})" if texts else ""


def _details(job: Mapping) -> Iterable[str]:
    """Failures that the headline does not tell in full: their reasons and last words."""
    told = _one_reason(job)
    more = [failure for failure in job["failures"] if failure["line"] or failure["why"] != told]
    for failure in more[:SHOWN]:
        why = f" ({failure['why']})" if failure["why"] not in ("", told) else ""
        name = f"{failure['job']} {failure['state']}{why} " if job["kind"] == "array" else ""
        log = f"{failure['log']}:" if failure["line"] else ""
        yield f"{name}{log}".rstrip()
        if failure["line"]:
            yield f"  {failure['line']}"
    if len(more) > SHOWN:
        yield f"and {len(more) - SHOWN} more: status.json=true"
