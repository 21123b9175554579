"""Lines and bands: which of FSPS's lines belong, and means that dust can be put before."""

import numpy as np
import pytest

from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.indices import (
    BANDS,
    LIGHT,
    LINES,
    band_centres,
    band_means,
    line_centres,
    line_sums,
)

WAVE = np.arange(3000.0, 8000.0, 0.9)


def test_doublets_are_one_line():
    """Sums of what lies within an Angstrom; neighbours stay out."""
    wave = np.array([3727.12, 3730.12, 4862.8, 4960.4, 5008.3, 6549.9, 6564.7, 6585.4, 6718.4])
    sums = dict(zip(LINES, line_sums(wave, np.arange(1.0, 10.0)), strict=True))

    assert sums == {
        "oii_3726_3729": 3, "hbeta": 3, "oiii_5007": 5, "halpha": 7, "nii_6584": 8,
        "sii_6717_6731": 9,
    }  # fmt: skip
    assert line_sums(wave, np.ones((2, 5, 9))).shape == (2, 5, len(LINES))
    assert line_centres()[0] == pytest.approx(3728.5, abs=0.1)


def test_a_flat_spectrum_has_its_level_in_every_band():
    """Per Hertz in the break; what is flat per Angstrom beside the lines."""
    per_hertz = band_means(WAVE, np.ones(len(WAVE)), 2, 1)[0]
    per_angstrom = band_means(WAVE, WAVE**2 / LIGHT, 2, 1)[0]

    assert per_hertz[:2] == pytest.approx([1, 1])
    assert per_angstrom[2:] == pytest.approx(np.ones(len(BANDS) - 2), rel=1e-6)


@pytest.mark.parametrize("dust2", [0.0, 1.0, 4.0])
def test_moments_make_the_reddened_mean(dust2):
    """To the order of the moments, of a steep spectrum; without them a percent is missing."""
    flux = np.exp(3 * np.sin(WAVE / 40) + WAVE / 2000)
    reddened = flux * np.exp(-dust2 * dust_curve(WAVE, 2))
    exact = band_means(WAVE, reddened, 2, 1)[0]
    moments = band_means(WAVE, flux, 2, 3)
    screen = np.exp(-dust2 * dust_curve(band_centres(), 2))
    powers = dust2 ** np.arange(3)

    assert (powers @ moments) * screen == pytest.approx(exact, rel=2e-4)
    if dust2 == 4:
        assert np.abs(moments[0] * screen / exact - 1).max() > 0.01
