"""Columns of anybody's catalogue, FITS or Parquet, by name: those that are asked for alone."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
from astropy.io import fits

from hpcsbi.arguments import did_you_mean
from hpcsbi.errors import BadInput

__all__ = ["OtherCatalogue"]


class OtherCatalogue:
    """A table whose columns are read when they are asked for.

    Arguments:
        path: FITS, the first table with rows in it, or Parquet.

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
                warnings.simplefilter("ignore")  # of units that astropy does not know
                self.names = self._names()
        except (OSError, pyarrow.ArrowInvalid) as error:
            words = " ".join(str(error).split())
            raise BadInput(f"{self.path} is neither FITS nor Parquet ({words}).") from error

    def _names(self) -> list[str]:
        with self.path.open("rb") as file:
            self.parquet = file.read(4) == b"PAR1"
        if self.parquet:
            return pyarrow.parquet.read_schema(self.path).names
        with fits.open(self.path) as hdus:
            tables = [i for i, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU)]
            if not tables:
                raise BadInput(f"{self.path} has no table in it.")
            self.extension = tables[0]
            return hdus[self.extension].columns.names

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

    def texts(self, name: str) -> list[str]:
        """A column of names or whole numbers, as text."""
        return [str(value).strip() for value in self._read(name).tolist()]

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Several of numbers."""
        return {name: self.numbers(name) for name in names}

    def _read(self, name: str) -> np.ndarray:
        column = self.require(name)
        if self.parquet:
            table = pyarrow.parquet.read_table(self.path, columns=[column])
            return table[column].to_numpy()
        with fits.open(self.path, memmap=True) as hdus:
            return np.array(hdus[self.extension].data[column])
