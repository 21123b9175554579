"""Spectra in columns, as users keep their own: Parquet tables and numpy's .npz files, streamed."""

import struct
import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.arrow_columns import TEXTS, VECTORS, check_type, column_values
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.ids import check_ids, names_or, row_names
from hpcsbi.survey.record.spectra import Spectra, per_angstrom

__all__ = ["COLUMNS", "COLUMN_FILES", "ColumnFile", "from_columns", "identity_of"]

COLUMNS = ("id", "zred", "wave", "flux", "ivar", "ebv", "distance")
COLUMNS += ("ra", "dec", *TEXTS[1:])
ROWS = 64  # of a Parquet file that are unpacked at once
BUFFER = 1 << 20  # bytes of a Parquet column that are held at once


class ColumnFile(Protocol):
    """A file with a column for each of COLUMNS.

    Arguments:
        source: its path, or its unpacked contents.
        usual: unit of flux, unless the file names its own.
        stem: what a row without an id is called after.
    """

    rows: int
    unit: float
    ignored: list[str]

    def ids(self) -> list[str]:
        """Name of each row, as `read` has it."""

    def keys(self) -> list[str]:
        """Key of each row, as `read` has it."""

    def read(self, rows: slice) -> Spectra:
        """Some rows; cheapest in order."""


def from_columns(columns: Mapping[str, Any], unit: float, names: Sequence[str]) -> Spectra:
    """The record of some rows of columns.

    Arguments:
        columns: see COLUMNS; vectors as in `Spectra`.
        unit: erg/s/cm2/A of one unit of flux.
        names: ids for rows that have none.
    """
    scalars = {
        name: np.ma.filled(np.ma.asarray(columns[name]).astype(float), np.nan)
        for name in ("zred", "ebv", "distance")
        if name in columns
    }
    vectors = {name: columns[name] for name in VECTORS}
    ids, identity = names_or(columns["id"], names), identity_of(columns, names)
    return Spectra(**vectors, **scalars, unit=unit, id=ids, identity=identity)


def identity_of(columns: Mapping[str, Any], names: Sequence[str]) -> Identity:
    """Who some rows of columns are; the key of a row that has none is the name that is given."""
    none = [""] * len(names)
    place = (
        np.ma.filled(np.ma.asarray(columns.get(name, np.nan)).astype(float), np.nan)
        for name in ("ra", "dec")
    )
    survey, program = (names_or(columns.get(name, none), none) for name in ("survey", "program"))
    return Identity(names_or(columns.get("key", none), names), survey, program, *place)


class Npz:
    """See `ColumnFile`: arrays written by numpy.savez, mapped where they are not compressed."""

    def __init__(self, source: Path | bytes, usual: str, stem: str) -> None:
        self.stem, self._source = stem, source
        with _open(source) as raw, zipfile.ZipFile(raw) as file:
            members = {each.filename.removesuffix(".npy"): each for each in file.infolist()}
            if locked := [name for name, member in members.items() if member.flag_bits & 1]:
                raise BadInput(f"{locked[0]} is locked with a password: save it without")
            _check_columns(list(members))
            self._heads = {name: _head(raw, file, each) for name, each in members.items()}
            self._members = members
        self.rows = self._check_shapes()
        unit = str(self._load("flux_unit")) if "flux_unit" in members else usual
        self.unit = per_angstrom(unit, "flux_unit")
        self.ignored = sorted(set(members) - {*COLUMNS, "flux_unit"})

    def ids(self) -> list[str]:
        """See `ColumnFile`."""
        return names_or(self._load("id"), row_names(self.stem, slice(0, self.rows)))

    def keys(self) -> list[str]:
        """See `ColumnFile`."""
        columns = {"key": self._load("key")} if "key" in self._members else {}
        return [*identity_of(columns, row_names(self.stem, slice(0, self.rows))).key]

    def read(self, rows: slice) -> Spectra:
        """See `ColumnFile`."""
        arrays = self._arrays
        columns = {
            name: np.array(v) if v.ndim == 1 and name == "wave" else np.array(v[rows])
            for name, v in arrays.items()
        }
        for name in VECTORS:
            columns[name] = columns[name].astype(float, copy=False)
        return from_columns(columns, self.unit, row_names(self.stem, rows))

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: self._load(name) for name in COLUMNS if name in self._members}

    def _load(self, name: str) -> np.ndarray:
        """An array: mapped from the file, or unpacked."""
        (shape, fortran, dtype), start = self._heads[name]
        # Nothing, and what is compressed, cannot be mapped.
        if not start or not isinstance(self._source, Path) or not shape or not np.prod(shape):
            with np.load(_file(self._source), allow_pickle=False) as file:
                return file[name]
        order = "F" if fortran else "C"
        return np.memmap(self._source, dtype, "r", offset=start, shape=shape, order=order)

    def _check_shapes(self) -> int:
        """Number of spectra, if all arrays fit."""
        shapes = {name: self._heads[name][0][0] for name in COLUMNS if name in self._heads}
        if len(shapes["flux"]) != 2:
            raise BadInput(
                f"flux has shape {shapes['flux']}: it takes (spectra, pixels), also for one"
            )
        rows, pixels = shapes["flux"]
        right = dict.fromkeys(shapes, ((rows,),)) | {"flux": ((rows, pixels),)}
        right |= {"ivar": ((rows, pixels),), "wave": ((pixels,), (rows, pixels))}
        for name, shape in shapes.items():
            if shape not in right[name]:
                wanted = " or ".join(map(str, right[name]))
                raise BadInput(
                    f"{name} has shape {shape}, but flux {shapes['flux']} asks for {wanted}"
                )
        kinds = {name: self._heads[name][0][2].kind for name in shapes}
        for name in {"id", "key"} & set(kinds):
            check_ids(kinds[name], name)
        for name in {*TEXTS} & set(kinds):
            del kinds[name]
        for name, kind in kinds.items():
            if kind not in "fiub":
                raise BadInput(f"{name} holds {self._heads[name][0][2]}, not numbers")
        return rows


