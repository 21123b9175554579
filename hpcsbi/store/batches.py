"""Batches: the rows of a shard are made some at a time, and what is made is kept.

So a file may hold the work of minutes, and a survey few files, while a kill costs one batch. Kept
batches are numbers and text beside the marks; they go when their shard is whole.
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from hpcsbi.cluster.deadline import OutOfTime, leaves
from hpcsbi.cluster.executors import Enough, is_probe
from hpcsbi.store.files import Damaged, load_weights, save_weights
from hpcsbi.store.store import Store

__all__ = ["KEPT", "forget_batches", "reopen", "write_batches"]

KEPT = ".batches"  # folder in the store
Columns = dict[str, np.ndarray]


def write_batches(
    store: Store,
    shard: int,
    make: Callable[[slice], Columns],
    safe: Callable[[slice, Columns], None] = lambda rows, columns: None,
    ended: Callable[[slice, Columns], bool] = lambda rows, columns: True,
) -> None:
    """Make the batches of a shard that are not kept, and write it when all are there.

    Arguments:
        store: the store.
        shard: number of the shard.
        make: gives all sharded arrays of some rows, which follow from the rows alone.
        safe: called with rows and columns of each batch when no kill can lose it any more.
        ended: False for rows and columns that were kept and are to be made once more.

    Raises:
        OutOfTime: the job ends before the next batch would; the others are kept.
        Enough: in a probe, which need not wait for all batches.
    """
    batches, longest = store.batches_of(shard), 0.0
    if len(batches) == 1:
        columns = make(batches[0])
        store.write(shard, **columns)
        safe(batches[0], columns)
        return
    parts = []
    for rows in batches:
        columns = _kept(store, rows)
        if columns is None or not ended(rows, columns):
            if not leaves(2 * longest):
                raise OutOfTime(f"{store.path}: stopped in shard {shard} before row {rows.start}")
            began = time.monotonic()
            columns = _keep(store, rows, make(rows))
            seconds = time.monotonic() - began
            if is_probe() and longest:  # the first batch loads much
                raise Enough(shard, seconds * len(batches))
            longest = max(longest, seconds)
        safe(rows, columns)
        parts.append(columns)
    store.write(
        shard, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )
    forget_batches(store, [shard])


def reopen(store: Store, shard: int, again: Iterable[slice]) -> None:
    """Have some batches of a shard made once more; the others are kept, then its mark goes.

    Arguments:
        store: the store.
        shard: one that is done, whose files have their checksums.
        again: rows of the batches to be made.
    """
    again = list(again)
    for rows in store.batches_of(shard) if len(store.batches_of(shard)) > 1 else ():
        if rows in again:
            _place(store, rows).unlink(missing_ok=True)
        else:
            _keep(store, rows, {name: store.read(name, rows) for name in store.sharded})
    store.forget(shard)


def forget_batches(store: Store, shards: Iterable[int]) -> None:
    """Remove what is kept of shards that are done."""
    folder, shards = store.path / KEPT, set(shards)
    for path in folder.glob("*.safetensors") if folder.exists() else ():
        if int(path.stem) // store.shard in shards:
            path.unlink(missing_ok=True)


def _place(store: Store, rows: slice) -> Path:
    return store.path / KEPT / f"{rows.start:09d}.safetensors"


def _keep(store: Store, rows: slice, columns: Columns) -> Columns:
    """Columns in the types of the store, when they are on disk."""
    columns = {name: _as_stored(store, name, values) for name, values in columns.items()}
    tensors = {
        name: _as_bytes(values) if values.dtype == object else np.ascontiguousarray(values)
        for name, values in columns.items()
    }
    save_weights(_place(store, rows), tensors, {})
    return columns


def _kept(store: Store, rows: slice) -> Columns | None:
    """What was kept of a batch; None where there is nothing, or it is damaged."""
    try:
        tensors, _ = load_weights(_place(store, rows))
    except (FileNotFoundError, Damaged):
        return None
    return {
        name: _as_text(values) if _is_text(store, name) else values
        for name, values in tensors.items()
    }


def _as_stored(store: Store, name: str, values: np.ndarray) -> np.ndarray:
    return np.asarray(values, object if _is_text(store, name) else store.arrays[name].dtype)


def _is_text(store: Store, name: str) -> bool:
    return store.arrays[name].dtype.kind in "TUO"


def _as_bytes(values: np.ndarray) -> np.ndarray:
    text = np.vectorize(str, otypes=[object])(values).tolist()  # nested as the array is
    return np.frombuffer(json.dumps(text).encode(), np.uint8)


def _as_text(raw: np.ndarray) -> np.ndarray:
    return np.array(json.loads(raw.tobytes()), object)
