"""How far the products of a run are: shards by their marks, flows by their steps; reads only."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpcsbi.errors import file_trouble
from hpcsbi.pipeline import STAGES
from hpcsbi.run.folder import FlowFolder, RunFolder
from hpcsbi.run.merges import catalogue_of, is_behind, table_of
from hpcsbi.run.page_sources import why_old
from hpcsbi.store.files import Damaged, load_header, load_weights, read_notes
from hpcsbi.store.layout import MARKS
from hpcsbi.store.locks import holders
from hpcsbi.store.opening import open_store
from hpcsbi.store.store import Store

__all__ = [
    "WorkLeft",
    "core_rates",
    "flow_progress",
    "store_progress",
    "work_left",
    "worker_seconds",
]

PAUSE = 10  # a gap between shards this many times the usual one is a pause, not work


@dataclass(frozen=True)
class WorkLeft:
    """What a stage has to do yet.

    Arguments:
        why: in words.
        shards: to make, none if only what follows the last shard is missing; None for all.
    """

    why: str
    shards: list[int] | None = None


def work_left(stage: str, out: Path, verify: bool = True) -> WorkLeft | None:
    """What a stage has to do yet; None when it is done.

    Arguments:
        stage: its name.
        out: what it makes.
        verify: compare every file with its checksum.

    Raises:
        Damaged: what lies there is no store of ours, so that the stage would refuse it.
    """
    if stage == "train":
        return _left_to_train(out, verify)
    if not out.exists():
        return WorkLeft(f"{out.name} is not there")
    if stage == "report" and (why := why_old(out)):
        return WorkLeft(f"{out.name} {why}")
    if not STAGES[stage].fans_out:
        return None
    store = open_store(out, check=False)
    states = {shard: s for shard, s in store.states(verify=verify).items() if s != "done"}
    if states:
        counts = ", ".join(f"{n} {state}" for state, n in Counter(states.values()).items())
        text = f"{len(states)} of {len(store.shards)} shards of {out.name} to make ({counts})"
        return WorkLeft(text, list(states))
    if bad := store.damaged_coordinates():
        return WorkLeft(f"{', '.join(bad)} of {out.name} damaged", [])
    beside = out.with_suffix(STAGES[stage].beside or out.suffix)
    if not beside.exists():
        return WorkLeft(f"{beside.name} is not there", [])
    catalogue = {"infer": out, "fit": catalogue_of(store)}.get(stage)
    if catalogue is not None and catalogue.exists() and is_behind(catalogue):
        return WorkLeft(f"{table_of(catalogue).name} is behind {out.name}", [])
    if store.attributes.get("accuracy") == {}:
        return WorkLeft(f"the accuracy of {out.name} is not measured", [])
    return None


def _left_to_train(out: Path, verify: bool) -> WorkLeft | None:
    progress = flow_progress(out, verify)
    if "error" in progress:
        return WorkLeft(progress["error"])
    if progress["trained"]:
        return None
    step, steps = progress["step"], progress["steps"]
    return WorkLeft(
        f"{out.name} is at step {step} of {steps}" if step else f"{out.name} is not there"
    )


def store_progress(path: Path, verify: bool = False) -> dict:
    """Shards of a store by state, who makes them, how fast, and for how long yet.

    Arguments:
        path: the store.
        verify: compare all files with their checksums; lists damaged shards and coordinates.

    Returns:
        counts that add up to `shards`, or "error" if it is no store.
    """
    try:
        store = open_store(path, check=False)
        done, failed = _marks(store, "done"), _marks(store, "failed")
    except Damaged as error:
        return {"error": str(error)}
    except OSError as error:  # of another user, for one
        return {"error": file_trouble(error), "readable": False}
    damaged = []
    if verify:
        states = store.states(verify=True)
        damaged = [shard for shard, state in states.items() if state == "damaged"]
    good = done.keys() - set(damaged)
    failed = {shard: when for shard, when in failed.items() if shard not in done}
    drivers = holders(path)
    rows, rate = sum(_length(store, shard) for shard in good), _rate(store, done)
    left = len(store.shards) - len(good)
    running = min(sum(holder.get("workers", 1) for holder in drivers), left)
    missing = left - len(failed) - len(damaged)
    return {
        "rows": store.rows,
        "rows_done": rows,
        "batch": store.batch,
        "shards": len(store.shards),
        "done": len(good),
        "running": running,
        # Those at work try failed shards again, but first those that were never tried.
        "failed": len(failed) - max(0, running - missing),
        "missing": max(0, missing - running),
        "damaged": damaged,
        "coordinates": store.damaged_coordinates(),
        "rows_per_second": rate,
        "seconds_left": (store.rows - rows) / rate if rate and left else None,
        "failure": _failure(store, min(failed)) if failed else None,
        "holders": drivers,
    }


def _marks(store: Store, suffix: str) -> dict[int, float]:
    """Shards that have a mark, and when it was set (seconds)."""
    with os.scandir(store.path / MARKS) as entries:
        return {
            int(entry.name.split(".")[0]): entry.stat().st_mtime
            for entry in entries
            if entry.name.endswith(f".{suffix}") and entry.name.split(".")[0].isdigit()
        }


def _length(store: Store, shard: int) -> int:
    rows = store.rows_of(shard)
    return rows.stop - rows.start


def _rate(store: Store, done: Mapping[int, float]) -> float | None:
    """Rows a second while shards were being made; pauses between two starts do not count."""
    if len(done) < 2:
        return None
    ordered = sorted(done, key=done.get)
    gaps = np.diff([done[shard] for shard in ordered])
    rows = np.array([_length(store, shard) for shard in ordered[1:]])
    working = gaps <= max(PAUSE * np.median(gaps), 1.0)
    seconds = gaps[working].sum()
    return float(rows[working].sum() / seconds) if seconds > 0 else None


def _failure(store: Store, shard: int) -> dict:
    """A failed shard and the last line of its reason."""
    lines = store.failure(shard).strip().splitlines() or ["no reason was noted"]
    return {"shard": shard, "reason": lines[-1]}


def flow_progress(path: Path, verify: bool = False) -> dict:
    """Steps of a flow, and how fast they are made where a job is at it.

    Arguments:
        path: folder of the flow.
        verify: read the weights too; "error" says what is wrong with them.
    """
    entry = {"trained": False, "step": 0, "steps": None, "running": 0, "holders": []}
    try:
        return entry | _flow_as_it_is(FlowFolder(path), verify)
    except OSError as error:  # of another user, for one
        return entry | {"error": file_trouble(error), "readable": False} | _pace(entry, [])


def _flow_as_it_is(flow: FlowFolder, verify: bool) -> dict:
    entry: dict = {"trained": False}
    for file in (flow.weights, flow.checkpoint):
        header = load_header(file)
        if header is not None:
            steps = header.get("settings", {}).get("steps")
            trained = file == flow.weights
            entry = {"trained": trained, "step": steps if trained else header.get("step", 0)}
            entry["steps"] = steps
            break
    for file in (flow.weights, flow.checkpoint) if verify else ():
        try:
            load_weights(file)
        except FileNotFoundError:
            continue
        except Damaged as error:
            entry |= {"error": str(error), "trained": False}
    if verify and flow.table.exists() and not _whole(store_progress(flow.table, verify=True)):
        entry |= {"error": f"{flow.table} is damaged"}
    drivers = [] if entry["trained"] else holders(flow.path)
    return entry | {"running": len(drivers), "holders": drivers} | _pace(entry, drivers)


def _whole(progress: Mapping) -> bool:
    return (
        "error" not in progress
        and progress["done"] == progress["shards"]
        and not progress["coordinates"]
    )


def _pace(entry: Mapping, drivers: list[dict]) -> dict:
    """Step and steps a second as the one at work notes them."""
    if not drivers or not drivers[0].get("seconds"):
        return {"steps_per_second": None, "seconds_left": None}
    driver = drivers[0]
    rate = driver["made"] / driver["seconds"]
    left = driver["steps"] - driver["step"]
    return {
        "step": driver["step"],
        "steps": driver["steps"],
        "steps_per_second": rate,
        "seconds_left": left / rate if rate else None,
    }


def core_rates(run: Path) -> dict[str, float]:
    """Rows a second of one process, by stage, as the drivers of the run noted them."""
    return {stage: rows / took for stage, (rows, took) in _work_by_stage(run).items() if took > 0}


def worker_seconds(run: Path, stage: str) -> float:
    """Seconds that processes have worked on the shards of a stage, as its drivers noted them."""
    return _work_by_stage(run).get(stage, (0, 0.0))[1]


def _work_by_stage(run: Path) -> dict[str, tuple[int, float]]:
    """Stage -> rows made, and seconds of one process that they took."""
    sums = {}
    for note in read_notes(RunFolder(run).rates, ("stage", "rows", "worker_seconds"))[0]:
        rows, seconds = sums.get(note["stage"], (0, 0.0))
        sums[note["stage"]] = rows + note["rows"], seconds + note["worker_seconds"]
    return sums
