"""A table on its way into files: its columns, how wide its texts are, its rows some at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow
from astropy.table import Column, Table

from hpcsbi.inference.columns.catalogue_descriptions import DescribedColumn

__all__ = ["BLOCK", "Released", "ascii_text", "blocks_of_file", "empty_table"]

BLOCK = 16384  # rows that are in memory together


@dataclass(frozen=True)
class Released:
    """One table.

    Arguments:
        columns: in their order.
        rows: their number.
        blocks: gives all rows, some at a time, each time it is called.
        header: what is said of the whole; text by name.
        widths: of each column of text its longest value, characters of ASCII.
    """

    columns: Sequence[DescribedColumn]
    rows: int
    blocks: Callable[[], Iterator[pyarrow.RecordBatch]]
    header: Mapping[str, str]
    widths: Mapping[str, int] = field(default_factory=dict)


def blocks_of_file(path: str) -> Callable[[], Iterator[pyarrow.RecordBatch]]:
    """Rows of a Parquet file, BLOCK at a time, each time it is called; a row group is in memory."""
    import pyarrow.parquet

    def blocks() -> Iterator[pyarrow.RecordBatch]:
        with pyarrow.parquet.ParquetFile(path) as file:
            for group in range(file.metadata.num_row_groups):  # iter_batches would read all ahead
                yield from file.read_row_group(group).to_batches(BLOCK)

    return blocks


def ascii_text(values: pyarrow.Array) -> np.ndarray:
    r"""Texts as FITS can hold them, dtype S: what is no ASCII becomes \xe9 and the like.

    Example:
        >>> ascii_text(pyarrow.array(["NGC 1", "caf\xe9"])).tolist()
        [b'NGC 1', b'caf\\xe9']
    """
    encoded = [text.encode("ascii", "backslashreplace") for text in values.to_pylist()]
    return np.array(encoded, dtype="S") if encoded else np.empty(0, "S1")


def empty_table(table: Released) -> Table:
    """An astropy table without rows: names, types, units, descriptions, and the header as meta."""
    columns = []
    for each in table.columns:
        kind = f"S{max(table.widths.get(each.name, 1), 1)}" if each.kind == "string" else each.kind
        shape = (0, each.length) if each.length > 1 else (0,)
        data = np.empty(shape, kind)
        columns.append(Column(data, each.name, unit=each.unit or None, description=each.meaning))
    return Table(columns, meta=dict(table.header))
