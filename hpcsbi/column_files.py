"""Spectra in columns, as users keep their own: Parquet tables and numpy's .npz files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from hpcsbi.errors import BadInput
from hpcsbi.records import Spectra, per_angstrom

__all__ = ["COLUMNS", "COLUMN_FILES", "from_columns"]

COLUMNS = ("id", "zred", "wave", "flux", "ivar", "ebv", "distance")


def from_columns(columns: Mapping[str, np.ndarray], unit: float) -> Spectra:
    """The record of some rows of columns.

    Raises:
        ValueError: flux is not one vector in each row.
    """
    flux = np.asarray(columns["flux"], dtype=float)
    if flux.ndim != 2:
        raise BadInput("FLUX is not one vector of equal length in each row: pad with ivar 0")
    rest = {name: np.asarray(columns[name], dtype=float) for name in COLUMNS[1:] if name in columns}
    names = [_text(value) for value in columns["id"]]
    return Spectra(**{**rest, "flux": flux}, id=names, unit=unit)


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _from_npz(path: Path, usual: str, count: bool = False) -> Any:
    """Number of rows, or columns and unit, of arrays written by numpy.savez."""
    with np.load(path, allow_pickle=False) as file:
        _check_columns(file.files)
        unit = per_angstrom(str(file["flux_unit"]) if "flux_unit" in file else usual, "flux_unit")
        rows = len(file["zred"])
        if count:
            return rows
        columns = {name: file[name] for name in COLUMNS if name in file}
    if columns["wave"].ndim == 1:
        columns["wave"] = np.broadcast_to(columns["wave"], columns["flux"].shape)
    return columns, unit


def _from_parquet(path: Path, usual: str, count: bool = False) -> Any:
    """Number of rows, or columns and unit, of a Parquet table with lists in its rows."""
    schema = parquet.read_schema(path)
    _check_columns(schema.names)
    unit = per_angstrom(
        (schema.metadata or {}).get(b"flux_unit", usual.encode()).decode(), "flux_unit"
    )
    if count:
        return parquet.read_metadata(path).num_rows
    table = parquet.read_table(path, columns=[name for name in COLUMNS if name in schema.names])
    vectors = {"wave", "flux", "ivar"}
    columns = {
        name: np.array(table[name].to_pylist(), dtype=float)
        if name in vectors
        else np.array(table[name].to_pylist())
        for name in table.column_names
    }
    return columns, unit


def _check_columns(names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS[:5] if name not in names]
    if missing:
        raise BadInput(f"holds {', '.join(names)}, but lacks {', '.join(missing)}")


COLUMN_FILES = {".npz": _from_npz, ".parquet": _from_parquet}
