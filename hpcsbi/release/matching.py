"""Which rows of two catalogues are of the same object: by name, or by place on the sky."""

import numpy as np
from astropy.coordinates import SkyCoord

__all__ = ["match_names", "match_places"]


def match_names(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the same name, of names that each side has once.

    Arguments:
        first, second: a number for each name, 0 for an empty one, which matches nothing, shape
            (rows,).

    Returns:
        Rows of the first, ascending, and those of the second that belong to them.

    Example:
        >>> rows = match_names(np.array([7, 8, 8, 9]), np.array([9, 8, 7]))
        >>> [each.tolist() for each in rows]
        [[0, 3], [2, 0]]
    """
    names, rows = zip(*map(_names_once, (first, second)), strict=True)
    _, *at = np.intersect1d(*names, assume_unique=True, return_indices=True)
    ours, theirs = rows[0][at[0]], rows[1][at[1]]
    order = np.argsort(ours)
    return ours[order], theirs[order]


def _names_once(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names that are there once, and their rows."""
    values, rows, times = np.unique(names, return_index=True, return_counts=True)
    once = (times == 1) & (values != 0)
    return values[once], rows[once]


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
