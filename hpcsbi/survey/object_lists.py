"""What users say of objects in files of their own, by id: which ones to read, their redshifts."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.arrow_columns import check_type, column_values
from hpcsbi.survey.readers.compressed import kind, open_contents
from hpcsbi.survey.readers.fits_files import names_of, open_fits
from hpcsbi.survey.readers.formats import BREAKS
from hpcsbi.survey.record.ids import check_ids
from hpcsbi.survey.record.spectra import text

__all__ = ["ObjectLists", "Redshifts", "read_ids", "read_lists", "read_redshifts"]

NUMBERS = ("zred", "distance")


@dataclass(frozen=True)
class Redshifts:
    """Redshifts of some objects.

    Arguments:
        id: their names, each once.
        zred: shape (objects,), finite.
        distance: luminosity distance, Mpc, NaN where none is given, shape (objects,).
    """

    id: Sequence[str]
    zred: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class ObjectLists:
    """What the files of a user say of objects.

    Arguments:
        ids: of the objects that are read, each once; None: all are.
        redshifts: those that are given; None: none is.
        settings: size and checksum of each file, by what it holds, without its name.
    """

    ids: Sequence[str] | None = None
    redshifts: Redshifts | None = None
    settings: Mapping[str, Mapping] = field(default_factory=dict)

    @property
    def names(self) -> set[str] | None:
        """All ids that are named in one of them; None where there is no file."""
        given = self.redshifts.id if self.redshifts else ()
        return {*(self.ids or ()), *given} or None


def read_lists(redshifts: str | Path | None, ids: str | Path | None) -> ObjectLists:
    """Both files, where there are any.

    Raises:
        FileNotFoundError, BadInput: see `read_redshifts` and `read_ids`.
    """
    paths = {"redshifts": redshifts, "ids": ids}
    settings = {}
    chosen, given = read_ids(ids) if ids else None, read_redshifts(redshifts) if redshifts else None
    for name, path in paths.items():
        if path:
            content = Path(path).read_bytes()
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
            settings[name] = {"bytes": len(content), "checksum": digest}
    return ObjectLists(chosen, given, settings)


def read_redshifts(path: str | Path) -> Redshifts:
    """A table of redshifts: Parquet, CSV or FITS with id and zred, and distance where known.

    Raises:
        FileNotFoundError: it is not there.
        BadInput: no such table, no rows, an id without a name or twice, a redshift that is not
            finite, a distance that is not positive.
    """
    table = _table(Path(path), "ingest.redshifts")
    ids = _checked_ids(table, path, "ingest.redshifts")
    if "zred" not in table:
        raise BadInput(f"ingest.redshifts: {path} has no column zred beside its id: add it.")
    zred = np.asarray(table["zred"], dtype=float)
    distance = np.asarray(table.get("distance", np.full(len(ids), np.nan)), dtype=float)
    for name, values, wrong, right in (
        ("zred", zred, ~np.isfinite(zred), "a number: leave the row out where it is not known"),
        ("distance", distance, (distance <= 0) | np.isinf(distance), "Mpc above 0, or nothing"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BadInput(
                f"ingest.redshifts: {path}: {name} of {ids[row]!r} is {values[row]:g} "
                f"({wrong.sum()} such rows): it takes {right}."
            )
    return Redshifts(ids, zred, distance)


def read_ids(path: str | Path) -> list[str]:
    """Names of objects: one a line of a text, or the column id of a Parquet, CSV or FITS table.

    Raises:
        FileNotFoundError: it is not there.
        BadInput: no such file, no rows, an id without a name or twice.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() != ".csv" and not _kind(path, "ingest.ids"):
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except UnicodeDecodeError as error:
            raise BadInput(
                f"ingest.ids: {path} is no text, Parquet or FITS: write one id a line."
            ) from error
        table = {"id": [line for line in lines if line]}
    else:
        table = _table(path, "ingest.ids")
    return _checked_ids(table, path, "ingest.ids")


def _checked_ids(table: Mapping[str, Any], path: str | Path, key: str) -> list[str]:
    """The names in a table, if each is one and comes once."""
    if "id" not in table:
        raise BadInput(f"{key}: {path} has no column id: name it so.")
    ids = ["" if value is None else text(value) for value in table["id"]]
    if not ids:
        raise BadInput(f"{key}: {path} has no rows: name some objects, or set {key}=null.")
    if "" in ids:
        raise BadInput(f"{key}: {path}: row {ids.index('') + 1} has no id: leave it out.")
    if twice := [name for name, times in Counter(ids).items() if times > 1]:
        raise BadInput(
            f"{key}: {path}: {len(twice)} ids come more than once, {twice[0]!r} first: keep one "
            "row of each."
        )
    return ids


def _kind(path: Path, key: str) -> str:
    """See `compressed.kind`."""
    try:
        return kind(path)
    except BREAKS as error:
        raise BadInput(f"{key}: {path} cannot be read: {' '.join(str(error).split())}.") from error


def _table(path: Path, key: str) -> dict[str, Any]:
    """Those of id, zred and distance that a table has."""
    if not path.is_file():
        raise FileNotFoundError(f"{key}: {path} is not there, or is no file.")
    reader = {"fits": _fits_table, "parquet": _parquet_table, "": _csv_table}.get(_kind(path, key))
    try:
        if reader is None:
            raise BadInput("it takes Parquet, CSV or FITS")
        return reader(path)
    except BREAKS as error:
        words = " ".join(str(error).split())
        raise BadInput(f"{key}: {path} cannot be read as a table: {words}.") from error


def _fits_table(path: Path) -> dict[str, Any]:
    with open_contents(path) as file, open_fits(BytesIO(file.read())) as hdus:
        hdu = next((hdu for hdu in hdus if "ID" in names_of(hdu)), None)
        if hdu is None:
            return {}
        forms = {column.name.upper(): column.format.strip() for column in hdu.columns}
        check_ids("f" if forms["ID"][-1] in "ED" else "", "ID")
        columns = {"id": list(hdu.data["ID"])}
        for name in NUMBERS:
            if name.upper() in forms:
                columns[name] = np.asarray(hdu.data[name]).astype(float)
                if columns[name].shape != (len(hdu.data),):
                    raise BadInput(f"{name.upper()} has more than one number a row")
        return columns


def _parquet_table(path: Path) -> dict[str, Any]:
    with open_contents(path) as file:
        table = parquet.ParquetFile(BytesIO(file.read()))
        names = [name for name in ("id", *NUMBERS) if name in table.schema_arrow.names]
        return _arrow(table.read(columns=names))


def _csv_table(path: Path) -> dict[str, Any]:
    """As text: 0266-51602-0001 is no date, and 007 not 7."""
    types = {"id": pyarrow.string()} | dict.fromkeys(NUMBERS, pyarrow.float64())
    with open_contents(path) as file:
        return _arrow(csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=types)))


def _arrow(table: pyarrow.Table) -> dict[str, Any]:
    columns = {}
    for name in ("id", *NUMBERS):
        if name in table.column_names:
            check_type(name, table.schema.field(name).type)
            columns[name] = column_values(name, table[name].combine_chunks())
    return columns
