"""Slopes of spectra by ln(wavelength), as `additive_errors.slopes` has them."""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import compiled

__all__ = ["REACH", "SIZES", "slope"]

REACH = 6  # pixels on either side: slopes are right to 1.6 % of lines of 1.2 pixels, .1 % of 1.7


def _size(k: int) -> float:
    """Of the difference of pixels k to either side: Fornberg 1988, Math. Comp. 51, 699, table 1."""
    size = math.factorial(REACH) ** 2 / (k * math.factorial(REACH - k) * math.factorial(REACH + k))
    return size if k % 2 else -size


SIZES = tuple(_size(k) for k in range(1, REACH + 1))
SINGLES = tuple(np.float32(size) for size in SIZES)


@compiled
def slope(flux: np.ndarray, steps: np.ndarray, padded: np.ndarray, out: np.ndarray) -> None:
    """Slope of one spectrum. Domain: any numbers; what is not finite gives NaN or inf around it.

    Arguments:
        flux: float32, shape (pixels,).
        steps: of ln(wavelength), one over them, float32, shape (pixels,).
        padded: room to work in, float32, shape (pixels + 2 REACH,).
        out: filled, float32, shape (pixels,); may be `flux` itself.
    """
    pixels = len(flux)
    for p in range(pixels):
        padded[REACH + p] = flux[p]
    for k in range(1, REACH + 1):  # beyond its ends as its mirror image, through the last pixel
        right, left = min(k, pixels - 1), max(pixels - 1 - k, 0)
        padded[REACH - k] = np.float32(2) * flux[0] - flux[right]
        padded[REACH + pixels - 1 + k] = np.float32(2) * flux[pixels - 1] - flux[left]
    one, two, three, four, five, six = SINGLES
    for p in range(pixels):
        total = one * (padded[p + 7] - padded[p + 5])
        total += two * (padded[p + 8] - padded[p + 4])
        total += three * (padded[p + 9] - padded[p + 3])
        total += four * (padded[p + 10] - padded[p + 2])
        total += five * (padded[p + 11] - padded[p + 1])
        total += six * (padded[p + 12] - padded[p])
        out[p] = total * steps[p]
