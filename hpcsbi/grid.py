"""The wavelength grid: rest-frame pixels, vacuum, Angstrom, and how a spectrum is read on them."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from hpcsbi.errors import BadInput

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """Equal pixels between two centres.

    Arguments:
        first, last: centres of the first and last pixel, Angstrom, vacuum, rest frame.
        pixels: number of pixels.
        sampling: "mean" (the mean of F_lambda over the pixel, what flux-conserving rebinning of
            real data gives) or "point" (F_lambda at the centre, what the paper's resampling gives).

    Raises:
        ValueError: an empty or reversed grid, an unknown sampling, pixels outside the library.

    Example:
        >>> grid = Grid(first=3750.0, last=9500.0, pixels=138)
        >>> grid.wave[[0, -1]]
        array([3750., 9500.])
        >>> round(grid.width, 2), grid.fine.shape
        (41.97, (138, 21))
    """

    first: float = 3750.0
    last: float = 9500.0
    pixels: int = 138
    sampling: str = "mean"

    def __post_init__(self) -> None:
        if self.sampling not in ("mean", "point"):
            raise BadInput(f"grid.sampling is {self.sampling!r}: choose 'mean' or 'point'.")
        if self.pixels < 20 or not 1000 <= self.first < self.last <= 25_000:
            raise BadInput(
                f"grid of {self.pixels} pixels from {self.first} to {self.last} Angstrom: it takes "
                "at least 20 pixels between 1000 and 25000 Angstrom."
            )

    @property
    def wave(self) -> np.ndarray:
        """Pixel centres, Angstrom, shape (pixels,)."""
        return np.linspace(self.first, self.last, self.pixels)

    @property
    def width(self) -> float:
        """Width of a pixel, Angstrom."""
        return (self.last - self.first) / (self.pixels - 1)

    @property
    def edges(self) -> np.ndarray:
        """Pixel edges, Angstrom, shape (pixels + 1,)."""
        return self.first + self.width * (np.arange(self.pixels + 1) - 0.5)

    @property
    def fine(self) -> np.ndarray:
        """Wavelengths whose mean is the pixel's value, shape (pixels, n_fine).

        At most 2 Angstrom apart: the narrowest line, 350 km/s at 3750 Angstrom, has sigma 4.4.
        """
        if self.sampling == "point":
            return self.wave[:, None]
        n = math.ceil(self.width / 2)
        return self.wave[:, None] + self.width * ((np.arange(n) + 0.5) / n - 0.5)

    def settings(self) -> dict:
        """Plain numbers from which `Grid(**settings)` makes an equal grid."""
        return asdict(self)
