"""What calibration.zarr holds of each test pair."""

from collections.abc import Mapping

import numpy as np

from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.store.schema import Schema, empty_columns

__all__ = ["RANKS", "arrays_of", "columns_without_ranks"]

# Of what is published, and under flow_... of the flow alone.
RANKS: Schema = {
    "ranks": (("row", "parameter"), "int32", "draws below the truth; -1 where a column is given"),
    "joint_ranks": (("row", "joint"), "int32", ""),
    "derived_ranks": (("row", "quantity"), "int32", "of what follows from theta"),
    "tarp": (("row",), "float32", "draws closer to a random point than the truth"),
    **{name: (("row",), "float32", "") for name in P_VALUES},
    "n_draws": (("row",), "int32", ""),
}
ARRAYS: Schema = {
    "theta": (("row", "parameter"), "float64", ""),
    "possible": (("row",), "bool", "age below the Universe's"),
    "quantiles": (("row", "parameter", "level"), "float32", ""),
    "reweighted": (("row",), "bool", "draws are re-weighted ones"),
    "log_prob": (("row",), "float32", "log density of the truth, tau etc. in log10"),
    "acceptance": (("row",), "float32", ""),
}


def arrays_of(sizes: Mapping[str, int]) -> Schema:
    """The arrays of a calibration.

    Arguments:
        sizes: dimension -> length; without "quantity" there are no derived ones.
    """
    of_each = {name: about for name, about in RANKS.items() if {*about[0]} <= {*sizes}}
    return ARRAYS | of_each | {f"flow_{name}": about for name, about in of_each.items()}


def columns_without_ranks(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Columns of rows that are not judged: no numbers, no draws, ranks of -1.

    Arguments:
        sizes: see `arrays_of`.
    """
    columns = empty_columns(arrays_of(sizes), sizes)
    for name, values in columns.items():
        if name.endswith("ranks"):
            values[:] = -1
    return columns
