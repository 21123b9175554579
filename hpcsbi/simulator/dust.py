"""Attenuation curves, as FSPS has them."""

import numpy as np

from hpcsbi.errors import BadInput

__all__ = ["dust_curve"]


def dust_curve(wave: np.ndarray, dust_type: int) -> np.ndarray:
    """Optical depth at each wavelength for dust2 = 1, as FSPS has it, shape of `wave`.

    Arguments:
        wave: Angstrom, 1200 to 22000.
        dust_type: 0 (power law) or 2 (Calzetti).

    Raises:
        ValueError: another type.

    References:
        Calzetti et al. 2000, arXiv:astro-ph/9911459, equation 4, divided by R_V = 4.05 and by 0.44,
        the ratio of nebular to stellar reddening; FSPS's manual, "dust_type".
    """
    if dust_type == 0:
        return (wave / 5500.0) ** -0.7
    if dust_type != 2:
        raise BadInput(f"dust_type {dust_type} has no closed form here: choose 0 or 2.")
    x = 1e4 / np.asarray(wave, dtype=float)
    red = 1.17 * (-1.857 + 1.04 * x) + 1.78
    blue = 1.17 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))) + 1.78
    return np.where(np.asarray(wave) > 6300, red, blue) / (0.44 * 4.05)
