"""Columns of anybody's catalogue, FITS or Parquet, by name: those that are asked for alone.

Numbers are read as a column, 8 bytes a row; texts take ten times as much, and are read some rows at
a time.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
from astropy.io import fits
from astropy.units import UnitsWarning
from pandas.util import hash_array

from hpcsbi.arguments import did_you_mean
from hpcsbi.errors import BadInput

__all__ = ["CatalogueFile"]

BLOCK = 65536  # rows whose texts are in memory together


class CatalogueFile:
    """A table whose columns are read when they are asked for.

    Arguments:
        path: FITS, of which the first table counts, or Parquet.

    Attributes:
        names: of its columns.
        rows: their number.

    Raises:
        FileNotFoundError: it is not there.
        BadInput: it is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} is not there, or is no file.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnitsWarning)
                self._look()
        except (OSError, pyarrow.ArrowInvalid) as error:
            words = " ".join(str(error).split())
            raise BadInput(f"{self.path} is neither FITS nor Parquet ({words}).") from error

    def _look(self) -> None:
        with self.path.open("rb") as file:
            self.parquet = file.read(4) == b"PAR1"
        if self.parquet:
            metadata = pyarrow.parquet.read_metadata(self.path)
            self.names, self.rows = metadata.schema.to_arrow_schema().names, metadata.num_rows
            return
        with fits.open(self.path) as hdus:
            tables = [i for i, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU)]
            if not tables:
                raise BadInput(f"{self.path} has no table in it.")
            self.extension = tables[0]
            table = hdus[self.extension]
            self.names, self.rows = table.columns.names, table.header["NAXIS2"]

    def named(self, name: str) -> str | None:
        """The column of a name, in whichever case; None where there is none."""
        return next((each for each in self.names if each.lower() == name.lower()), None)

    def require(self, name: str) -> str:
        """The same.

        Raises:
            BadInput: there is none; names the likely one.
        """
        column = self.named(name)
        if column is None:
            raise BadInput(f"{self.path} has no column {name}{did_you_mean(name, self.names)}")
        return column

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers, float64, NaN where one lacks, shape (rows,).

        Raises:
            BadInput: it holds something else.
        """
        values = self._read(name)
        if values.dtype.kind not in "fiub" or values.ndim != 1:
            raise BadInput(f"{self.path}: {name} holds no number in each row.")
        return values.astype(float)

    def texts(self, name: str, rows: Sequence[int]) -> list[str]:
        """Some rows of a column of names or whole numbers, as text.

        Arguments:
            name: of the column.
            rows: ascending.
        """
        rows, start, texts = np.asarray(rows, int), 0, []
        for block in self._blocks(name):
            first, last = np.searchsorted(rows, (start, start + len(block)))
            texts += [_text(block[row - start]) for row in rows[first:last]]
            start += len(block)
        return texts

    def name_digests(self, name: str) -> np.ndarray:
        """A number for each name of a column, the same in every file; 0 for an empty one.

        Two of a million names share theirs in one case of 40 million.

        Returns:
            uint64, shape (rows,).
        """
        digests = [np.empty(0, np.uint64)]
        for block in self._blocks(name):
            texts = np.array([_text(value) for value in block.tolist()], object)
            digests.append(np.where(texts == "", np.uint64(0), hash_array(texts, categorize=False)))
        return np.concatenate(digests)

    def _blocks(self, name: str) -> Iterator[np.ndarray]:
        """Values of a column, some rows at a time."""
        column = self.require(name)
        if not self.parquet:
            with fits.open(self.path, memmap=True) as hdus:
                data = hdus[self.extension].data
                for start in range(0, self.rows, BLOCK):
                    yield np.array(data[start : start + BLOCK][column])
            return
        with pyarrow.parquet.ParquetFile(self.path) as file:
            for group in range(file.metadata.num_row_groups):
                values = file.read_row_group(group, columns=[column])[column]
                for start in range(0, len(values), BLOCK):
                    yield values.slice(start, BLOCK).to_numpy()

    def _read(self, name: str) -> np.ndarray:
        column = self.require(name)
        if self.parquet:
            table = pyarrow.parquet.read_table(self.path, columns=[column])
            return table[column].to_numpy()
        with fits.open(self.path, memmap=True) as hdus:
            return np.array(hdus[self.extension].data[column])


def _text(value: object) -> str:
    return str(value).strip()
