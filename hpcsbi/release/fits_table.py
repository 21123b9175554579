"""A FITS binary table, written some rows at a time: units, UCDs, words and header cards in it.

References:
    FITS Standard 4.0, section 7.3 (binary tables) and 4.2.1.2 (long strings); TUCDn and TCOMMn as
    TOPCAT and the Virtual Observatory use them.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.release.released_table import Released, ascii_text, empty_table
from hpcsbi.store.files import replacement

__all__ = ["write_fits"]

SIZE = 2880  # bytes that a FITS file is a multiple of
ROOM = 60  # characters of a card's value and comment
MOST = 999  # columns that the standard has numbers for


def write_fits(
    path: Path, name: str, table: Released, cards: Mapping[str, tuple[str, str]]
) -> None:
    """Write a table as the first extension of a FITS file, atomically.

    Arguments:
        path: the file.
        name: EXTNAME.
        table: what to write.
        cards: keyword -> text and comment, for the header of the table.

    Raises:
        BadInput: more columns than FITS has numbers for.
    """
    if len(table.columns) > MOST:
        raise BadInput(
            f"{path.name}: FITS holds {MOST} columns, and there are {len(table.columns)}: leave "
            "fits out of release.formats."
        )
    primary, header, kind = _headers(name, table, cards)
    header["NAXIS2"] = table.rows
    with replacement(path) as half, half.open("wb") as file:
        file.write(primary.tostring().encode("ascii"))
        file.write(header.tostring().encode("ascii"))
        for block in table.blocks():
            _records(table, block, kind).tofile(file)
        file.write(b"\0" * (-file.tell() % SIZE))


def _headers(
    name: str, table: Released, cards: Mapping[str, tuple[str, str]]
) -> tuple[fits.Header, fits.Header, np.dtype]:
    """Those of the file and of the table, without its rows, and the type of a row."""
    empty, memory = empty_table(table), io.BytesIO()
    empty.meta.clear()  # it goes into cards of its own
    empty.write(memory, format="fits")  # astropy adds what gives it back its descriptions
    memory.seek(0)
    with fits.open(memory) as hdus:
        primary, header = hdus[0].header.copy(), hdus[1].header.copy()
        kind = hdus[1].columns.dtype.newbyteorder(">")
    return primary, _described(header, name, table, cards), kind


def _described(
    header: fits.Header, name: str, table: Released, cards: Mapping[str, tuple[str, str]]
) -> fits.Header:
    """The header that astropy makes, and beside each column what it does not know of it.

    Put together at once: each insertion into a long header goes through all of it.
    """
    described: list[fits.Card] = []
    for card in header.cards:
        if card.keyword.startswith("TUNIT"):
            continue  # astropy would write solMass yr-1 for our solMass/yr
        described.append(card)
        if card.keyword == "TFIELDS":
            described.append(fits.Card("EXTNAME", name))
        if card.keyword.startswith("TFORM"):
            number = card.keyword.removeprefix("TFORM")
            each = table.columns[int(number) - 1]
            told = {"TUNIT": each.unit, "TUCD": each.ucd, "TCOMM": each.meaning}
            described += [fits.Card(word + number, text) for word, text in told.items() if text]
    for keyword, (text, comment) in cards.items():
        plain = text.encode("ascii", "backslashreplace").decode()
        fits_in = len(plain) + len(comment) < ROOM  # else astropy cuts the comment, and warns
        described.append(fits.Card(keyword, plain, comment if fits_in else ""))
    return fits.Header(described)


def _records(table: Released, block: pyarrow.RecordBatch, kind: np.dtype) -> np.ndarray:
    rows = np.zeros(block.num_rows, kind)
    for each in table.columns:
        values = block.column(each.name)
        if each.kind == "string":
            rows[each.name] = ascii_text(values)
        elif each.length > 1:
            rows[each.name] = values.flatten().to_numpy().reshape(-1, each.length)
        else:
            rows[each.name] = values.to_numpy(zero_copy_only=False)
    return rows
