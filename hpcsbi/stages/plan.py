"""Plan: what the rest of a run takes, in core-hours, time and jobs; reads only."""

import json as json_format
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsbi.arguments import Count, checked
from hpcsbi.cluster.deadline import way_out
from hpcsbi.cluster.site import seconds_of
from hpcsbi.pipeline import STAGES
from hpcsbi.run.progress import core_rates, flow_progress, store_progress
from hpcsbi.terminal import duration, printable

__all__ = ["Work", "missing_inputs", "plan", "works"]


@dataclass(frozen=True)
class Work:
    """What a stage has to do yet.

    Arguments:
        stage: its name.
        left: rows, or steps of training; None where their number is not known.
        shards: to make; training is one piece.
        shard: rows in a shard.
        rate: rows or steps a second of one process; None where it is not known.
        source: "measured" in this run, or "estimated".
        error: why nothing can be said, "" if it can.
    """

    stage: str
    left: int | None
    shards: int
    shard: int
    rate: float | None = None
    source: str = ""
    error: str = ""


@checked()
def plan(
    run: str,
    outs: Mapping[str, str],
    rows: Mapping[str, int | None],
    shards: Mapping[str, int],
    rates: Mapping[str, float],
    tasks: Count,
    cores: Count | None,
    training_cores: Count | None,
    time: str,
    requeues: int,
    probe: bool,
    json: bool = False,
) -> None:
    """Print for every stage what is left, core-hours and wall time, and how many jobs in turn.

    The report, the start of jobs and of their processes, and the wait in the queue are not in it.

    Arguments:
        run: folder of the run; it need not be there yet.
        outs: stage -> what it makes.
        rows: stage -> rows (steps of training) that it will make, for what has not begun.
        shards: stage -> rows in a shard.
        rates: stage -> rows (steps) a second of one process, for what the run has not measured.
        tasks: processes at work at once; training is one.
        cores: of each process, that SLURM gives and accounts for: cpus-per-task; None is one.
        training_cores: the same of training.
        time: limit of one job, as SLURM takes it.
        requeues: how often a job is queued again.
        probe: whether unknown rates were probed, for the words about those that stay unknown.
        json: print JSON for a program in place of lines for a reader.

    Raises:
        ValueError: a time that SLURM would not take.
    """
    limit, given = seconds_of(time), {"train": training_cores or 1}
    stages = [
        _reckoned(work, tasks, given.get(work.stage, cores or 1), limit, requeues)
        | {"waits": missing_inputs(work.stage, outs)}
        for work in works(run, outs, rows, shards, rates)
    ]
    known = [stage for stage in stages if stage["core_hours"] is not None]
    forecast = {
        "run": run,
        "tasks": tasks,
        "job_seconds": limit,
        "stages": stages,
        "core_hours": sum(stage["core_hours"] for stage in known),
        "wall_seconds": sum(stage["wall_seconds"] for stage in known),
        "complete": len(known) == len(stages),
    }
    text = json_format.dumps(forecast, indent=1) if json else "\n".join(_lines(forecast, probe))
    print(text, flush=True)


def works(
    run: str,
    outs: Mapping[str, str],
    rows: Mapping[str, int | None],
    shards: Mapping[str, int],
    rates: Mapping[str, float],
) -> list[Work]:
    """What every stage has to do yet, and how fast it does it; see `plan`."""
    measured, rows, entries = core_rates(Path(run)), dict(rows), []
    if spectra := outs.get("ingest"):  # a row of the catalogue for every spectrum
        known = store_progress(Path(spectra)).get("rows") if Path(spectra).exists() else None
        rows.setdefault("infer", known or rows.get("ingest"))
        if known and rows.get("fit"):
            rows["fit"] = min(known, rows["fit"])
    for stage, out in outs.items():
        if stage == "train":
            state = _steps(Path(out), rows.get(stage))
        else:
            state = _rows(Path(out), rows.get(stage), shards[stage])
        rate = state.pop("rate") or measured.get(stage)
        source = "measured" if rate else "estimated"
        entries.append(Work(stage, rate=rate or rates.get(stage), source=source, **state))
    return entries


