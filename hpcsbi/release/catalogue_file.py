"""Columns of anybody's catalogue, FITS or Parquet, by name: those that are asked for alone."""

import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet
from astropy.io import fits
from astropy.units import UnitsWarning

from hpcsbi.arguments import did_you_mean
from hpcsbi.errors import BadInput

__all__ = ["CatalogueFile"]


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

    def texts(self, name: str) -> list[str]:
        """A column of names or whole numbers, as text."""
        return [str(value).strip() for value in self._read(name).tolist()]

    def _read(self, name: str) -> np.ndarray:
        column = self.require(name)
        if self.parquet:
            table = pyarrow.parquet.read_table(self.path, columns=[column])
            return table[column].to_numpy()
        with fits.open(self.path, memmap=True) as hdus:
            return np.array(hdus[self.extension].data[column])
