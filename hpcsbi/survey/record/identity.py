"""Who each row is: its place on the sky, its survey and program, and the survey's key of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["AXES", "NAMES", "Identity", "degrees"]

AXES = ("ra", "dec")
NAMES = ("survey", "program", "file", "key")

Texts = str | Sequence[str]


@dataclass(frozen=True)
class Identity:
    """Who the spectra of a block are. Repeats of one object share its id, never a key.

    Arguments:
        key: what the survey calls each spectrum among all of its own.
        survey, program: of each row, or of all; "" where the file does not say.
        ra, dec: of each row, or of all, degrees, NaN where the file has none.
    """

    key: Sequence[str]
    survey: Texts = ""
    program: Texts = ""
    ra: float | np.ndarray = np.nan
    dec: float | np.ndarray = np.nan

    def columns(self, survey: str, file: str, first: int) -> dict[str, np.ndarray]:
        """Arrays of spectra.zarr that say who rows are.

        Arguments:
            survey: what rows are of that name no survey of their own.
            file: name of their file.
            first: number of the first row in it.

        Returns:
            identity, text, shape (rows, NAMES); position, degrees, shape (rows, AXES), NaN where
            it is none; file_row, shape (rows,).
        """
        rows = len(self.key)
        identity = np.empty((rows, len(NAMES)), dtype=object)
        for j, texts in enumerate((self.survey, self.program, file, self.key)):
            identity[:, j] = [texts] * rows if isinstance(texts, str) else [*texts]
        identity[identity[:, 0] == "", 0] = survey
        position = np.stack([np.broadcast_to(values, rows) for values in (self.ra, self.dec)], 1)
        file_row = np.arange(first, first + rows, dtype=np.int32)
        return {"identity": identity, "position": degrees(position), "file_row": file_row}


def degrees(position: np.ndarray) -> np.ndarray:
    """Right ascension in [0, 360) and declination; both NaN where they are no place on the sky.

    Arguments:
        position: RA and DEC, degrees, shape (rows, 2).

    Example:
        >>> degrees(np.array([[-90.0, 10.0], [5.0, -99.0]])).tolist()
        [[270.0, 10.0], [nan, nan]]
    """
    position = np.asarray(position, dtype=float)
    with np.errstate(invalid="ignore"):
        here = (np.abs(position) <= (360.0, 90.0)).all(1, keepdims=True)
    wrapped = np.where(here, position, np.nan)
    wrapped[:, 0] %= 360.0
    return wrapped
