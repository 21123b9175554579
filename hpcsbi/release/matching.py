"""Which rows of two catalogues are of the same object: by name, or by place on the sky."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from astropy.coordinates import SkyCoord

__all__ = ["match_names", "match_places"]


def match_names(first: Sequence[str], second: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the same name, of names that each side has once.

    Arguments:
        first, second: names of the rows; empty ones match nothing.

    Returns:
        Rows of the first, ascending, and those of the second that belong to them.

    Example:
        >>> rows = match_names(["a", "b", "b", "c"], ["c", "b", "a"])
        >>> [each.tolist() for each in rows]
        [[0, 3], [2, 0]]
    """
    once = [
        {name for name, number in Counter(side).items() if number == 1} for side in (first, second)
    ]
    at = {name: i for i, name in enumerate(second) if name and name in once[1]}
    pairs = [(i, at[name]) for i, name in enumerate(first) if name in at and name in once[0]]
    rows = np.array(pairs, dtype=int).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def match_places(
    first: np.ndarray, second: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that are each other's nearest neighbours on the sky.

    Arguments:
        first, second: right ascension and declination, degrees, NaN where not known, shape
            (rows, 2).
        radius: arcseconds that they may be apart.

    Returns:
        Rows of the first, ascending, those of the second, and how far they are apart, arcseconds.
    """
    known = [np.flatnonzero(np.isfinite(side).all(1)) for side in (first, second)]
    if not all(map(len, known)):
        none = np.empty(0, int)
        return none, none, np.empty(0)
    sky = [
        SkyCoord(*side[rows].T, unit="deg")
        for side, rows in zip((first, second), known, strict=True)
    ]
    there, apart, _ = sky[0].match_to_catalog_sky(sky[1])
    back, *_ = sky[1].match_to_catalog_sky(sky[0])
    apart = apart.arcsec
    good = (back[there] == np.arange(len(there))) & (apart <= radius)
    return known[0][good], known[1][there[good]], apart[good]
