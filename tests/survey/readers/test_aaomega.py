"""Spectra of AAOmega: air and frame as their keywords say, counts only with a unit, bad files."""

from dataclasses import replace

import numpy as np
import pytest
import survey_files
from survey_files import DATA, change, configured, read, real

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.rest_frame import air_to_vacuum

SURVEY = configured("aaomega")
COUNTS = replace(SURVEY, flux_unit="1e-17 erg/s/cm2/Angstrom")


def look(path, survey=SURVEY):
    return survey.look(Source(str(path)))


def refusal(path, survey=SURVEY):
    """The one line with which a file is refused."""
    with pytest.raises(BadInput) as caught:
        look(path, survey)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("wavelengths", [True, False])
def test_rows_are_fibres(wavelengths, tmp_path):
    """Wavelengths by header or HDU; sky is no galaxy; places from radians; no redshift."""
    path = survey_files.aaomega(tmp_path / "field.fits", wavelengths=wavelengths)
    (block,) = read(SURVEY, path)
    np.testing.assert_allclose(block.wave, 6300 + 1.04 * (np.arange(1, 5001) - 2500.5))
    np.testing.assert_allclose(block.flux[1], survey_files.continuum(block.wave), rtol=1e-6)
    assert block.id == ["G0", "G1", "G2"] and block.other_class.tolist() == [False, False, True]
    assert block.identity.key == ["field-0", "field-1", "field-2"]
    np.testing.assert_allclose(block.identity.ra, survey_files.PLACE[0])
    made = columns_of(block, SURVEY.air, Grid())
    assert (made["flags"] & Flag.Z_RANGE > 0).all() and "ingest.redshifts" in made["reason"][0]


def test_counts_take_a_unit(tmp_path):
    """A mass of unknown unit is never made: it is asked for, and used."""
    path = survey_files.aaomega(tmp_path / "counts.fits", unit=None)
    assert "set survey.flux_unit" in refusal(path)
    assert look(path, COUNTS)[0] == 3
    assert read(COUNTS, path)[0].unit == pytest.approx(1e-17)
    own = survey_files.aaomega(tmp_path / "own.fits", unit="1e-16 erg/s/cm2/Angstrom")
    assert read(COUNTS, own)[0].unit == pytest.approx(1e-16)


@pytest.mark.parametrize(
    ("cards", "air"),
    [
        ({}, None), ({"VACUUM": True}, False), ({"VACUUM": False}, True),
        ({"AIRORVAC": "air"}, True), ({"CTYPE1": "AWAV"}, True), ({"CTYPE1": "WAVE"}, False),
    ],
)  # fmt: skip
def test_air_is_as_the_keywords_say(cards, air, tmp_path):
    """And as the configuration says where there are none."""
    path = survey_files.aaomega(tmp_path / "field.fits", **cards)
    assert look(path)[0] == 3 and read(SURVEY, path)[0].air is air


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"VACUUM": True, "CTYPE1": "AWAV"}, "contradicts itself: VACUUM .* CTYPE1"),
        ({"VACUUM": False, "AIRORVAC": "vac"}, "contradicts itself"),
        ({"SPECSYS": "BARYCENT", "DO_HELIO": True}, "SPECSYS says BARYCENT, and DO_HELIO"),
        ({"CUNIT1": "Hz"}, "CUNIT1 is 'Hz'"),
        ({"CRVAL1": None}, "no wavelengths"),
        ({"unit": "Jy"}, "BUNIT"),
        ({"drop": ["NAME"]}, "found HDUs"),
    ],
)
def test_contradictions_are_one_line(cards, words, tmp_path):
    """Frames, media, units, no wavelengths, no objects."""
    path = survey_files.aaomega(tmp_path / "field.fits", **cards)
    with pytest.raises(BadInput, match=words):
        look(path)
    refusal(path)


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    """VARIANCE or FIBRES of another field, mixed in."""
    path = survey_files.aaomega(tmp_path / "a.fits")
    other = survey_files.image("VARIANCE", np.ones((2, 5000)))
    assert "VARIANCE has shape" in refusal(change(path, lambda h: [h[0], other, *h[2:]]))
    path = survey_files.aaomega(tmp_path / "b.fits", rows=3)
    assert "FIBRES has 2 rows for 3 spectra" in refusal(
        change(path, lambda h: [*h[:2], type(h[2])(h[2].data[:2], name="FIBRES")])
    )


def test_the_frame_is_told(tmp_path):
    """What is not corrected is a note; a barycentric file has none."""
    bary = survey_files.aaomega(tmp_path / "a.fits", SPECSYS="BARYCENT")
    assert look(bary)[1] == []
    assert "up to 30 km/s" in look(survey_files.aaomega(tmp_path / "b.fits", DO_HELIO=True))[1][0]


@real
def test_air_and_vacuum_of_one_real_galaxy_agree():
    """The two files of one spectrum lie within 0.01 Angstrom of each other in vacuum."""
    names = ("marz_emlLinearSkyAirHelio.fits", "marz_emlLinearVacuumNoHelio.fits")
    air, vacuum = (read(COUNTS, DATA / "spectra" / name)[0] for name in names)
    assert air.air is None and COUNTS.air and vacuum.air is False
    np.testing.assert_allclose(air_to_vacuum(air.wave), vacuum.wave, atol=0.01)
    assert air.id == vacuum.id == ["D0221394-2854323"]
    assert np.array_equal(air.flux, vacuum.flux, equal_nan=True)
    assert float(air.identity.ra[0]) == pytest.approx(35.41427, abs=1e-4)
    assert "survey.flux_unit" in refusal(DATA / "spectra" / names[0])
