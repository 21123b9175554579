"""The shards of a store, made wherever the cluster is, each noted as it ends."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hpcsbi.cluster.executors import Cluster, Finished, Outcome
from hpcsbi.errors import Unfinished
from hpcsbi.store.batches import forget_batches, reopen
from hpcsbi.store.machine import leave_word, machine_difference, machines_of
from hpcsbi.store.opening import PATIENCE, wait_for_marks
from hpcsbi.store.provenance import code_of
from hpcsbi.terminal import progress
from hpcsbi.threads import use_one_thread

__all__ = ["Costs", "Elsewhere", "run_shards"]

NAMED = 5


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
    again: Callable[[int], Sequence[slice]] = lambda shard: (),
) -> dict[int, Any]:
    """Make every shard of a store that is not there, with a progress bar.

    It returns only when every shard of this driver is done and its mark is seen.

    Arguments:
        function: makes and writes one shard, given its number; returns a small receipt, of which
            `Costs` are noted.
        store: a `Store`, or what has its attributes that are used here.
        cluster: where to run.
        title: name of the stage, for the bar.
        threads: see `Cluster.map`.
        again: of a shard that is done, the batches that are to be made again.

    Returns:
        Receipts of the shards made now.

    Raises:
        Held: another driver is at work on the store.
        Unfinished: shards failed, or are not there; all others are done and kept.
        OSError: the disk is full.
        OutOfTime: the job ends first.
        Elsewhere: the shards of this part are done, those of others are not.
    """
    part, receipts = cluster.part(), {}
    index, count = part or (0, 1)
    mine = [shard for shard in store.shards if shard % count == index]
    code = store.settings.get("code")  # none where shards are only copied
    work = function if code is None else partial(_vouched, function, store.path, title, code)
    with store.locked(part) as lock:
        if part is None:
            store.sweep()
        states = _states_before(store, mine, again)
        # A worker that was taken for lost may still have removed a shard which another one made.
        for leave in (("done",), ("done", "failed")):
            todo = [shard for shard in mine if states[shard] not in leave]
            if not todo:
                break
            outcomes = cluster.map(work, todo, threads=threads)
            made = _drive(outcomes, store, cluster, lock, title, len(mine) - len(todo))
            receipts |= made
            wait_for_marks(store, made, PATIENCE)
            states = store.states(mine)
        # Left by a worker that was taken for lost, while another one made the shard.
        forget_batches(store, [shard for shard, state in states.items() if state == "done"])
        if part is None:
            store.sweep()  # a worker killed in the middle of a file leaves half of it
    _refuse_unfinished(store, states, title)
    if part is None:
        return receipts
    store.look_again()
    if any(state != "done" for state in store.states().values()):
        raise Elsewhere(f"{title}: part {index} of {count} is done ({len(mine)} shards)")
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
    receipts, seconds, began = {}, 0.0, time.time()
    bar = progress(len(store.shards), done, title, "shard")
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
    told = [receipt for receipt in receipts if isinstance(receipt, Costs) and receipt.rows]
    for name in dict.fromkeys(name for receipt in told for name in receipt.seconds):
        some = [receipt for receipt in told if name in receipt.seconds]
        rows, seconds = (
            sum(receipt.rows for receipt in some),
            sum(receipt.seconds[name] for receipt in some),
        )
        store.note_cost(f"{title}: {name}", rows, len(some), seconds, wall_seconds)


def _states_before(
    store: Any, mine: list[int], again: Callable[[int], Sequence[slice]]
) -> dict[int, str]:
    """States of shards before the work; what is to be made once more is forgotten."""
    store.look_again()
    states = store.states(mine, verify=True)
    for shard, state in states.items():
        if state == "damaged":
            print(f"{store.path}: shard {shard} is damaged and made again.", flush=True)
        elif state == "done" and (batches := again(shard)):
            reopen(store, shard, batches)
            states[shard] = "missing"
    for other in machines_of(store.path) if set(states.values()) != {"done"} else ():
        if text := machine_difference(other):
            print(f"{store.path}: {text}.", flush=True)
    return states


def _vouched(
    function: Callable[[int], Any], folder: Path, stage: str, code: str, shard: int
) -> Any:
    """Make a shard, unless this worker began after the code was changed, or has another one."""
    if code_of(stage) != code:
        raise Unfinished(
            "the code that this worker has is not the one that began the store (a git pull, or "
            "another installation on this node): start the job again with one version for all."
        )
    leave_word(folder)
    use_one_thread()
    return function(shard)


def _refuse_unfinished(store: Any, states: Mapping[int, str], title: str) -> None:
    failed = [shard for shard, state in states.items() if state == "failed"]
    if failed:
        raise Unfinished(
            f"{title}: {len(failed)} of {len(states)} shards failed, the others are kept. "
            f"Shard {failed[0]}:\n{store.failure(failed[0])}\nRun jobs/{title}.py with the same "
            "options again to make only what is missing."
        )
    lost = [shard for shard, state in states.items() if state != "done"]
    if lost:
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        raise Unfinished(
            f"{title}: {len(lost)} of {len(states)} shards of {store.path} are not there although "
            f"they were made (shard {', '.join(map(str, lost[:NAMED]))}{more}): something removes "
            f"them, or this machine does not see what its workers write. Run jobs/{title}.py with "
            "the same options again to make only what is missing."
        )
