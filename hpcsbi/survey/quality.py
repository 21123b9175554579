"""What a spectrum on the grid is good for: valid pixels, signal to noise, flags."""

import numpy as np

from hpcsbi.flags import bits
from hpcsbi.grid import REFERENCE_WIDTH, fewest_pixels

__all__ = ["quality"]

BREAK = ((3850.0, 4000.0), (4000.0, 4150.0))  # Angstrom: both sides of the 4000 Angstrom break


def quality(
    flux: np.ndarray,
    ivar: np.ndarray,
    edges: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Valid pixels, signal to noise and flags of spectra on the grid.

    Arguments:
        flux, ivar: shape (rows, pixel); ivar 0 is the mask.
        edges: pixel edges, Angstrom, shape (pixel + 1,).

    Returns:
        n_pixels int32, snr float32 (median over valid pixels, 0 where there are none), flags int32,
        of which LOW_SN goes by what snr would be in pixels of REFERENCE_WIDTH.
    """
    valid, few = ivar > 0, fewest_pixels(ivar.shape[1])
    n_pixels = valid.sum(1)
    ratio = np.where(valid, flux * np.sqrt(ivar), np.nan)
    ratio[n_pixels == 0] = 0.0
    snr = np.nanmedian(ratio, axis=1)
    # White noise averages out: in wider pixels S/N rises by the root of the width.
    wide_snr = np.nanmedian(ratio * np.sqrt(REFERENCE_WIDTH / np.diff(edges)), axis=1)
    covered = [valid[:, (edges[1:] > low) & (edges[:-1] < high)].any(1) for low, high in BREAK]
    flags = bits(
        NO_DATA=n_pixels < few,
        FEW_PIXELS=(n_pixels < 2 * few) | (n_pixels < 0.25 * valid.shape[1]),
        NEGATIVE_FLUX=(n_pixels > 0) & (snr <= 0),
        LOW_SN=wide_snr < 5,
        COVERAGE=~(covered[0] & covered[1]),
    )
    return n_pixels.astype(np.int32), snr.astype(np.float32), flags
