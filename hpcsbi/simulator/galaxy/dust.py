"""Attenuation curves, as FSPS has them."""

from collections.abc import Callable

import numpy as np

from hpcsbi.errors import BadInput

__all__ = [
    "BUMP",
    "CURVES",
    "FREE_SLOPE",
    "birth_cloud",
    "calzetti",
    "calzetti_pieces",
    "check_curve",
    "drude",
    "dust_curve",
    "kriek_conroy",
]

FREE_SLOPE = 4  # Kriek & Conroy
BREAK = 6300.0  # Angstrom, where the two pieces of Calzetti's curve meet, within a percent
R_V = 4.05
BUMP = (0.85, -1.9)  # strength at slope 0, and by how much it changes with the slope
BUMP_CENTRE, BUMP_WIDTH = 2175.0, 350.0  # Angstrom


def dust_curve(wave: np.ndarray, dust_type: int) -> np.ndarray:
    """Optical depth at each wavelength for dust2 = 1, as FSPS has it, shape of `wave`.

    Where the slope is free it is a smooth curve of its kind: what a table's moments are about, and
    what reddening is measured by.

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


def check_curve(curve: np.ndarray, wave: np.ndarray, dust_type: int) -> None:
    """Refuse a table whose curve is not `dust_curve` of a type.

    Raises:
        BadInput: it was made for another.
    """
    if not np.allclose(curve, dust_curve(wave, dust_type), rtol=0, atol=1e-6):
        raise BadInput(
            f"the table's dust_curve is not that of physics.dust_type {dust_type}: name the table "
            "of this physics, or make it with jobs/tabulate.py."
        )


def power_law(wave: np.ndarray) -> np.ndarray:
    """The screen of Charlot & Fall with FSPS's default index, 1 at 5500 Angstrom."""
    return (wave / 5500.0) ** -0.7


def calzetti(wave: np.ndarray) -> np.ndarray:
    """Starburst galaxies, divided by R_V = 4.05 and 0.44, that of stellar to nebular reddening.

    References:
        Calzetti et al. 2000, arXiv:astro-ph/9911459, equation 4; FSPS's manual, "dust_type".
    """
    blue, red = calzetti_pieces(wave)
    return np.where(wave > BREAK, red, blue)


def calzetti_pieces(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both pieces of `calzetti` at every wavelength, on either side of BREAK."""
    x = 1e4 / wave
    red = 1.17 * (-1.857 + 1.04 * x) + 1.78
    blue = 1.17 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))) + 1.78
    return blue / (0.44 * R_V), red / (0.44 * R_V)


def drude(wave: np.ndarray) -> np.ndarray:
    """Profile of the bump at 2175 Angstrom, in the unit of `calzetti`, for a strength of one."""
    width = wave * BUMP_WIDTH
    return width**2 / ((wave**2 - BUMP_CENTRE**2) ** 2 + width**2) / R_V


def kriek_conroy(wave: np.ndarray, index: float) -> np.ndarray:
    """Calzetti's curve and a bump, times a power law; the steeper, the stronger the bump.

    Arguments:
        wave: Angstrom.
        index: of the power law, FSPS's dust_index.

    References:
        Kriek & Conroy 2013, arXiv:1308.1099, equations 1 to 3; dust_type = 4 of FSPS.
    """
    strength = BUMP[0] + BUMP[1] * index
    return (calzetti(wave) + strength * drude(wave)) * (wave / 5500.0) ** index


def birth_cloud(wave: np.ndarray) -> np.ndarray:
    """Optical depth for dust1 = 1, FSPS's dust1_index of -1 (Charlot & Fall 2000 have -0.7)."""
    return 5500.0 / wave


def _smooth(wave: np.ndarray) -> np.ndarray:
    """A power law, in the optical as steep as `kriek_conroy` with an index of -0.15."""
    return (wave / 5500.0) ** -1.3


CURVES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    0: power_law,
    2: calzetti,
    FREE_SLOPE: _smooth,
}
