"""Spectra of ESO's archive: told by their keywords, whatever the columns are called."""

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import DATA, change, configured, continuum, read, real

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.line_spread import FWHM, KNOTS, LIGHT
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.rest_frame import air_to_vacuum

SURVEY = configured("eso")


def refusal(path):
    """The one line with which a file is refused."""
    with pytest.raises(BadInput) as caught:
        SURVEY.look(Source(str(path)))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def columns(path):
    """Columns of the store of a file, and its reader's record."""
    (spectra,) = read(SURVEY, path)
    return columns_of(spectra, SURVEY.air, Grid(), SURVEY.spread), spectra


def test_quality_error_and_resolution_are_read(tmp_path):
    """QUAL masks, and an error of 0, or a flux that is none; SPEC_RES is one width everywhere."""
    error, flux = np.full(2154, 2.0), continuum(4801.25 + 2.55 * np.arange(2154))
    error[7], error[8], flux[9] = 0, np.nan, np.nan
    path = survey_files.eso(tmp_path / "a.fits", qual=[4, 5], arrays={"ERR": error, "FLUX": flux})

    table, spectra = columns(path)

    assert np.flatnonzero(spectra.ivar[0] == 0).tolist() == [4, 5, 7, 8, 9]
    assert set(spectra.ivar[0]) == {0.0, 0.25}
    assert spectra.id == ["VANDELS_1"] and spectra.zred.tolist() == [0.6]
    assert not (spectra.no_status | spectra.zwarn).any()
    np.testing.assert_allclose(table["instrument"], np.full((1, KNOTS), LIGHT / FWHM / 580))


@pytest.mark.parametrize("lost", ["TUTYP", "names"])
def test_columns_are_told_by_type_or_else_by_name(lost, tmp_path):
    """The column of another collection's type is never the flux."""
    path = survey_files.eso(tmp_path / "a.fits")

    def edit(hdus):
        for k in range(1, 7):
            if lost == "TUTYP":
                hdus[1].header.pop(f"TUTYP{k}", None)
            elif k < 5:
                hdus[1].header[f"TTYPE{k}"] = f"COLUMN_{k}"
        return hdus

    (spectra,) = read(SURVEY, change(path, edit))

    np.testing.assert_allclose(spectra.flux[0], continuum(spectra.wave), rtol=1e-6)


AIR = {
    "ESO says air": ({}, {}, True),
    "ESO says vacuum": ({"TUCD1": "em.wl"}, {}, False),
    "VACUUM": ({"TUCD1": None}, {"VACUUM": True}, False),
    "AIRORVAC": ({"TUCD1": None}, {"AIRORVAC": "air"}, True),
    "nothing": ({"TUCD1": None}, {}, None),
    "both": ({"VACUUM": False}, {}, True),
}


@pytest.mark.parametrize("name", AIR)
def test_air_is_what_the_file_says(name, tmp_path):
    """The edge of a step in the spectrum lands where air_to_vacuum puts it."""
    cards, head, air = AIR[name]
    wave = 4801.25 + 2.55 * np.arange(2154)
    ramp = wave - 4000
    path = survey_files.eso(tmp_path / "a.fits", cards=cards, arrays={"FLUX": ramp}, **head)

    table, spectra = columns(path)

    assert spectra.air is air
    vacuum = survey_files.eso(
        tmp_path / "v.fits", cards={"TUCD1": "em.wl"},
        arrays={"FLUX": ramp, "WAVE": air_to_vacuum(wave) if air else wave},
    )  # fmt: skip
    expected, _ = columns(vacuum)
    np.testing.assert_allclose(table["flux"], expected["flux"], rtol=1e-6)


def test_files_that_do_not_say_are_as_the_survey_says(tmp_path):
    """survey.air holds for them, and for no other."""
    told = survey_files.eso(tmp_path / "a.fits")
    silent = survey_files.eso(tmp_path / "b.fits", cards={"TUCD1": None})

    made = [
        columns_of(read(SURVEY, path)[0], air, Grid())["flux"]
        for path in (told, silent)
        for air in (True, False)
    ]

    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
    assert (made[2] != made[3]).any()


@pytest.mark.parametrize(("unit", "size"), [("nm", 0.1), ("um", 1e-4)])
def test_wavelengths_in_their_unit(unit, size, tmp_path):
    """TUNIT counts."""
    wave = 4801.25 + 2.55 * np.arange(2154)
    path = survey_files.eso(tmp_path / "a.fits", units={"WAVE": unit}, arrays={"WAVE": wave * size})

    (spectra,) = read(SURVEY, path)

    np.testing.assert_allclose(spectra.wave, wave, rtol=1e-12)


def test_a_redshift_that_is_not_there_is_said(tmp_path):
    """No number in its place: a flag and a reason with the mend."""
    table, spectra = columns(survey_files.eso(tmp_path / "a.fits", REDSHIFT=None))

    assert np.isnan(spectra.zred).all() and not (table["ivar"] > 0).any()
    flags = Flag(int(table["flags"][0]))
    assert Flag.Z_RANGE | Flag.ZWARN | Flag.NO_DATA in flags
    assert "ingest.redshifts" in table["reason"][0]


