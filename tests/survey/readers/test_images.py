"""Spectra as rows of images: where their wavelengths and their unit are found."""

import numpy as np
import pytest
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.manga import Manga
from hpcsbi.survey.readers.manga_cube import MangaCube
from hpcsbi.survey.readers.stack import Stack

KINDS = (Manga, MangaCube, Stack)


def hdus(unit=None, name="FLUX"):
    """Two spectra of ten pixels."""
    flux = fits.ImageHDU(np.ones((2, 10)), name=name)
    if unit is not None:
        flux.header["BUNIT"] = unit
    return fits.HDUList([fits.PrimaryHDU(), flux, fits.ImageHDU(np.arange(10.0), name="WAVE")])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("unit", "expected"),
    [(None, 1e-17), ("1E-17 erg/s/cm^2/Ang", 1e-17), ("1e-16 erg s-1 cm-2 Angstrom-1", 1e-16)],
)
def test_the_unit_is_that_of_the_flux(kind, unit, expected):
    """What surveys take for granted, or what the header says."""
    assert kind().unit(hdus(unit)) == pytest.approx(expected, rel=1e-6)
    assert [hdu.name for hdu in kind().wave_hdus(hdus(unit))] == ["WAVE"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", ["Jy", "counts"])
def test_what_is_no_flux_per_wavelength_is_refused(kind, unit):
    """With the unit that was found."""
    with pytest.raises(BadInput, match=unit):
        kind().unit(hdus(unit))
