"""A table of what arrays a store has; the arrays and empty columns are made from it."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.store.layout import Array

__all__ = ["Schema", "empty_columns", "store_arrays"]

Schema = dict[str, tuple[tuple[str, ...], str, str]]
"""Name of an array -> its dimensions, its type, and what it is."""


def empty_columns(schema: Schema, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Columns of rows that hold no numbers: NaN, zero, False or no text.

    Arguments:
        schema: of the arrays.
        sizes: dimension -> length.
    """
    columns = {}
    for name, (dims, kind, _) in schema.items():
        shape = [sizes[dim] for dim in dims]
        if kind == "string":
            columns[name] = np.full(shape, "", object)
        else:
            columns[name] = np.full(shape, np.nan if np.dtype(kind).kind == "f" else 0, kind)
    return columns


def store_arrays(
    schema: Schema,
    sizes: Mapping[str, int],
    coordinates: Mapping[str, Sequence],
    attributes: Mapping[str, Mapping],
) -> dict[str, Array]:
    """Arrays of a store, and the coordinates that tell what their dimensions are.

    Arguments:
        schema: of the arrays.
        sizes: dimension -> length.
        coordinates: dimension -> names or numbers along it.
        attributes: name -> further attributes.
    """
    along = {
        dim: np.array(values, dtype=object if isinstance(values[0], str) else float)
        for dim, values in coordinates.items()
    }
    return {
        dim: Array(
            {dim: len(values)}, "string" if values.dtype == object else "float64", {}, values
        )
        for dim, values in along.items()
    } | {
        name: Array(
            {dim: sizes[dim] for dim in dims},
            kind,
            ({"long_name": text} if text else {}) | dict(attributes.get(name, {})),
        )
        for name, (dims, kind, text) in schema.items()
    }
