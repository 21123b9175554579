"""What is counted, and what is flagged, on the grid."""

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.quality import quality

GRID = Grid()


def test_quality_of_a_half_masked_spectrum():
    """Valid pixels and the median S/N are counted on what is not masked."""
    ivar = np.ones((2, 138))
    ivar[0, 69:], ivar[1, :] = 0, 4
    flux = np.full((2, 138), 10.0)

    n_pixels, snr, flags = quality(flux, ivar, GRID.edges)

    assert n_pixels.tolist() == [69, 138] and snr.tolist() == [10, 20]
    assert flags.tolist() == [0, 0]


def test_what_is_missing_is_flagged():
    """Too few pixels, too much noise, no flux, no pixels at the 4000 Angstrom break."""
    ivar, flux = np.ones((4, 138)), np.full((4, 138), 10.0)
    ivar[0, 10:] = 0
    flux[1], flux[2] = 1.0, -1.0
    ivar[3, :10] = 0

    flags = quality(flux, ivar, GRID.edges)[2]

    found = [Flag(int(value)) for value in flags]
    assert Flag.NO_DATA in found[0] and Flag.FEW_PIXELS in found[0]
    assert found[1] == Flag.LOW_SN and found[2] == Flag.LOW_SN | Flag.NEGATIVE_FLUX
    assert found[3] == Flag.COVERAGE
