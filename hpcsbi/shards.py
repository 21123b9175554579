"""The shards of a store, made wherever the cluster is, each noted as it ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpcsbi.cluster import Cluster, Finished, Outcome
from hpcsbi.errors import Unfinished

__all__ = ["Costs", "Elsewhere", "run_shards"]


class Elsewhere(RuntimeError):
    """This part of the work is done; the rest belongs to other parts."""


@dataclass(frozen=True)
class Costs:
    """A receipt that tells what the work on a shard cost.

    Arguments:
        rows: rows made.
        seconds: CPU seconds by part of the work.
    """

    rows: int
    seconds: Mapping[str, float]


def run_shards(
    function: Callable[[int], Any],
    store: Any,
    cluster: Cluster,
    title: str,
    threads: bool = False,
) -> dict[int, Any]:
    """Make every shard of a store that is not there, with a progress bar.

    Arguments:
        function: makes and writes one shard, given its number; returns a small receipt, of which
            `Costs` are noted.
        store: has `locked`, `sweep`, `states`, `mark_failed`, `note_cost`.
        cluster: where to run.
        title: name of the stage, for the bar.
        threads: see `Cluster.map`.

    Returns:
        Receipts of the shards made now.

    Raises:
        Held: another driver is at work on the store.
        RuntimeError: shards failed; all others are done and kept.
        OSError: the disk is full.
        OutOfTime: the job ends first.
        Elsewhere: the shards of this part are done, those of others are not.
    """
    part, receipts = cluster.part(), {}
    index, count = part or (0, 1)
    mine = [shard for shard in store.shards if shard % count == index]
    with store.locked(part) as lock:
        if part is None:
            store.sweep()
        states = store.states(mine, verify=True)
        for shard, state in states.items():
            if state == "damaged":
                print(f"{store.path}: shard {shard} is damaged and made again.", flush=True)
        # A worker that was taken for lost may still have removed a shard which another one made.
        for again in (False, True):
            leave = ("done", "failed") if again else ("done",)
            todo = [shard for shard in mine if states[shard] not in leave]
            if not todo:
                break
            outcomes = cluster.map(function, todo, threads=threads)
            receipts |= _drive(outcomes, store, cluster, lock, title, len(mine) - len(todo))
            states = store.states(mine)
        if part is None:
            store.sweep()  # a worker killed in the middle of a file leaves half of it
    _refuse_failures(store, states, title)
    if part is not None and any(state != "done" for state in store.states().values()):
        raise Elsewhere(
            f"{title}: part {index} of {count} is done ({len(mine)} shards). When all are, run "
            f"jobs/{title}.py with cluster=serial to finish."
        )
    return receipts


def _drive(
    outcomes: Iterator[tuple[int, Outcome]],
    store: Any,
    cluster: Cluster,
    lock: Any,
    title: str,
    done: int,
) -> dict[int, Any]:
    """Note what becomes of each shard."""
    from tqdm import tqdm

    receipts, seconds, began = {}, 0.0, time.time()
    bar = tqdm(total=len(store.shards), initial=done, desc=title, unit="shard")
    try:
        for shard, outcome in outcomes:
            bar.update()
            lock.note(workers=cluster.workers, made=len(receipts))
            if isinstance(outcome, Finished):
                receipts[shard] = outcome.receipt
                seconds += outcome.seconds
                continue
            if outcome.fatal:
                raise OSError(f"{store.path}: {outcome.reason.splitlines()[-1]}")
            store.mark_failed(shard, outcome.reason)
    finally:
        bar.close()
        if receipts:
            rows = sum(store.rows_of(shard).stop - store.rows_of(shard).start for shard in receipts)
            store.note_cost(title, rows, len(receipts), seconds, time.time() - began)
            _note_parts(store, title, list(receipts.values()), time.time() - began)
    return receipts


def _note_parts(store: Any, title: str, receipts: list[Any], wall_seconds: float) -> None:
    """A line for each part of the work that receipts tell the cost of."""
    told = [one for one in receipts if isinstance(one, Costs) and one.rows]
    for name in dict.fromkeys(name for one in told for name in one.seconds):
        some = [one for one in told if name in one.seconds]
        rows, seconds = sum(one.rows for one in some), sum(one.seconds[name] for one in some)
        store.note_cost(f"{title}: {name}", rows, len(some), seconds, wall_seconds)


def _refuse_failures(store: Any, states: dict[int, str], title: str) -> None:
    failed = [shard for shard, state in states.items() if state == "failed"]
    if failed:
        raise Unfinished(
            f"{title}: {len(failed)} of {len(states)} shards failed, the others are kept. "
            f"Shard {failed[0]}:\n{store.failure(failed[0])}\nRun jobs/{title}.py with the same "
            "options again to make only what is missing."
        )
