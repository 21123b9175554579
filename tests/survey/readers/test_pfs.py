"""Spectra of PFS: frequencies to wavelengths, masks by name, both layouts, and bad files."""

import numpy as np
import pytest
import survey_files
from astropy import units
from survey_files import change, configured, read

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.source import Source

SURVEY = configured("pfs")
FLUX = units.erg / units.s / units.cm**2 / units.AA


@pytest.mark.parametrize(
    "layout", [{}, {"axis": False}, {"images": False}, {"table": False}, {"unit": "nJy"}]
)
def test_flux_is_per_wavelength_as_astropy_has_it(layout, tmp_path):
    """From images or table; wavelengths by header or HDU; S/N stays."""
    (block,) = read(SURVEY, survey_files.pfs(tmp_path / "pfsObject.fits", **layout))

    wave = (380 + 0.2 * np.arange(4400)) * units.nm
    right = (20_000 * units.nJy).to(FLUX, units.spectral_density(wave)).value
    np.testing.assert_allclose(block.wave, wave.to_value(units.AA), rtol=1e-9)
    np.testing.assert_allclose(block.flux[0] * block.unit, right, rtol=1e-6)
    np.testing.assert_allclose(block.flux * np.sqrt(block.ivar), 10, rtol=1e-6)
    assert block.id == ["7-123456789012345"] and block.air is False
    assert block.identity.key == ["pfsObject"]
    assert [block.identity.ra, block.identity.dec] == pytest.approx(survey_files.PLACE)


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("planes", [True, False])
def test_planes_that_spoil_the_flux_are_masked(planes, images, tmp_path):
    """By their names in the file; where it names none, any bit."""
    mask = np.zeros(4400, dtype="i4")
    mask[[3, 4, 5]] = 1 << 0, 1 << 5, 1 << 8 | 1 << 5  # BAD, DETECTED, NO_DATA
    path = survey_files.pfs(tmp_path / "p.fits", mask=mask, planes=planes, images=images)
    (block,) = read(SURVEY, path)
    assert np.flatnonzero(block.ivar[0] == 0).tolist() == ([3, 5] if planes else [3, 4, 5])


def test_what_has_no_variance_is_masked(tmp_path):
    """Zero, negative, infinite or NaN."""
    variance = np.full((3, 4400), 4.0, dtype="f4")
    variance[0, :4] = 0, -1, np.inf, np.nan
    path = change(
        survey_files.pfs(tmp_path / "p.fits"),
        lambda hdus: [*hdus[:3], survey_files.image("COVAR", variance), *hdus[4:]],
    )
    (block,) = read(SURVEY, path)
    assert np.flatnonzero(block.ivar[0] == 0).tolist() == [0, 1, 2, 3]


def test_without_a_redshift_there_is_a_reason(tmp_path):
    """And no number."""
    (block,) = read(SURVEY, survey_files.pfs(tmp_path / "p.fits"))
    made = columns_of(block, SURVEY.air, Grid())
    assert made["flags"][0] & Flag.Z_RANGE and not made["ivar"].any()
    assert "give it in ingest.redshifts" in made["reason"][0]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda h: [*h[:3], survey_files.image("COVAR", np.ones((2, 4400))), *h[4:]],
         "COVAR has shape"),
        (lambda h: [h[0], survey_files.image("FLUX", np.ones((2, 9))), *h[2:]],
         "one spectrum a file"),
        (lambda h: [h[0], survey_files.image("FLUX", np.ones(4400)), *h[2:]], "no wavelengths"),
        (lambda h: [h[0], survey_files.image("FLUX", np.ones(4400), BUNIT="electron"), *h[2:]],
         "not a flux density per frequency"),
        (lambda h: h[:-1], "needs TARGET"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_line(edit, words, tmp_path):
    """Mixed shapes, several spectra, no wavelengths, another unit, no object."""
    path = change(survey_files.pfs(tmp_path / "p.fits"), edit)
    with pytest.raises(BadInput, match=words) as caught:
        SURVEY.look(Source(str(path)))
    assert "\n" not in str(caught.value)


def test_angstrom_without_a_unit_are_seen(tmp_path):
    """Numbers that no nanometre of this spectrograph has."""
    wave = survey_files.image("WAVELENGTH", np.linspace(3800, 12_600, 4400))
    path = change(
        survey_files.pfs(tmp_path / "p.fits", axis=False), lambda h: [*h[:4], wave, *h[5:]]
    )
    with pytest.raises(BadInput, match="12600 nm: say their unit"):
        read(SURVEY, path)
