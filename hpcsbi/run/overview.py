"""A catalogue in a few numbers an object, read piece by piece: what figures of all objects take."""

from collections.abc import Iterator, Sequence

import numpy as np

from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.store.store import Store

__all__ = ["overview", "percentiles"]

PIECE = 65_536  # rows in memory with all their quantiles
PLAIN = ("zred", "flags", "n_draws", "chi2", "ess", "pareto_k", *P_VALUES)
THETA = ("logmass", "logzsol")
DERIVED = ("logmass_surviving", "sfr_100myr", "mass_weighted_age", "halpha_ew")
ENDS = [[*QUANTILES].index(level) for level in ("p16", "p50", "p84")]


def overview(store: Store, rows: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Medians and checks of all objects, about 60 bytes each.

    Arguments:
        store: catalogue.zarr.
        rows: ascending, one or more.
        names: theta's columns.

    Returns:
        PLAIN, and medians of THETA and DERIVED, as far as the catalogue has them, each of shape
        (rows,); flags and n_draws int32, all else float32.
    """
    pieces = [
        _plain(store, piece)
        | {name: values[:, 1] for name, values in percentiles(store, piece, names).items()}
        for piece in _pieces(rows)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def percentiles(
    store: Store, rows: slice | np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The 16th, 50th and 84th percentile of THETA and DERIVED, each float32 of shape (rows, 3).

    Arguments:
        store: catalogue.zarr.
        rows: some of them.
        names: theta's columns.
    """
    along = {
        "quantiles": (names, THETA),
        "derived_quantiles": ([each.name for each in QUANTITIES], DERIVED),
    }
    columns = {}
    for array, (known, wanted) in along.items():
        if array in store.arrays:
            values = store.read(array, rows)[:, ENDS].astype(np.float32)
            columns |= {each: values[..., known.index(each)] for each in wanted if each in known}
    return columns


def _plain(store: Store, rows: slice | np.ndarray) -> dict[str, np.ndarray]:
    columns = {name: store.read(name, rows) for name in PLAIN if name in store.arrays}
    kinds = {"flags": np.int32, "n_draws": np.int32}
    return {name: values.astype(kinds.get(name, np.float32)) for name, values in columns.items()}


def _pieces(rows: np.ndarray) -> Iterator[slice | np.ndarray]:
    """Rows, some at a time: as a slice, which is read much faster, where they are neighbours."""
    for start in range(0, len(rows), PIECE):
        piece = rows[start : start + PIECE]
        whole = piece[-1] - piece[0] + 1 == len(piece)
        yield slice(int(piece[0]), int(piece[-1]) + 1) if whole else piece
