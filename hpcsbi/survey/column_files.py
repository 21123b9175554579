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
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from hpcsbi.errors import BadInput
from hpcsbi.survey.spectra import Spectra, Vectors, per_angstrom, text

__all__ = ["COLUMNS", "COLUMN_FILES", "ColumnFile", "check_ids", "from_columns"]

COLUMNS = ("id", "zred", "wave", "flux", "ivar", "ebv", "distance")
VECTORS = ("wave", "flux", "ivar")
ROWS = 64  # of a Parquet file that are unpacked at once
BUFFER = 1 << 20  # bytes of a Parquet column that are held at once
WHOLE = 2.0**53  # beyond, float64 has no odd numbers


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
    ids = [text(v) if v is not None else "" for v in columns["id"]]
    return Spectra(
        **vectors, **scalars, unit=unit, id=[a or b for a, b in zip(ids, names, strict=True)]
    )


def check_ids(kind: str, where: str) -> None:
    """Refuse ids that are floats.

    Raises:
        ValueError: different objects may share one.
    """
    if kind == "f":
        raise BadInput(
            f"{where} holds floats: above 2^53 = {WHOLE:.0f} different ids become one; write ids "
            "as integers or text"
        )


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

    def read(self, rows: slice) -> Spectra:
        """See `ColumnFile`."""
        arrays = self._arrays
        columns = {
            name: np.array(v) if v.ndim == 1 and name == "wave" else np.array(v[rows])
            for name, v in arrays.items()
        }
        for name in VECTORS:
            columns[name] = columns[name].astype(float, copy=False)
        names = [f"{self.stem}-{row}" for row in range(rows.start, rows.stop)]
        return from_columns(columns, self.unit, names)

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
        check_ids(kinds.pop("id"), "id")
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
            _check_type(name, schema.field(name).type)
        unit = (schema.metadata or {}).get(b"flux_unit", usual.encode()).decode()
        self.unit = per_angstrom(unit, "flux_unit")
        self.rows = self._file.metadata.num_rows
        self.ignored = sorted(set(schema.names) - set(COLUMNS))
        self._names = [name for name in COLUMNS if name in schema.names]
        groups = range(self._file.num_row_groups)
        lengths = [self._file.metadata.row_group(k).num_rows for k in groups]
        self._starts = np.cumsum([0, *lengths])
        self._at, self._batches, self._left = self.rows, iter(()), None

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
        columns = {name: _column(name, table[name].combine_chunks()) for name in self._names}
        names = [f"{self.stem}-{row}" for row in range(rows.start, rows.stop)]
        return from_columns(columns, self.unit, names)


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


def _check_type(name: str, kind: pyarrow.DataType) -> None:
    """Refuse a column that cannot be what it is called."""
    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if name == "id":
        if types.is_boolean(kind) or types.is_nested(kind):
            raise BadInput(f"id holds {kind}, not integers or text")
        return check_ids("f" if types.is_floating(kind) else "", "id")
    if name in VECTORS:
        if not hasattr(kind, "value_type"):
            raise BadInput(f"{name} holds one {kind} a row, not a list of numbers")
        kind = kind.value_type
    numbers = (types.is_floating, types.is_integer, types.is_boolean, types.is_null)
    if not any(is_kind(kind) for is_kind in numbers):
        raise BadInput(f"{name} holds {kind}, not numbers")
    return None


def _column(name: str, values: pyarrow.Array) -> Any:
    """Values of a column as numpy arrays: vectors as in `Spectra`, ids as a list."""
    if isinstance(values, pyarrow.ChunkedArray):
        values = pyarrow.concat_arrays(values.chunks)
    if pyarrow.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if name == "id":
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


COLUMN_FILES = {"npz": Npz, "parquet": Parquet}
