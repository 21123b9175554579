"""Which spectra are of one object: those of one id, and those of one place on the sky."""

import numpy as np
from astropy.coordinates import Angle, SkyCoord, search_around_sky
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["NEAR", "object_names"]

NEAR = 1.0  # arcseconds: fibres come back to a galaxy far closer, and two galaxies rarely lie so


def object_names(ids: np.ndarray, position: np.ndarray, near: float = NEAR) -> np.ndarray:
    """A name that all spectra of one object share: the first of its ids, shape (n,).

    Neighbours of neighbours are one object, too: all spaxels of a galaxy are.

    Arguments:
        ids: of the spectra, text, shape (n,).
        position: RA and DEC, degrees, NaN where a file has none, shape (n, 2).
        near: how far apart two spectra of one object may lie, arcseconds.

    Example:
        >>> place = np.array([[10.0, 0.0], [50.0, 0.0], [10.0, 1e-4], [np.nan, np.nan]])
        >>> object_names(np.array(["d", "c", "b", "a"]), place).tolist()
        ['b', 'c', 'b', 'a']
    """
    names, of_id = np.unique(ids, return_inverse=True)
    there = np.flatnonzero(np.isfinite(position).all(1))
    pairs = np.empty((2, 0), int)
    if len(there):
        sky = SkyCoord(*np.asarray(position, float)[there].T, unit="deg")
        pairs = of_id[there[np.array(search_around_sky(sky, sky, Angle(near, "arcsec"))[:2])]]
    a, b = pairs
    joined = coo_array((np.ones(len(a)), (a, b)), shape=(len(names),) * 2)
    of_name = connected_components(joined, directed=False)[1]
    first = np.unique(of_name, return_index=True)[1]  # ids ascend
    return names[first[of_name[of_id]]]