class Parquet:
    """See `ColumnFile`: a Parquet table with lists in its rows, read a block at a time."""

    def __init__(self, source: Path | bytes, usual: str, stem: str) -> None:
        self.stem = stem
        self._file = parquet.ParquetFile(_file(source), buffer_size=BUFFER, pre_buffer=False)
        schema = self._file.schema_arrow
        _check_columns(schema.names)
        for name in set(COLUMNS) & set(schema.names):
            check_type(name, schema.field(name).type)
        unit = (schema.metadata or {}).get(b"flux_unit", usual.encode()).decode()
        self.unit = per_angstrom(unit, "flux_unit")
        self.rows = self._file.metadata.num_rows
        self.ignored = sorted(set(schema.names) - set(COLUMNS))
        self._names = [name for name in COLUMNS if name in schema.names]
        groups = range(self._file.num_row_groups)
        lengths = [self._file.metadata.row_group(k).num_rows for k in groups]
        self._starts = np.cumsum([0, *lengths])
        self._at, self._batches, self._left = self.rows, iter(()), None

    def ids(self) -> list[str]:
        """See `ColumnFile`."""
        column = self._file.read(columns=["id"])["id"].combine_chunks()
        return names_or(column_values("id", column), row_names(self.stem, slice(0, self.rows)))

    def keys(self) -> list[str]:
        """See `ColumnFile`."""
        columns = {}
        if "key" in self._names:
            column = self._file.read(columns=["key"])["key"].combine_chunks()
            columns = {"key": column_values("key", column)}
        return [*identity_of(columns, row_names(self.stem, slice(0, self.rows))).key]

    def read(self, rows: slice) -> Spectra:
        """See `ColumnFile`; going on where the last call ended costs nothing."""
        group = int(np.searchsorted(self._starts, rows.start, side="right")) - 1
        at, self._at = self._at, self.rows  # where to go on if this breaks: nowhere
        if rows.start < at or self._starts[group] > at:
            later = list(range(group, self._file.num_row_groups))
            at, self._left = int(self._starts[group]), None
            self._batches = self._file.iter_batches(ROWS, later, columns=self._names)
        parts = []
        while at < rows.stop:
            batch = self._left or next(self._batches, None)
            if batch is None:
                raise BadInput("it has fewer rows than its footer says: fetch it again")
            end = min(at + len(batch), rows.stop)
            if end > rows.start:
                parts.append(batch.slice(max(rows.start - at, 0), end - max(rows.start, at)))
            self._left = batch.slice(end - at) if end < at + len(batch) else None
            at = end
        self._at = at
        table = pyarrow.Table.from_batches(parts)
        columns = {name: column_values(name, table[name].combine_chunks()) for name in self._names}
        return from_columns(columns, self.unit, row_names(self.stem, rows))


def _open(source: Path | bytes) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else BytesIO(source)


def _head(raw: BinaryIO, file: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple, int]:
    """Shape, order and dtype of an array, and where it starts; 0 where it is compressed."""
    if member.compress_type == zipfile.ZIP_STORED:
        raw.seek(member.header_offset + 26)
        start = member.header_offset + 30 + sum(struct.unpack("<HH", raw.read(4)))
        raw.seek(start)
        head = _header_of(raw)
        return _parsed(head, member.filename), start + len(head)
    with file.open(member) as stream:
        return _parsed(_header_of(stream), member.filename), 0


def _header_of(stream: BinaryIO) -> bytes:
    """The header of an array, magic and length before it."""
    start = stream.read(10)
    if start[6:7] == b"\1":
        return start + stream.read(int.from_bytes(start[8:10], "little"))
    start += stream.read(2)
    return start + stream.read(int.from_bytes(start[8:12], "little"))


@lru_cache
def _parsed(head: bytes, name: str) -> tuple:
    """Shape, order and dtype that a header tells; a million files have few different ones."""
    stream = BytesIO(head)
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0
    if version[0] > 1:
        reader = np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    if dtype.hasobject:
        raise BadInput(
            f"{name} holds Python objects, which are never loaded (allow_pickle): pad rows of "
            "different lengths with ivar 0, write ids as text"
        )
    return shape, fortran, dtype


def _file(source: Path | bytes) -> Path | BytesIO:
    return source if isinstance(source, Path) else BytesIO(source)


def _check_columns(names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS[:5] if name not in names]
    if missing:
        raise BadInput(f"holds {', '.join(names)}, but lacks {', '.join(missing)}")


COLUMN_FILES = {"npz": Npz, "parquet": Parquet}
