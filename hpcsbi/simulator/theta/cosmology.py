"""The age of the Universe at a redshift, and back, in the paper's cosmology (WMAP9)."""

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

__all__ = ["age_of_universe", "redshift_at_age"]

# A blueshift of 0.01 is the farthest that spectra come with, a redshift of 20 the other.
ENDS, NODES = (-0.02, 20.5), 500


def age_of_universe(zred: np.ndarray | float) -> np.ndarray:
    """Age of the Universe at redshift zred, Gyr; NaN for what is no redshift.

    Between a blueshift of 0.02 and redshift 20.5 by a table, to 1e-10 of astropy's integral, which
    takes longer than the likelihood of a spectrum's draws.
    """
    zred = np.asarray(zred, dtype=float)
    possible = zred > -1  # beyond, and of NaN, astropy warns of an integral
    stretch = np.log1p(np.where(possible, zred, 0.0))
    age = np.exp(_tables()[0](stretch))
    beyond = possible & np.isnan(age)
    if beyond.any():
        age = np.where(beyond, _integrated(np.where(beyond, zred, 0.0)), age)
    return np.where(possible, age, np.nan)


def redshift_at_age(age: np.ndarray | float) -> np.ndarray:
    """Redshift at which the Universe has an age, inverse of `age_of_universe` to 1e-9.

    Arguments:
        age: Gyr; below zero redshift it goes on to a blueshift of 0.02.

    Returns:
        NaN where the redshift is above 20.5 or below -0.02.
    """
    return np.expm1(_tables()[1](np.log(age)))


@cache
def _tables() -> tuple[CubicSpline, CubicSpline]:
    """ln(age) by ln(1 + zred), which is nearly a straight line, and the inverse of it."""
    stretch = np.linspace(*np.log1p(ENDS), NODES)
    log_age = np.log(_integrated(np.expm1(stretch)))
    forth = CubicSpline(stretch, log_age, extrapolate=False)
    return forth, CubicSpline(log_age[::-1], stretch[::-1], extrapolate=False)


def _integrated(zred: np.ndarray) -> np.ndarray:
    from astropy.cosmology import WMAP9  # 0.7 CPU s to import, and only surveys need it

    return np.asarray(WMAP9.age(zred).to_value("Gyr"))
