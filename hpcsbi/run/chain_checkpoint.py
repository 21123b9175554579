"""The chains of fits.zarr on disk: what each goes on from, after a kill or with more steps."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpcsbi.cluster.deadline import OutOfTime, leaves
from hpcsbi.mcmc.chain import Chain, Settings, Target, advance, is_finished
from hpcsbi.store.files import load_weights, save_weights
from hpcsbi.store.machine import machine, machine_difference
from hpcsbi.store.store import Store

__all__ = ["batches_to_extend", "forget_checkpoints", "has_ended", "run_chain"]

CHECKPOINT = 60.0  # seconds between two of one chain: most chains are shorter
STATES = ".states"  # folder in the store: chains under way, and those that have not converged


def run_chain(
    store: Store,
    row: int,
    name: str,
    target: Target,
    first: Callable[[], Chain],
    settings: Settings,
) -> Chain:
    """The chain of one object, from its checkpoint or from the start, to its end.

    Arguments:
        store: fits.zarr.
        row: the object's row in it.
        name: the object's id, for the error.
        target: what is sampled.
        first: makes the chain before its first step; called where there is no checkpoint.
        settings: when the chain ends.

    Raises:
        OutOfTime: the job ends first; the chain goes on from its checkpoint.
        Damaged: the checkpoint is.
    """
    path = _checkpoint(store, row)
    chain = _load(path) if path.exists() else first()
    longest, saved = 0.0, time.monotonic()
    while not is_finished(chain, settings):
        if not leaves(2 * longest):
            if longest:
                _save(path, chain)
            raise OutOfTime(f"{store.path}: stopped in {name} at step {chain.steps}")
        began = time.monotonic()
        chain = advance(chain, target, settings)
        now = time.monotonic()
        longest = max(longest, now - began)
        if now - saved > CHECKPOINT:
            _save(path, chain)
            saved = now
    if longest and chain.steps >= settings.steps:  # it may go on with more of them
        _save(path, chain)
    return chain


def batches_to_extend(store: Store, steps: int, shard: int) -> list[slice]:
    """Batches of a shard with a chain that has not converged, and may be longer now.

    Arguments:
        store: fits.zarr.
        steps: of the longest chain now.
        shard: number of a shard that is done.
    """
    rows = store.rows_of(shard)
    names = ("converged", "n_steps")
    whole = {name: store.read(name, rows) for name in names}
    return [
        some
        for some in store.batches_of(shard)
        if not has_ended(
            store,
            steps,
            some,
            {name: whole[name][some.start - rows.start : some.stop - rows.start] for name in names},
        )
    ]


def has_ended(store: Store, steps: int, rows: slice, columns: dict[str, np.ndarray]) -> bool:
    """False where a chain has not converged, and may be longer now.

    Arguments:
        store: fits.zarr.
        steps: of the longest chain now.
        rows: of a batch.
        columns: its "converged" and "n_steps", shape (rows,).
    """
    short = np.flatnonzero(~columns["converged"] & (columns["n_steps"] < steps))
    return not any(_checkpoint(store, rows.start + i).exists() for i in short)


def forget_checkpoints(store: Store, rows: slice, columns: dict[str, np.ndarray]) -> None:
    """Remove those of chains that have converged, and whose columns are on disk.

    Arguments:
        store: fits.zarr.
        rows: of a batch.
        columns: its "converged", shape (rows,).
    """
    for i in np.flatnonzero(columns["converged"]):
        _checkpoint(store, rows.start + i).unlink(missing_ok=True)


def _checkpoint(store: Store, row: int) -> Path:
    return store.path / STATES / f"{row:06d}.safetensors"


def _save(path: Path, chain: Chain) -> None:
    save_weights(path, chain.tensors(), {"machine": machine()})


def _load(path: Path) -> Chain:
    tensors, header = load_weights(path)
    if text := machine_difference(header.get("machine", machine())):
        print(f"{path}: {text}.", flush=True)
    return Chain.from_tensors(tensors)
