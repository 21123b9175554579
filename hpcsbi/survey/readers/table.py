"""Tables of a user's own spectra, with vectors in each row: FITS, Parquet or .npz."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.column_files import COLUMN_FILES, COLUMNS, from_columns, identity_of
from hpcsbi.survey.readers.file_format import FileFormat, Options
from hpcsbi.survey.readers.fits_files import names_of, vector_length
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.ids import check_ids, names_or, row_names
from hpcsbi.survey.record.spectra import PER_ANGSTROM, Spectra, Vectors, factor, per_angstrom

__all__ = ["Table"]

NEEDED = ("ID", "Z", "WAVE", "FLUX", "IVAR")
NUMBERS = {"Z", "EBV", "DISTANCE", "RA", "DEC"}
KNOWN = {name.upper() for name in COLUMNS} | {"Z"}


class Table(FileFormat):
    """See `FileFormat`: all FITS tables of a file, one behind the other, or a file in columns."""

    name = "table"
    contents = f"a table of {' '.join(NEEDED)}"
    column_files = COLUMN_FILES

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return bool(_tables(hdus))

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return _tables(hdus)

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`."""
        return _unit(_tables(hdus)[0])

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        tables, notes = _tables(hdus), []
        for k, hdu in enumerate(hdus):
            if hdu not in tables and k:
                notes.append(f"HDU {k} ({hdu.name or 'no name'}) is not read")
        for table in tables:
            names = [column.name for column in table.columns]
            if None in names:  # of such a table astropy reads no row
                place = names.index(None) + 1
                raise BadInput(f"column {place} has no name: write its TTYPE{place}")
            formats = {column.name.upper(): column.format.strip() for column in table.columns}
            _check_formats(formats)
            if spare := sorted(set(formats) - KNOWN):
                notes.append(f"columns {', '.join(spare)} are not read")
        return sum(table.header["NAXIS2"] for table in tables), notes

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`."""
        names = []
        for hdu, some, numbers in _parts(hdus, rows):
            names += names_or(hdu.data["ID"][some], row_names(stem, numbers))
        return names

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: the column KEY, or the file and the row's number."""
        keys = []
        for hdu, some, numbers in _parts(hdus, rows):
            columns = {"key": hdu.data["KEY"][some]} if "KEY" in names_of(hdu) else {}
            keys += identity_of(columns, row_names(stem, numbers)).key
        return Identity(keys)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`."""
        for hdu, some, numbers in _parts(hdus, rows):
            table = hdu.data[some]
            names = {name.lower(): name for name in table.names}
            columns = {key: table[name] for key, name in names.items() if key in COLUMNS}
            columns["zred"] = table[names["z"]]
            columns |= {name: _vectors(columns[name]) for name in ("wave", "flux", "ivar")}
            yield from_columns(columns, _unit(hdu), row_names(stem, numbers))


def _tables(hdus: fits.HDUList) -> list[fits.BinTableHDU]:
    return [hdu for hdu in hdus if set(NEEDED) <= set(names_of(hdu))]


def _parts(hdus: fits.HDUList, rows: slice) -> Iterator[tuple[fits.BinTableHDU, slice, slice]]:
    """Each table that has some of these rows, its own numbers of them, and those in the file."""
    before = 0
    for hdu in _tables(hdus):
        length = hdu.header["NAXIS2"]
        first, last = max(rows.start - before, 0), min(rows.stop - before, length)
        if first < last:
            yield hdu, slice(first, last), slice(before + first, before + last)
        before += length


def _unit(table: fits.BinTableHDU) -> float:
    """Unit of flux of a table, whose other units must fit."""
    said = {(column.name or "").upper(): column.unit for column in table.columns}
    unit = per_angstrom(said["FLUX"], "TUNIT of FLUX")
    per_unit = units.Unit(1 / (unit * PER_ANGSTROM) ** 2)
    for name, right in {"WAVE": units.AA, "DISTANCE": units.Mpc, "IVAR": per_unit}.items():
        unit_name = said.get(name)
        if unit_name and not np.isclose(factor(unit_name, right), 1, rtol=1e-6):
            raise BadInput(f"TUNIT of {name} is {unit_name!r}: write it in {right}")
    return unit


def _check_formats(formats: dict[str, str]) -> None:
    """Refuse columns that cannot be what they are called, by their TFORM."""
    for name in {"ID", "KEY"} & set(formats):
        check_ids("f" if formats[name][-1] in "ED" else "", name)
    sizes = {name: vector_length(formats[name]) for name in ("WAVE", "FLUX", "IVAR")}
    if len({size for size in sizes.values() if size is not None}) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise BadInput(f"vectors of different lengths in each row: {told}")
    if 1 in sizes.values():
        raise BadInput("one value a row in place of a vector: it takes one spectrum a row")
    for name in NUMBERS & set(formats):
        if vector_length(formats[name]) != 1 or formats[name][-1] not in "EDBIJK":
            raise BadInput(f"{name} has format {formats[name]!r}: it takes one number a row")


def _vectors(values: np.ndarray) -> Vectors:
    """A column of vectors; a list where their lengths vary."""
    if values.dtype == object:
        return [np.asarray(value) for value in values]
    return np.asarray(values).astype(float, copy=False)
