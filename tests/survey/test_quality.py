"""What is counted, and what is flagged, on the grid."""

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.grid import REFERENCE_WIDTH, Grid
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


def test_the_same_spectrum_is_judged_alike_on_any_pixels():
    """White noise of S/N 4 or 6 in 42 Angstrom, a tenth or a quarter covered: the same flags."""
    for snr, share in ((4, 1.0), (6, 1.0), (6, 0.1), (6, 0.2)):
        flags = []
        for grid in (GRID, Grid(pixels=1151), Grid(pixels=1347, spacing="log")):
            ivar = snr**2 * np.diff(grid.edges)[None] / REFERENCE_WIDTH
            ivar[:, round(share * grid.pixels) :] = 0.0
            flags.append(int(quality(np.ones(ivar.shape), ivar, grid.edges)[2][0]))

        assert len({*flags}) == 1, (snr, share, flags)
        assert bool(flags[0] & Flag.LOW_SN) == (snr < 5)
        assert bool(flags[0] & Flag.NO_DATA) == (share < 0.14)
        assert bool(flags[0] & Flag.FEW_PIXELS) == (share < 0.3)