def test_without_quality_the_status_is_not_known(tmp_path):
    """As in VANDELS."""
    (spectra,) = read(SURVEY, survey_files.eso(tmp_path / "a.fits", drop=["QUAL"]))

    assert spectra.no_status.all() and (spectra.ivar > 0).all()


REFUSED = {
    "TUCD1 says air": {"VACUUM": True},
    "contradicts itself: VACUUM of the first header says air": {
        "VACUUM": False, "cards": {"TUCD1": "em.wl"},
    },
    "SPECSYS of the first header says TOPOCENT, SPECSYS of that of the table says BARYCENT": {
        "cards": {"SPECSYS": "BARYCENT"},
    },
    "SPECSYS is 'SOURCE'": {"SPECSYS": "SOURCE"},
    "says 0.6, DER_Z": {"DER_Z": 0.7},
    "is 'high', not a number": {"REDSHIFT": "high"},
    "SPEC_RES is 0": {"SPEC_RES": 0},
    "continuum is divided out": {"CONTNORM": True},
    "not calibrated": {"FLUXCAL": "UNCALIBRATED"},
    "TUNIT of FLUX is 'adu'": {"units": {"FLUX": "adu"}},
    "TUNIT of FLUX is None": {"units": {"FLUX": None}},
    "TUNIT of FLUX is 'uJy'": {"units": {"FLUX": "uJy"}},
    "TUNIT of ERR is 'adu'": {"units": {"ERR": "adu"}},
    "write both in one unit": {"units": {"ERR": "1e-18 erg/s/cm2/Angstrom"}},
    "TUNIT of WAVE is None": {"units": {"WAVE": None}},
    "TUNIT of WAVE is 'Hz'": {"units": {"WAVE": "Hz"}},
    "2 rows": {"rows": 2},
    "arrays of different lengths: ERR 2153": {"arrays": {"ERR": np.ones(2153)}},
    "found HDUs PRIMARY SPECTRAL CONTAINER": {"drop": ["ERR"]},
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_contradicts_itself_is_refused_in_one_line(words, tmp_path):
    """Frame, medium, redshift, unit, shape: both sides are named, before a row is read."""
    assert words in refusal(survey_files.eso(tmp_path / "a.fits", **REFUSED[words]))


def test_two_spectra_in_one_file_are_refused(tmp_path):
    """None of them is chosen in silence."""
    path = survey_files.eso(tmp_path / "a.fits")

    assert "2 tables with a spectrum" in refusal(change(path, lambda hdus: [*hdus, hdus[1].copy()]))


def test_notes_tell_what_is_not_corrected(tmp_path):
    """A frame on the Earth, or none, and columns beside the spectrum."""

    def notes(**head):
        return " ".join(SURVEY.look(Source(str(survey_files.eso(tmp_path / "a.fits", **head))))[1])

    assert "SKY, UNCORR_FLUX are not read" in notes() and "30 km/s" in notes()
    assert "SPECSYS" not in notes(SPECSYS="BARYCENT")
    assert "no SPECSYS" in notes(SPECSYS=None)


def test_arrays_of_variable_length(tmp_path):
    """As some collections write them."""
    wave = 5000 + 2.0 * np.arange(500)
    made = [
        fits.Column(name, "PD()", unit=survey_files.ESO[name][0],
                    array=np.array([values, []], dtype=object)[:1])
        for name, values in {"WAVE": wave, "FLUX": continuum(wave), "ERR": np.ones(500)}.items()
    ]  # fmt: skip
    path = survey_files.write(tmp_path / "a.fits", fits.BinTableHDU.from_columns(made))

    (spectra,) = read(SURVEY, path)

    np.testing.assert_allclose(spectra.flux[0], continuum(wave))


@real
def test_real_vandels():
    """A quiescent galaxy at about 1.2: in air, R 580, S/N 22 a pixel, by its header."""
    path = DATA / "spectra" / "VANDELS_CDFS_017433.fits"
    (spectra,) = read(SURVEY, path)

    assert spectra.air is True and spectra.id == ["VANDELS_CDFS_017433"]
    assert np.isnan(spectra.zred).all() and spectra.unit == 1.0
    assert np.median(spectra.flux * np.sqrt(spectra.ivar)) == pytest.approx(21.66, rel=0.2)
    assert spectra.dispersion[0, 0] == pytest.approx(219.5, abs=0.1)


@real
def test_a_real_spectrum_with_its_redshift(tmp_path):
    """From a table by OBJECT: luminosities of a galaxy, in the pixels that it covers."""
    from hpcsbi.stages.ingest import ingest
    from hpcsbi.store.opening import open_complete

    table = tmp_path / "z.csv"
    table.write_text("id,zred\nVANDELS_CDFS_017433,1.2\n")
    path = str(DATA / "spectra" / "VANDELS_CDFS_017433.fits")
    ingest(tmp_path / "s.zarr", path, SURVEY, Grid(), 4, Serial(), redshifts=table)

    store = open_complete(tmp_path / "s.zarr", "ingest")

    flags = Flag(int(store.read("flags")[0]))
    assert flags == Flag.NO_EBV | Flag.NO_STATUS | Flag.FEW_PIXELS
    flux, valid = store.read("flux")[0], store.read("ivar")[0] > 0
    assert 20 <= valid.sum() <= 40 and store.read("wave")[valid].max() < 10298 / 2.2
    assert 1e5 < np.median(flux[valid]) < 1e8
