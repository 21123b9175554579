"""The age of the Universe at a redshift, and back, in the paper's cosmology (WMAP9)."""

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

__all__ = ["age_of_universe", "redshift_at_age"]

# A blueshift of 0.01 is the farthest that spectra come with, a redshift of 20 the other.
ENDS, NODES = (-0.02, 20.5), 500


def age_of_universe(zred: np.ndarray | float) -> np.ndarray:
    """Age of the Universe at redshift zred, Gyr; NaN for what is no redshift."""
    from astropy.cosmology import WMAP9  # 0.7 CPU s to import, and only surveys need it

    zred = np.asarray(zred, dtype=float)
    if not zred.size:  # astropy raises
        return zred
    possible = zred > -1  # beyond, and of NaN, it warns of an integral
    age = np.asarray(WMAP9.age(np.where(possible, zred, 0.0)).to_value("Gyr"))
    return np.where(possible, age, np.nan)


def redshift_at_age(age: np.ndarray | float) -> np.ndarray:
    """Redshift at which the Universe has an age, inverse of `age_of_universe` to 1e-9.

    Arguments:
        age: Gyr; below zero redshift it goes on to a blueshift of 0.02.

    Returns:
        NaN where the redshift is above 20.5 or below -0.02.
    """
    return np.expm1(_inverse()(np.log(age)))


@cache
def _inverse() -> CubicSpline:
    """ln(1 + zred) by ln(age), which is nearly a straight line."""
    stretch = np.linspace(*np.log1p(ENDS), NODES)[::-1]
    return CubicSpline(np.log(age_of_universe(np.expm1(stretch))), stretch, extrapolate=False)
