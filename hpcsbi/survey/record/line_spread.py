"""The line-spread function: what an instrument adds to the width of lines, by wavelength.

A curve is a few numbers: the dispersion at KNOTS rest wavelengths, between which its square, which
is what adds up, is a line in ln(wavelength). A line-spread function is taken as a Gaussian.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import speed_of_light

from hpcsbi.errors import BadInput

__all__ = ["FWHM", "KNOTS", "LIGHT", "LineSpread", "at_knots", "between_knots", "knots"]

KNOTS = 16  # of 3750 to 9500 Angstrom 6 % apart: the two arms of a spectrograph stay two
ENOUGH = 512  # of a spectrum's pixels: a curve is smooth
LIGHT = speed_of_light / 1e3  # km/s
FWHM = math.sqrt(8 * math.log(2))  # of a Gaussian, in its dispersions


@dataclass(frozen=True)
class LineSpread:
    """The line-spread function of an instrument, known at some observed wavelengths.

    Between them the logarithm of the resolution is a line in that of the wavelength; beyond them
    the nearest counts.

    Arguments:
        wave: observed wavelengths, ascending, Angstrom.
        resolution: wavelength over FWHM at each of them.

    Raises:
        BadInput: no numbers, or numbers that are no such curve.

    Example:
        >>> LineSpread((4000.0, 8000.0), (2000.0, 4000.0)).dispersion(np.array([4000.0])).round(1)
        array([63.7])
    """

    wave: Sequence[float]
    resolution: Sequence[float]

    def __post_init__(self) -> None:
        wave, resolution = (np.asarray(v, dtype=float) for v in (self.wave, self.resolution))
        if not (
            wave.ndim == 1 and wave.shape == resolution.shape and len(wave)
            and np.isfinite([wave, resolution]).all()
            and (wave > 0).all() and (resolution > 0).all() and (np.diff(wave) > 0).all()
        ):  # fmt: skip
            raise BadInput(
                f"line spread of wavelengths {list(self.wave)} and resolutions "
                f"{list(self.resolution)}: it takes as many of both, positive, and wavelengths "
                "that rise."
            )

    def dispersion(self, observed: np.ndarray) -> np.ndarray:
        """What the instrument adds, km/s, shape of `observed`.

        Arguments:
            observed: wavelengths, Angstrom.
        """
        log = np.interp(np.log(observed), np.log(self.wave), np.log(self.resolution))
        return LIGHT / FWHM / np.exp(log)

    def at_knots(self, wave: np.ndarray, zred: np.ndarray) -> np.ndarray:
        """Its numbers for objects at redshifts, km/s, shape (n, KNOTS).

        Arguments:
            wave: pixel centres of the grid, rest frame, shape (pixels,).
            zred: shape (n,).
        """
        return self.dispersion(knots(wave) * (1 + np.asarray(zred, dtype=float)[:, None]))


def knots(wave: np.ndarray) -> np.ndarray:
    """Rest wavelengths of the numbers of a curve, Angstrom, shape (KNOTS,).

    Arguments:
        wave: pixel centres of the grid, ascending, shape (pixels,).
    """
    return np.geomspace(wave[0], wave[-1], KNOTS)


def between_knots(wave: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
    """Weights of the squares at the knots in that of each wavelength, shape (KNOTS, wavelengths).

    Arguments:
        wave: pixel centres of the grid, shape (pixels,).
        at: wavelengths, beyond the knots the nearest of which counts; None: the pixels themselves.
    """
    place = np.log(wave if at is None else at)
    nodes = np.log(knots(wave))
    return np.array([np.interp(place, nodes, unit) for unit in np.eye(KNOTS)])


def at_knots(wave: np.ndarray, rest: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Numbers of a curve that is given at pixels, by least squares, km/s, shape (KNOTS,).

    A knot far from all pixels has the curve of the nearest.

    Arguments:
        wave: pixel centres of the grid, shape (pixels,).
        rest: rest wavelengths of a spectrum's own pixels, Angstrom, ascending, shape (native,).
        dispersion: at each of them, km/s; what is not finite and positive is not known, (native,).

    Returns:
        NaN where nothing is known.
    """
    known = np.isfinite(dispersion) & (dispersion > 0)
    known &= (rest >= wave[0]) & (rest <= wave[-1])
    if not known.any():
        return np.full(KNOTS, np.nan)
    rest, square = rest[known], dispersion[known] ** 2
    every = max(len(rest) // ENOUGH, 1)
    design, square = between_knots(wave, rest[::every]).T, square[::every]
    rest = rest[::every]
    nearest = np.interp(np.log(knots(wave)), np.log(rest), square)
    # A weak pull towards the nearest pixel decides where there is none.
    pull = 1e-6 * len(rest) / KNOTS * np.eye(KNOTS)
    solved = np.linalg.solve(design.T @ design + pull, design.T @ square + pull @ nearest)
    return np.sqrt(solved.clip(square.min() / 2, 2 * square.max()))
