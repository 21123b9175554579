"""SLURM's words about jobs for a reader: why one waits or has ended, what to do, last words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hpcsbi.cluster.slurm import JobState
from hpcsbi.terminal import printable, user_name

__all__ = ["FORGOTTEN", "error_lines", "last_line", "lines", "mend", "summary", "why_ended"]

TAIL = 8192  # bytes at the end of a log that are looked at
LINES = 12  # of an error that are told
SHOWN = 3  # failed tasks of an array that are told in full
FORGOTTEN = "unknown"
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


def why_ended(stage: str, state: JobState) -> str:
    """Why a job did not end well, "" where SLURM's word for it says all."""
    if state.state == "CANCELLED":
        if state.reason.startswith("Dependency"):
            return "what it waited for failed"
        return f"by {user_name(state.reason[3:])}" if state.reason.startswith("by ") else ""
    code = state.exit_code
    known = ENDS.get(state.state) or EXITS.get((stage, code)) or EXITS.get(("", code))
    return known or (f"exit status {code}" if code not in ("", "0:0") else "")


def last_line(log: Path) -> str:
    """Last line of a log that says something, without control characters; "" where there is none.

    A bar that was drawn over and over on one line counts as it was last.
    """
    said = _said(log)
    return said[-1].strip() if said else ""


def error_lines(log: Path) -> list[str]:
    """What a job was refused for, by its log: the last line that tells an error, and those after.

    Arguments:
        log: of a job that has ended; none are told where it is not there.
    """
    said = _said(log)
    starts = [place for place, line in enumerate(said) if line.startswith("error: ")]
    return said[starts[-1] :][:LINES] if starts else []


def _said(log: Path) -> list[str]:
    """Lines at the end of a log that say something, without control characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = text.replace("\r", "\n").split("\n")
    return [printable(line.rstrip()) for line in lines if line.strip()]


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
