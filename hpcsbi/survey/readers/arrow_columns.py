"""Columns of Arrow tables as numpy arrays: ids, numbers, and vectors of any length in each row."""

from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute

from hpcsbi.errors import BadInput
from hpcsbi.survey.record.ids import check_ids
from hpcsbi.survey.record.spectra import Vectors

__all__ = ["TEXTS", "VECTORS", "check_type", "column_values"]

TEXTS = ("id", "survey", "program", "key")
VECTORS = ("wave", "flux", "ivar")


def check_type(name: str, kind: pyarrow.DataType) -> None:
    """Refuse a column that cannot be what it is called: one of TEXTS, one of VECTORS, or numbers.

    Raises:
        ValueError: with the type.
    """
    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if name in TEXTS:
        if types.is_boolean(kind) or types.is_nested(kind):
            raise BadInput(f"{name} holds {kind}, not integers or text")
        return check_ids("f" if types.is_floating(kind) else "", name)
    if name in VECTORS:
        if not hasattr(kind, "value_type"):
            raise BadInput(f"{name} holds one {kind} a row, not a list of numbers")
        kind = kind.value_type
    numbers = (types.is_floating, types.is_integer, types.is_boolean, types.is_null)
    if not any(is_kind(kind) for is_kind in numbers):
        raise BadInput(f"{name} holds {kind}, not numbers")
    return None


def column_values(name: str, values: pyarrow.Array) -> Any:
    """Values of a column as numpy arrays: vectors as in `Spectra`, texts as a list, else floats."""
    if isinstance(values, pyarrow.ChunkedArray):
        values = pyarrow.concat_arrays(values.chunks)
    if pyarrow.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if name in TEXTS:
        kind = values.type
        # As bytes: one odd byte in one id must not lose the others.
        if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
            values = values.cast(pyarrow.large_binary())
        return values.to_pylist()
    if name in VECTORS:
        return _vectors(values)
    return values.to_numpy(zero_copy_only=False).astype(float)


def _vectors(lists: pyarrow.Array) -> Vectors:
    """Lists of numbers without copies of their own: (rows, pixel) where their lengths agree."""
    if pyarrow.types.is_fixed_size_list(lists.type):
        starts = (np.arange(len(lists)) + lists.offset) * lists.type.list_size
        stops = starts + lists.type.list_size
    elif hasattr(lists, "sizes"):  # list views
        starts = lists.offsets.to_numpy()
        stops = starts + lists.sizes.to_numpy()
    else:
        starts, stops = lists.offsets.to_numpy()[:-1], lists.offsets.to_numpy()[1:]
    flat = lists.values.to_numpy(zero_copy_only=False).astype(float, copy=False)
    there = compute.is_valid(lists).to_numpy(zero_copy_only=False)
    if (
        there.all()
        and len(set((stops - starts).tolist())) == 1
        and (starts[1:] == stops[:-1]).all()
    ):
        return flat[starts[0] : stops[-1]].reshape(len(lists), -1)
    return [flat[a:b] if ok else None for a, b, ok in zip(starts, stops, there, strict=True)]
