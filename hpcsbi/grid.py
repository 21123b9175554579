"""The wavelength grid: rest-frame pixels, vacuum, Angstrom, and how a spectrum is read on them."""

import math
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from scipy.constants import speed_of_light

from hpcsbi.arguments import OneOf, refuse_wrong
from hpcsbi.errors import BadInput

__all__ = ["REFERENCE_WIDTH", "Grid", "fewest_pixels", "rows_at_once"]

REFERENCE_WIDTH = 5750 / 137  # Angstrom, of the default grid: "a pixel" of what is known a pixel
LIBRARY_WIDTH = 0.9  # Angstrom, of the pixels of MILES in FSPS
MOST = 10_000  # pixels: the raw table of so many takes 2 GB
NARROW = 20.0  # Angstrom: pixels that a line of 350 km/s may fill
STEP = 0.45  # largest of `Grid.fine_for`, in dispersions of a line: as `fine` of 350 km/s
STEPS = (0.5, 2.0)  # largest steps of `Grid.fine`, in narrow and in wide pixels


@dataclass(frozen=True)
class Grid:
    """Pixels between two centres, equally wide or in equal steps of ln(wavelength).

    Arguments:
        first, last: centres of the first and last pixel, Angstrom, vacuum, rest frame.
        pixels: number of pixels.
        sampling: "mean" (the mean of F_lambda over the pixel, what flux-conserving rebinning of
            real data gives) or "point" (F_lambda at the centre, what the paper's resampling gives).
        spacing: "linear" (equal pixels) or "log" (pixels of one velocity width; their centres are
            the geometric means of their edges).

    Raises:
        BadInput: an empty or reversed grid, an unknown sampling or spacing, pixels outside the
            library or narrower than its own, or more than a table can hold.

    Example:
        >>> grid = Grid(first=3750.0, last=9500.0, pixels=138)
        >>> grid.wave[[0, -1]]
        array([3750., 9500.])
        >>> round(grid.widths[0], 2), grid.fine.shape
        (41.97, (138, 21))
    """

    first: float = 3750.0
    last: float = 9500.0
    pixels: int = 138
    sampling: Annotated[str, OneOf(("mean", "point"))] = "mean"
    spacing: Annotated[str, OneOf(("linear", "log"))] = "linear"

    def __post_init__(self) -> None:
        refuse_wrong(Grid, vars(self), "grid")
        if self.pixels < 20 or not 1000 <= self.first < self.last <= 25_000:
            raise BadInput(
                f"grid of {self.pixels} pixels from {self.first} to {self.last} Angstrom: it takes "
                "at least 20 pixels between 1000 and 25000 Angstrom."
            )
        if self.pixels > MOST:
            raise BadInput(
                f"grid.pixels is {self.pixels}: a table holds up to {MOST} (2 GB); take fewer."
            )
        if (narrowest := self.widths.min()) < LIBRARY_WIDTH:
            raise BadInput(
                f"grid.pixels is {self.pixels}: pixels of {narrowest:.2g} Angstrom are narrower "
                f"than those of FSPS's library, {LIBRARY_WIDTH}; take fewer."
            )

    @property
    def wave(self) -> np.ndarray:
        """Pixel centres, Angstrom, shape (pixels,)."""
        if self.spacing == "log":
            return np.geomspace(self.first, self.last, self.pixels)
        return np.linspace(self.first, self.last, self.pixels)

    @property
    def widths(self) -> np.ndarray:
        """Width of each pixel, Angstrom, shape (pixels,)."""
        if self.spacing == "log":
            return np.diff(self.edges)
        return np.full(self.pixels, (self.last - self.first) / (self.pixels - 1))

    @property
    def edges(self) -> np.ndarray:
        """Pixel edges, Angstrom, shape (pixels + 1,)."""
        steps = np.arange(self.pixels + 1) - 0.5
        if self.spacing == "log":
            return self.first * np.exp(steps * math.log(self.last / self.first) / (self.pixels - 1))
        return self.first + self.widths[0] * steps

    @property
    def fine(self) -> np.ndarray:
        """Wavelengths whose mean is the pixel's value, equal steps in each, shape (pixels, n_fine).

        The mean of points at a step h over a pixel that a line of dispersion s fills is wrong by up
        to (h / s)^2 / 24 of the line, over a wide one by h^2 / (50 s^2): steps of 0.5 Angstrom in
        pixels of up to 20, and of 2 in wider ones, keep both below 1 % from 100 km/s on, and from
        350 km/s on, at 3750 Angstrom (s = 1.25 and 4.4).
        """
        return self._points(self._steps())

    def fine_for(self, dispersion: float) -> np.ndarray:
        """`fine`, with steps for lines of this dispersion, km/s, wherever those are smaller."""
        line = self.wave * dispersion * 1e3 / speed_of_light
        return self._points(max(self._steps(), math.ceil((self.widths / line).max() / STEP)))

    def _steps(self) -> int:
        widest = self.widths.max()
        return math.ceil(widest / STEPS[bool(widest > NARROW)])

    def _points(self, n: int) -> np.ndarray:
        """The middles of n equal parts of each pixel."""
        if self.sampling == "point":
            return self.wave[:, None]
        widths = self.widths[:, None]
        middle = self.wave if self.spacing == "linear" else (self.edges[1:] + self.edges[:-1]) / 2
        return middle[:, None] + widths * ((np.arange(n) + 0.5) / n - 0.5)

    def settings(self) -> dict:
        """Plain numbers from which `Grid(**settings)` makes an equal grid."""
        known = asdict(self)
        if self.spacing == "linear":  # as stores have it that know no other
            del known["spacing"]
        return known


def fewest_pixels(pixels: int, of_default: int = 20) -> int:
    """Valid pixels of which a galaxy is inferred: 20, or as large a share of more than 138.

    Arguments:
        pixels: of the grid.
        of_default: another number than 20.
    """
    return max(of_default, round(pixels * of_default / Grid.pixels))


def rows_at_once(of_default: int, pixels: int) -> int:
    """Spectra that take no more memory than so many of the default grid, at least one.

    Arguments:
        of_default: spectra of 138 pixels.
        pixels: of the grid.
    """
    return max(of_default * Grid.pixels // max(pixels, Grid.pixels), 1)
