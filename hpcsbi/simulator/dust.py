"""Attenuation curves, as FSPS has them."""

from collections.abc import Callable

import numpy as np

from hpcsbi.errors import BadInput

__all__ = ["CURVES", "dust_curve"]


def dust_curve(wave: np.ndarray, dust_type: int) -> np.ndarray:
    """Optical depth at each wavelength for dust2 = 1, as FSPS has it, shape of `wave`.

    Arguments:
        wave: Angstrom, 1200 to 22000.
        dust_type: a number of FSPS that `CURVES` knows.

    Raises:
        ValueError: another type.
    """
    if dust_type not in CURVES:
        numbers = " or ".join(map(str, CURVES))
        raise BadInput(f"dust_type {dust_type} has no closed form here: choose {numbers}.")
    return CURVES[dust_type](np.asarray(wave, dtype=float))


def power_law(wave: np.ndarray) -> np.ndarray:
    """The screen of Charlot & Fall with FSPS's default index, 1 at 5500 Angstrom."""
    return (wave / 5500.0) ** -0.7


def calzetti(wave: np.ndarray) -> np.ndarray:
    """Starburst galaxies, divided by R_V = 4.05 and 0.44, that of stellar to nebular reddening.

    References:
        Calzetti et al. 2000, arXiv:astro-ph/9911459, equation 4; FSPS's manual, "dust_type".
    """
    x = 1e4 / wave
    red = 1.17 * (-1.857 + 1.04 * x) + 1.78
    blue = 1.17 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))) + 1.78
    return np.where(wave > 6300, red, blue) / (0.44 * 4.05)


CURVES: dict[int, Callable[[np.ndarray], np.ndarray]] = {0: power_law, 2: calzetti}
