"""Spectra of JWST: frequencies to wavelengths, and every layout that they come in."""

import numpy as np
import pytest
import survey_files
from astropy import units
from astropy.io import fits
from survey_files import DATA, change, configured, read, real

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.source import Source

SURVEY = configured("jwst")
FLUX = units.erg / units.s / units.cm**2 / units.AA


def refusal(path, survey=SURVEY):
    """The one line with which a file is refused."""
    with pytest.raises(BadInput) as caught:
        survey.look(Source(str(path)))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["SPEC1D", "EXTRACT1D"])
def test_flux_is_per_wavelength_as_astropy_has_it(kind, tmp_path):
    """And its error with it, so that S/N stays; wavelengths are in Angstrom and vacuum."""
    (spectra,) = read(SURVEY, survey_files.jwst(tmp_path / "a.fits", kind))

    wave = np.linspace(0.58, 5.3, 414) * units.um
    right = (20 * units.uJy).to(FLUX, units.spectral_density(wave)).value
    np.testing.assert_allclose(spectra.wave, wave.to_value(units.AA), rtol=1e-12)
    np.testing.assert_allclose(spectra.flux[0] * spectra.unit, right, rtol=1e-8)
    np.testing.assert_allclose(spectra.flux * np.sqrt(spectra.ivar), 10, rtol=1e-8)
    assert spectra.id == ["1345_933"] and spectra.air is False and not spectra.no_status.any()


def test_pixels_without_a_measurement_are_masked(tmp_path):
    """An error of 0, below, NaN or infinite; no flux; DO_NOT_USE of DQ and no other bit."""
    error, flux, quality = np.full(414, 1e-6), np.ones(414), np.zeros(414, dtype="i4")
    error[:4], flux[4], quality[5], quality[6] = [0, -1, np.nan, np.inf], np.nan, 3, 4
    path = survey_files.jwst(
        tmp_path / "a.fits", "EXTRACT1D", arrays={"error": error, "flux": flux, "DQ": quality}
    )

    (spectra,) = read(SURVEY, path)

    assert np.flatnonzero(spectra.ivar[0] == 0).tolist() == [0, 1, 2, 3, 4, 5]


def test_every_object_of_a_file_is_a_row(tmp_path):
    """Under its SRCNAME, or the file's name and a number."""
    path = survey_files.jwst(tmp_path / "a.fits", "EXTRACT1D", objects=3)
    assert [block.id for block in read(SURVEY, path)] == [
        ["1345_933"],
        ["1345_9331"],
        ["1345_9332"],
    ]
    assert [block.id for block in read(SURVEY, path, slice(1, 2))] == [["1345_9331"]]

    nameless = survey_files.jwst(tmp_path / "b.fits", "EXTRACT1D", objects=2, name="")
    assert [block.id for block in read(SURVEY, nameless)] == [["b-0"], ["b-1"]]
    assert SURVEY.look(Source(str(nameless))) == (2, ["HDUs SCI are not read"])


def test_no_redshift_is_said(tmp_path):
    """A flag and a reason with the mend, no number."""
    (spectra,) = read(SURVEY, survey_files.jwst(tmp_path / "a.fits"))
    table = columns_of(spectra, False, Grid())

    assert Flag.Z_RANGE | Flag.ZWARN | Flag.NO_DATA in Flag(int(table["flags"][0]))
    assert "ingest.redshifts" in table["reason"][0] and not table["ivar"].any()


def test_the_archives_spectra_without_quality_are_not_known_to_be_good(tmp_path):
    """msaexp has none to lack."""
    (spectra,) = read(SURVEY, survey_files.jwst(tmp_path / "a.fits", "EXTRACT1D", drop=["DQ"]))

    assert spectra.no_status.all() and (spectra.ivar > 0).all()


REFUSED = {
    "TUNIT of FLUX is 'erg/s/cm2/Angstrom'": {"units": {"flux": "erg/s/cm2/Angstrom"}},
    "TUNIT of FLUX is None": {"units": {"flux": None}},
    "TUNIT of ERR is 'DN'": {"units": {"error": "DN"}},
    "write both in one unit": {"units": {"error": "mJy"}},
    "TUNIT of WAVE is None": {"units": {"wave": None}},
    "found HDUs PRIMARY SPEC1D SCI": {"drop": ["error"]},
}


@pytest.mark.parametrize("words", REFUSED)
def test_other_units_and_columns_are_refused(words, tmp_path):
    """One line each, before a row is read."""
    assert words in refusal(survey_files.jwst(tmp_path / "a.fits", **REFUSED[words]))


def test_arrays_in_a_row_are_refused(tmp_path):
    """As a layout that this is not."""
    made = [fits.Column(n, "9D", unit=u, array=np.ones((2, 9)))
            for n, u in (("wave", "um"), ("flux", "uJy"), ("err", "uJy"))]  # fmt: skip
    path = survey_files.write(
        tmp_path / "a.fits", fits.BinTableHDU.from_columns(made, name="SPEC1D")
    )

    assert "one pixel a row" in refusal(path)


def test_a_header_that_says_air_is_refused(tmp_path):
    """JWST is in vacuum: who says otherwise wrote another file."""

    def edit(hdus):
        hdus[1].header["AIRORVAC"] = "air"
        return hdus

    assert "in air" in refusal(change(survey_files.jwst(tmp_path / "a.fits"), edit))


@real
def test_a_real_spectrum_of_msaexp():
    """A prism's: 84 pixels at the ends without a measurement, the others as the file has them."""
    path = DATA / "spectra" / "static-test-driz-center-bkg_933.spec.fits"
    (spectra,) = read(SURVEY, path)
    table = fits.getdata(path, "SPEC1D")

    assert spectra.id == ["1345_933"] and (spectra.ivar[0] == 0).sum() == 84
    good = spectra.ivar[0] > 0
    ratio = (spectra.flux * np.sqrt(spectra.ivar))[0, good]
    np.testing.assert_allclose(ratio, table["flux"][good] / table["err"][good], rtol=1e-8)
    right = (table["flux"] * units.uJy).to(FLUX, units.spectral_density(table["wave"] * units.um))
    np.testing.assert_allclose(spectra.flux[0] * 1e-17, right.value, rtol=1e-8, atol=1e-30)