def _rows(out: Path, expected: int | None, shard: int) -> dict[str, Any]:
    if not out.exists():
        count = -(-expected // shard) if expected else 0
        size = min(shard, expected or shard)
        return {"left": expected, "shards": count, "shard": size, "rate": None}
    progress = store_progress(out)
    if "error" in progress:
        return {"left": None, "shards": 0, "shard": shard, "rate": None, "error": progress["error"]}
    # Marks tell how fast all are together: of use where it is known how many they are.
    workers = sum(holder.get("workers", 1) for holder in progress["holders"])
    rate = (
        progress["rows_per_second"] / workers if workers and progress["rows_per_second"] else None
    )
    # What is made at a time counts, and not how many of these a file holds.
    left, size = progress["rows"] - progress["rows_done"], min(progress["batch"], progress["rows"])
    return {"left": left, "shards": -(-left // size), "shard": size, "rate": rate}


def _steps(out: Path, expected: int | None) -> dict[str, Any]:
    progress = flow_progress(out)
    left = 0 if progress["trained"] else (progress["steps"] or expected or 0) - progress["step"]
    return {"left": left, "shards": 1, "shard": left, "rate": progress["steps_per_second"]}


def missing_inputs(stage: str, outs: Mapping[str, str]) -> list[str]:
    """Products that a stage needs and that are not there in full."""
    makers = STAGES[stage].reads.values()
    return [out for name in makers if (out := outs.get(name)) and not _whole(name, out)]


def _whole(stage: str, out: str) -> bool:
    if stage == "train":
        return flow_progress(Path(out))["trained"]
    if not Path(out).exists():
        return False
    progress = store_progress(Path(out))
    return "error" not in progress and progress["done"] == progress["shards"]


def _reckoned(work: Work, tasks: int, cores: int, limit: float, requeues: int) -> dict[str, Any]:
    """A stage's work as numbers of seconds, hours and jobs; None where they are not known."""
    entry = {
        "stage": work.stage,
        "left": work.left,
        "shards": work.shards,
        "rate": work.rate,
        "source": work.source if work.rate else None,
        "error": work.error,
    }
    if work.left == 0:
        return entry | {"core_hours": 0.0, "wall_seconds": 0.0, "jobs": 0, "warnings": []}
    if work.left is None or not work.rate:
        return entry | {"core_hours": None, "wall_seconds": None, "jobs": None, "warnings": []}
    processes = tasks if STAGES[work.stage].fans_out else 1
    piece = work.shard / work.rate
    # The last round of shards may leave processes idle, which are paid for all the same.
    wall = min(math.ceil(work.shards / processes) * piece, work.left / work.rate)
    jobs = max(1, math.ceil(wall / (limit - way_out(limit))))
    return entry | {
        "core_hours": processes * cores * wall / 3600,
        "wall_seconds": wall,
        "jobs": jobs,
        "warnings": list(_warnings(work, piece, limit, jobs, requeues)),
    }


def _warnings(work: Work, piece: float, limit: float, jobs: int, requeues: int) -> Iterable[str]:
    if STAGES[work.stage].fans_out and 2 * piece > limit - way_out(limit):
        yield (
            f"a shard takes {duration(piece)}, and a job of {duration(limit)} is too short to "
            f"start two: raise site.time, or before it begins lower {work.stage}.shard"
        )
    if jobs - 1 > requeues:
        yield f"{jobs} jobs in turn are more than site.requeues={requeues} allows: raise it"


def _lines(forecast: Mapping, probe: bool) -> Iterable[str]:
    yield (
        f"{forecast['run']}: {forecast['tasks']} processes, "
        f"jobs of {duration(forecast['job_seconds'])}"
    )
    heads = f"{'left':>24} {'of one process':>26} {'core-hours':>10} {'time':>9} {'jobs':>5}"
    yield f"  {'':10} {heads}"
    for stage in forecast["stages"]:
        yield f"  {stage['stage']:10} {_told(stage, probe)}"
        yield from (f"  {'':10} {warning}" for warning in stage["warnings"])
    more = "" if forecast["complete"] else "  and what is not known yet"
    hours, wall = _hours(forecast["core_hours"]), duration(forecast["wall_seconds"])
    yield f"  {'total':10} {'':24} {'':26} {hours:>10} {wall:>9}{more}"
    yield "  The report, the start of jobs (seconds to a minute each) and the queue come on top."


def _told(stage: Mapping, probe: bool) -> str:
    if stage["error"]:
        return printable(stage["error"])
    if stage["left"] == 0:
        return f"{'done':>24}"
    unit = STAGES[stage["stage"]].unit
    left = "" if stage["left"] is None else f"{stage['left']:,} {unit}"
    if stage["core_hours"] is None:
        return f"{left:>24} {_unknown(stage['waits'], probe)}"
    speed = f"{stage['rate']:,.3g}" if stage["rate"] < 1000 else f"{stage['rate']:,.0f}"
    speed = f"{speed} {unit}/s {stage['source']}"
    hours, wall = _hours(stage["core_hours"]), duration(stage["wall_seconds"])
    return f"{left:>24} {speed:>26} {hours:>10} {wall:>9} {stage['jobs']:>5}"


def _unknown(waits: Sequence[str], probe: bool) -> str:
    if waits:
        names = " and ".join(Path(out).name for out in waits)
        return f"known when {names} {'is' if len(waits) == 1 else 'are'} there"
    return "not known" if probe else "not known: plan.probe=true tries it"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
