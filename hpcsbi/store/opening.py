"""Stores made and opened: by the settings that made them, complete, and with undamaged files."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hpcsbi.cluster import this_job
from hpcsbi.errors import BadInput
from hpcsbi.store.files import ABANDONED, Damaged, there
from hpcsbi.store.layout import MARKS, Array, lay_out, shard_rows
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.store import MISSING, Store

__all__ = [
    "PATIENCE",
    "Incomplete",
    "create",
    "open_complete",
    "open_store",
    "refuse_damage",
    "wait_for_marks",
]

# Seconds until a mark must be seen that another machine has set; see `files.look_again`.
PATIENCE = 45.0
MEND = "Choose another name=... or run=..., remove the store, or ask for the old settings."


class Incomplete(BadInput):
    """A store lacks shards that a later stage needs."""


def create(
    path: str | Path,
    arrays: Mapping[str, Array],
    settings: Mapping[str, Any],
    shard: int,
    attributes: Mapping[str, Any] | None = None,
) -> Store:
    """Make a store, or open the one that the same settings made before.

    Arguments:
        path: folder of the store.
        arrays: name -> Array; those without values share their first dimension, the rows.
        settings: plain numbers, names and lists that decide the store's contents.
        shard: rows in a shard at least; see `layout.shard_rows`.
        attributes: further attributes that decide nothing (legends, notices).

    Raises:
        Mismatch: the store exists and was made with other settings.
        Damaged: something else is at `path`.
    """
    path = Path(path)
    settings = json.loads(json.dumps(settings))
    if path.exists():
        store = open_store(path, check=False)
        existing = {**store.settings, "shard": store.batch}
        refuse_other_settings(path, existing, {**settings, "shard": shard}, MEND)
        _mend_coordinates(store, arrays)
        return open_store(path)
    sharded = {name: array for name, array in arrays.items() if array.values is None}
    rows = {next(iter(array.dims.values())) for array in sharded.values()}
    if len(rows) != 1 or shard < 1:
        raise BadInput(f"{path}: arrays of {sorted(rows)} rows in shards of {shard}.")
    rows = rows.pop()
    store_attributes = {
        "settings": settings,
        "rows": rows,
        "shard": shard_rows(arrays, rows, shard),
    }
    store_attributes |= {"batch": shard, "sharded": list(sharded)}
    # Made under another name first: a killed run must not leave half a store. Tasks of an array
    # come here together; the first to be ready wins, and what a dead one left is swept by age.
    for left in path.parent.glob(f"{path.name}.*.partial"):
        with suppress(FileNotFoundError):  # another part removes it too
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
    half = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    lay_out(half, arrays, {**(attributes or {}), **store_attributes}, store_attributes["shard"])
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(half, path)
    except OSError:
        if not path.exists():
            raise
        shutil.rmtree(half)
        return create(path, arrays, settings, shard, attributes)
    return Store(path)


def open_store(path: str | Path, check: bool = True) -> Store:
    """Open a store as it stands.

    Arguments:
        path: folder of the store.
        check: refuse damaged coordinates.

    Raises:
        FileNotFoundError: there is no store.
        Damaged: it is not a store of this project.
    """
    path = Path(path)
    if not there(path):
        raise FileNotFoundError(f"{path} does not exist: run the stage that makes it first.")
    store = Store(path)
    _refuse_foreign(store)
    if check and (bad := store.damaged_coordinates()):
        raise Damaged(
            f"{path}: array {bad[0]} is damaged: run the stage that makes the store again, or "
            "remove it first if it says the same."
        )
    return store


def _refuse_foreign(store: Store) -> None:
    """Raise where the attributes are none of ours, or do not fit the arrays."""
    known = store.attributes
    if not {"settings", "rows", "shard", "sharded"} <= known.keys():
        raise Damaged(
            f"{store.path} is a Zarr store but none of hpcsbi: choose another run=... or name=..."
        )
    if not _fits(known, store.arrays):
        raise Damaged(
            f"{store.path}: attributes and arrays of its zarr.json do not fit: remove the store "
            "and run the stage that makes it again."
        )
    if not (store.path / MARKS).is_dir():
        raise Damaged(
            f"{store.path} has no folder {MARKS}, which tells what of it is done: copy it whole "
            "(cp -a STORE, not STORE/*), or remove it and run the stage that makes it again."
        )


def _fits(known: Mapping[str, Any], arrays: Mapping[str, Any]) -> bool:
    """Whether attributes are of their types, and speak of the arrays that are there."""
    counts = [known["rows"], known["shard"], known.get("batch", known["shard"])]
    types = {"settings": dict, "sharded": list, "checksums": dict}
    if not all(isinstance(known.get(name, kind()), kind) for name, kind in types.items()):
        return False
    if not all(isinstance(count, int) for count in counts) or min(counts[1:]) < 1:
        return False
    names = [name for name in known["sharded"] if isinstance(name, str) and name in arrays]
    return len(names) == len(known["sharded"]) and all(
        arrays[name].shape[:1] == (known["rows"],) for name in names
    )


def open_complete(path: str | Path, stage: str, verify: bool = True) -> Store:
    """Open a store of which every shard is there and undamaged.

    Arguments:
        path: folder of the store.
        stage: the job that makes it, named in the error.
        verify: compare all files with their checksums; who reads some rows trusts the marks, and
            has their files compared by `refuse_damage`.

    Raises:
        Incomplete: shards are missing, failed or damaged.
    """
    store = open_store(path)
    states = store.states()
    if late := [shard for shard, state in states.items() if state == MISSING]:
        # The stage before may just have ended.
        wait_for_marks(store, late, PATIENCE if this_job.number() else 0.0)
        states = store.states()
    _refuse_bad(store, stage, store.states(verify=True) if verify else states)
    return store


def wait_for_marks(store: Any, made: Iterable[int], patience: float) -> None:
    """Wait until the marks of shards that were made, maybe on another machine, are seen.

    Arguments:
        store: a `Store`, or what has its methods.
        made: numbers of the shards.
        patience: seconds.
    """
    end, pause, made = time.monotonic() + patience, 0.05, list(made)
    while any(state != "done" for state in store.states(made).values()):
        store.look_again()
        if time.monotonic() > end:
            return
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def refuse_damage(
    store: Store, stage: str, rows: slice | np.ndarray, names: Collection[str] = ()
) -> None:
    """Raise unless the files of the shards of some rows have their checksums.

    Arguments:
        store: the store.
        stage: the job that makes it, named in the error.
        rows: rows that are read.
        names: of the arrays that are read; none for all.

    Raises:
        Incomplete: shards of these rows are missing, failed or damaged.
    """
    states = store.states(store.shards_of(rows), verify=True, names=names)
    _refuse_bad(store, stage, states)


def _refuse_bad(store: Store, stage: str, states: Mapping[int, str]) -> None:
    bad = {shard: state for shard, state in states.items() if state != "done"}
    if bad:
        first, state = next(iter(bad.items()))
        rows = store.rows_of(first)
        raise Incomplete(
            f"{store.path}: {len(bad)} of {len(store.shards)} shards are not there, first shard "
            f"{first} (rows {rows.start}-{rows.stop - 1}, {state}): run jobs/{stage}.py again, it "
            "makes only what is missing."
        )


def _mend_coordinates(store: Store, arrays: Mapping[str, Array]) -> None:
    """Write damaged coordinates again; the same settings make the same ones."""
    for name in store.damaged_coordinates():
        values = arrays[name].values if name in arrays else None
        if values is not None and values.shape == store.arrays[name].shape:
            print(f"{store.path}: array {name} is damaged and made again.", flush=True)
            store.arrays[name][...] = values
