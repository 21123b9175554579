"""What a survey's own redshift fit calls an object: class and subclass in one text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpcsbi.survey.record.spectra import text

__all__ = ["active_nucleus", "class_names"]

ACTIVE = {"AGN", "BROADLINE", "QSO"}  # words of SDSS and DESI


def class_names(*columns: Sequence[Any]) -> list[str]:
    """Text of each row: its words of all columns, with a blank between them.

    Arguments:
        columns: class, subclass, ..., each of one length.

    Example:
        >>> class_names(["GALAXY", "QSO"], ["AGN ", ""])
        ['GALAXY AGN', 'QSO']
    """
    rows = zip(*columns, strict=True)
    return [" ".join(word for value in row for word in text(value).split()) for row in rows]


def active_nucleus(names: Sequence[str]) -> np.ndarray:
    """True where a class is that of gas near a black hole, bool, shape (rows,).

    Arguments:
        names: see `class_names`.
    """
    return np.array([bool(ACTIVE & {*name.upper().split()}) for name in names], dtype=bool)
