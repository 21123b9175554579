"""Stacks: at rest they take a distance, as observed a redshift; what does not fit is refused."""

from dataclasses import replace

import numpy as np
import pytest
import survey_files
from survey_files import DATA, change, configured, lose, read, real

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.rest_frame import CM_PER_MPC, luminosity_distance_cm

SURVEY, GRID = configured("stack"), Grid(first=3750.0, last=6900.0, pixels=75)


def columns(path, **changes):
    """What becomes of the rows of a file, with other redshifts or distances."""
    (block,) = read(SURVEY, path)
    for name, values in changes.items():
        block = replace(block, **{name: np.asarray(values, dtype=float)}, reason=None)
    return columns_of(block, SURVEY.air, GRID)


def test_a_stack_at_rest_takes_a_distance(tmp_path):
    """Without one there is no luminosity and a reason; with one no wavelength is shifted."""
    path = survey_files.stack(tmp_path / "stack.fits")
    nothing = columns(path)
    assert (nothing["flags"] & Flag.Z_RANGE > 0).all() and not nothing["ivar"].any()
    assert all("distance" in reason for reason in nothing["reason"])

    made = columns(path, distance=[100.0, 200.0])
    good = (made["ivar"] > 0).all(0)
    shape = survey_files.continuum(GRID.wave[good])
    assert good.sum() > 70
    np.testing.assert_allclose(made["flux"][1, good] / made["flux"][0, good], 4, rtol=1e-5)
    assert np.ptp(made["flux"][0, good] / shape) < 1e-3 * (made["flux"][0, good] / shape).mean()


def test_a_stack_as_observed_is_a_galaxy(tmp_path):
    """A redshift that is still in the wavelengths gives distance and shift."""
    made = columns(survey_files.stack(tmp_path / "stack.fits", zred=0.1))
    assert made["distance"] == pytest.approx(luminosity_distance_cm(np.full(2, 0.1)) / CM_PER_MPC)
    assert not (made["flags"] & Flag.Z_RANGE).any() and not made["reason"].any()


def test_names_and_notes(tmp_path):
    """STACKID counts in one file; the noise of a stack is told for what it is."""
    path = survey_files.stack(tmp_path / "stack-LRG.fits")
    rows, notes = SURVEY.look(Source(str(path)))
    assert rows == 2 and "noise of its mean" in notes[0]
    assert read(SURVEY, path)[0].id == ["stack-LRG-0", "stack-LRG-1"]
    bare = survey_files.stack(tmp_path / "bare.fits", drop=["STACKID"])
    assert read(SURVEY, bare)[0].id == ["bare-0", "bare-1"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda hdus: [*hdus[:4], hdus[4].__class__(hdus[4].data[:1], name="STACKINFO")],
         "1 rows for 2 spectra"),
        (lambda hdus: [*hdus[:2], survey_files.image("IVAR", np.ones((2, 9))), *hdus[3:]],
         "IVAR has shape"),
        (lambda hdus: [*hdus[:3], survey_files.image("WAVE", np.ones(11_000), BUNIT="nm"),
                       hdus[4]], "BUNIT of WAVE"),
        (lambda hdus: [*hdus[:3], survey_files.image("WAVE", np.ones(11_000), AIRORVAC="air"),
                       hdus[4]], "wavelengths are in air"),
        (lose("STACKINFO", "Z"), "needs FLUX IVAR WAVE, and STACKINFO with Z"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_line(edit, words, tmp_path):
    """Mixed shapes, units and frames, and no redshift."""
    path = change(survey_files.stack(tmp_path / "stack.fits"), edit)
    with pytest.raises(BadInput, match=words) as caught:
        SURVEY.look(Source(str(path)))
    assert "\n" not in str(caught.value)


@real
def test_the_stack_of_real_galaxies_is_at_rest():
    """Its break stands at 4000 Angstrom of its own wavelengths."""
    (block,) = read(SURVEY, DATA / "spectra" / "stack-LRG.fits")
    assert block.zred.tolist() == [0.0] and block.id == ["stack-LRG-0"]
    blue, red = ((block.wave > low) & (block.wave < low + 100) for low in (3850, 4000))
    assert 1.5 < block.flux[0, red].mean() / block.flux[0, blue].mean() < 2.5
    made = columns(DATA / "spectra" / "stack-LRG.fits", distance=[2300.0])
    assert (made["ivar"] > 0).sum() > 70 and not made["reason"].any()
