"""Which spectra are fitted: named ones, the first ones, or those with weak weights."""

import hashlib
from collections.abc import Sequence

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.store.opening import refuse_damage
from hpcsbi.store.store import Store

__all__ = ["checksum_of", "select_rows"]


def select_rows(
    objects: int | Sequence[str] | None, source: Store, catalogue: Store | None
) -> np.ndarray:
    """Rows of the spectra that are to be fitted, shape (n,); shards are read one after the other.

    Arguments:
        objects: ids, or a number of first rows; None for those that are flagged WEAK_WEIGHTS.
        source: spectra.zarr.
        catalogue: catalogue.zarr; only looked at without `objects`.

    Raises:
        BadInput: an unknown id.
        Incomplete: flags of the catalogue are damaged.
    """
    if objects is None:
        refuse_damage(catalogue, "infer", slice(0, catalogue.rows), ("flags",))
        return np.concatenate(
            [
                rows.start + np.flatnonzero(catalogue.read("flags", rows) & Flag.WEAK_WEIGHTS)
                for rows in map(catalogue.rows_of, catalogue.shards)
            ]
        )
    if isinstance(objects, int):
        return np.arange(min(objects, source.rows))
    asked = set(map(str, objects))
    known = {
        str(name): rows.start + i
        for rows in map(source.rows_of, source.shards)
        for i, name in enumerate(source.read("id", rows))
        if str(name) in asked
    }
    unknown = [name for name in map(str, objects) if name not in known]
    if unknown:
        raise BadInput(f"fit.objects: {source.path} has no spectrum {unknown[0]!r}.")
    return np.array([known[str(name)] for name in objects], dtype=int)


def checksum_of(rows: np.ndarray) -> str:
    """A checksum of row numbers, for settings."""
    return hashlib.blake2b(rows.astype("<i8").tobytes(), digest_size=16).hexdigest()
