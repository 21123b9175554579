"""Some rows of a store as a store of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create
from hpcsbi.store.store import Store

__all__ = ["copy_rows"]


def copy_rows(
    source: Store, path: Path, rows: np.ndarray, settings: Mapping[str, Any], shard: int
) -> Store:
    """Write some rows of all arrays, and all of what has no rows, with the same attributes.

    Arguments:
        source: a whole store.
        path: of the store to write.
        rows: ascending, shape (n,).
        settings: of the new store.
        shard: rows in one of its shards.
    """
    store = create(path, _arrays(source, len(rows)), settings, shard, _notice(source))
    for number in store.shards:
        some = rows[store.rows_of(number)]
        store.write(number, **{name: source.read(name, some) for name in source.sharded})
    return store


def _notice(source: Store) -> dict[str, str]:
    return {"notice": source.attributes.get("notice", "")}


def _arrays(source: Store, rows: int) -> dict[str, Array]:
    arrays = {}
    order = dict.fromkeys([*source.sharded, *source.arrays])  # that of the sharded ones is kept
    for name, array in ((name, source.arrays[name]) for name in order):
        values = None if name in source.sharded else source.read(name)
        shape = (rows, *array.shape[1:]) if values is None else array.shape
        dims = dict(zip(array.metadata.dimension_names, shape, strict=True))
        kind = "string" if str(array.dtype).startswith("StringDType") else str(array.dtype)
        arrays[name] = Array(dims, kind, array.attrs.asdict(), values)
    return arrays
