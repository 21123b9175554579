"""MaNGA spectra stacked in images: rows under a mask, and wavelengths of each row."""

import gzip

import numpy as np
import survey_files
from survey_files import DATA, configured, continuum, image, read, real

from hpcsbi.survey.geometry import groups


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


@real
def test_real_manga_spectra():
    """Eight spectra of which one is masked throughout."""
    (spectra,) = read(configured("manga"), DATA / "MaNGA_test_spectra.fits.gz")

    assert (spectra.ivar > 0).any(1).tolist() == [True] * 5 + [False] + [True] * 2
    assert gzip.decompress((DATA / "MaNGA_test_spectra.fits.gz").read_bytes())[:6] == b"SIMPLE"
