"""MaNGA spectra stacked in images: rows under a mask, and wavelengths of each row."""

import gzip

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import DATA, configured, continuum, image, read, real

from hpcsbi.grid import Grid
from hpcsbi.survey.geometry import groups
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.line_spread import LIGHT


def test_manga_masked_rows(tmp_path):
    """Bit 10 masks a row; what lies beneath does not get out."""
    (spectra,) = read(configured("manga"), survey_files.manga(tmp_path / "m.fits.gz", masked=[1]))

    assert (spectra.ivar[1] == 0).all() and (spectra.ivar[0] > 0).all()


def test_wavelengths_of_each_row_are_its_own(tmp_path):
    """A stack with a WAVE image: rows beyond the first block keep their wavelengths."""
    rows = 70
    wave = np.tile(3600 + 2.0 * np.arange(2000), (rows, 1))
    wave[64:] *= 1.005
    path = survey_files.write(
        tmp_path / "stack.fits", image("WAVE", wave), image("FLUX", continuum(wave)),
        image("IVAR", np.ones(wave.shape)), image("MASK", np.zeros(wave.shape, "i4")),
        image("Z", np.full(rows, 0.03)),
    )  # fmt: skip

    blocks = read(configured("manga"), path)

    found = [(b, group) for b in blocks for group in groups(b)[0]]
    for _, group in found:
        np.testing.assert_allclose(group.flux, np.tile(continuum(group.wave), (len(group.flux), 1)))
    assert [round(group.wave[0]) for _, group in found] == [3600, 3618]


def test_a_resolution_is_a_width(tmp_path):
    """SRES is wavelength over FWHM; a row of negative ones is not known, nor a file without."""
    path = survey_files.manga(tmp_path / "m.fits")
    with fits.open(path) as hdus:
        shape = hdus["FLUX"].shape
        hdus["SRES"].data = np.full(shape, 2000.0)
        hdus["SRES"].data[1] = -5.0
        hdus.writeto(tmp_path / "with.fits")
        del hdus["SRES"]
        hdus.writeto(tmp_path / "without.fits")
    (without,), (told,) = (
        read(configured("manga"), tmp_path / name) for name in ("without.fits", "with.fits")
    )

    assert without.dispersion is None and told.dispersion.shape == shape
    fine = np.linspace(4990, 5010, 20001)
    line = np.exp(-0.5 * ((fine / 5000 - 1) / (told.dispersion[0, 0] / LIGHT)) ** 2)
    assert np.ptp(fine[line > 0.5]) == pytest.approx(5000 / 2000, abs=0.01)
    numbers = columns_of(told, False, Grid())["instrument"]
    assert numbers[0] == pytest.approx(63.65, rel=1e-3) and np.isnan(numbers[1]).all()


@real
def test_real_manga_spectra():
    """Eight spectra of which one is masked throughout."""
    (spectra,) = read(configured("manga"), DATA / "MaNGA_test_spectra.fits.gz")

    assert (spectra.ivar > 0).any(1).tolist() == [True] * 5 + [False] + [True] * 2
    assert gzip.decompress((DATA / "MaNGA_test_spectra.fits.gz").read_bytes())[:6] == b"SIMPLE"
