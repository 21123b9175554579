"""Cubes of MaNGA: spaxels, bins and fibres as rows, their places, redshift, and bad files."""

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import change, configured, continuum, read

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.manga_cube import spaxel_rows
from hpcsbi.survey.record.line_spread import FWHM, LIGHT
from hpcsbi.survey.record.source import Source

SURVEY = configured("manga_cube")
BINS = np.array([[-1, 0, 0, 4], [2, 0, 2, 4], [2, -1, -1, 4]])


def test_every_spaxel_is_a_row(tmp_path):
    """Line by line, with its own place; all have the id and redshift of their galaxy."""
    path = survey_files.manga_cube(tmp_path / "manga-1-LOGCUBE.fits.gz")
    (block,) = read(SURVEY, path)
    assert block.flux.shape == (12, 4563) and {*block.id} == {"7443-12703"}
    assert block.identity.key[:5] == [
        f"manga-1-LOGCUBE-{n}" for n in ("0-0", "0-1", "0-2", "0-3", "1-0")
    ]
    assert block.zred == pytest.approx(0.03) and block.ebv == pytest.approx(0.86 * 0.02)
    np.testing.assert_allclose(block.dispersion, LIGHT / FWHM / 2000)
    assert block.unit == pytest.approx(1e-17)
    # CRPIX 2 is the second spaxel, whose place the header gives; east is left.
    assert [block.identity.ra[5], block.identity.dec[5]] == pytest.approx(survey_files.PLACE)
    assert (
        block.identity.ra[4] > block.identity.ra[5]
        and block.identity.dec[9] > block.identity.dec[5]
    )


def test_every_bin_is_a_row(tmp_path):
    """In the order of their ids, whatever their places; spaxels without a bin are in none."""
    path = survey_files.manga_cube(tmp_path / "manga-1-LOGCUBE-VOR10.fits", bins=BINS)
    (block,) = read(SURVEY, path)
    level = block.flux[:, 0] / continuum(block.wave[0])
    assert level == pytest.approx([1.0, 1.02, 1.04], rel=1e-6)
    assert block.identity.key == [f"manga-1-LOGCUBE-VOR10-{n}" for n in (0, 2, 4)]
    with fits.open(path) as hdus:
        numbers = spaxel_rows(hdus)
    assert numbers.tolist() == [[-1, 0, 0, 2], [1, 0, 1, 2], [1, -1, -1, 2]]
    (some,) = read(SURVEY, path, slice(1, 3))
    np.testing.assert_array_equal(some.flux, block.flux[1:])


def test_every_fibre_is_a_row(tmp_path):
    """Of them any bit of the mask is bad."""
    path = survey_files.manga_cube(tmp_path / "manga-1-LOGRSS.fits", rss=True)
    mask = np.zeros((12, 4563), dtype="i4")
    mask[0, 7] = 1 << 21
    (block,) = read(
        SURVEY, change(path, lambda h: [*h[:3], survey_files.image("MASK", mask), *h[4:]])
    )
    assert block.flux.shape == (12, 4563) and np.argwhere(block.ivar == 0).tolist() == [[0, 7]]
    assert block.identity.key[-1] == "manga-1-LOGRSS-11"
    assert [block.identity.ra, block.identity.dec] == pytest.approx(survey_files.PLACE)


def test_masks_and_spreads_of_pixels_stay_with_them(tmp_path):
    """A bad bit in one pixel of one spaxel, an informative one beside; LSF as sigma in Angstrom."""
    mask, lsf = np.zeros((4563, 3, 4), dtype="i4"), np.full((4563, 3, 4), 1.0)
    mask[9, 1, 2], mask[9, 0, 0], lsf[9, 1, 2] = 1 << 10, 1 << 6, 2.0
    path = survey_files.manga_cube(tmp_path / "m.fits")
    (block,) = read(
        SURVEY,
        change(path, lambda h: [*h[:3], survey_files.image("MASK", mask), *h[4:],
                                survey_files.image("LSFPOST", lsf)]),
    )  # fmt: skip
    assert np.argwhere(block.ivar == 0).tolist() == [[6, 9]]
    assert block.dispersion[6, 9] / block.dispersion[0, 9] == pytest.approx(2)
    assert block.dispersion[0] == pytest.approx(LIGHT / block.wave)


def test_without_a_redshift_there_is_a_reason(tmp_path):
    """As in cubes of the DRP."""
    path = survey_files.manga_cube(tmp_path / "m.fits", redshift=None)
    (block,) = read(SURVEY, path)
    assert np.isnan(block.zred).all() and block.zwarn.all()
    assert all("PLATEIFU" in reason for reason in block.reason)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda h: [*h[:2], survey_files.image("IVAR", np.ones((4563, 4, 3))), *h[3:]],
         "IVAR has shape"),
        (lambda h: [*h[:4], survey_files.image("WAVE", np.ones(9)), *h[5:]], "WAVE has shape"),
        (lambda h: [*h, survey_files.image("BINID", np.zeros((5, 4, 3)))], "BINID has shape"),
        (lambda h: [*h, survey_files.image("BINID", np.full((5, 3, 4), -1))], "no bins"),
        (lambda h: [*h[:4], survey_files.image("WAVE", np.ones(4563), BUNIT="nm"), *h[5:]],
         "BUNIT of WAVE"),
        (lambda h: [h[0], survey_files.image("FLUX", np.ones((4563, 3, 4)), BUNIT="Jy/spaxel"),
                    *h[2:]], "not a flux density per Angstrom"),
        (lambda h: h[:3], "found HDUs"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_line(edit, words, tmp_path):
    """Mixed shapes, other units, no bins, no wavelengths."""
    path = change(survey_files.manga_cube(tmp_path / "m.fits"), edit)
    with pytest.raises(BadInput, match=words) as caught:
        SURVEY.look(Source(str(path)))
    assert "\n" not in str(caught.value)
