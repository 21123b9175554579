"""Every model that can be run has its words, and they are those of the model."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from hpcsbi.grid import Grid
from hpcsbi.report import model_words
from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS
from hpcsbi.simulator.galaxy.dust import CURVES
from hpcsbi.simulator.galaxy.histories import HISTORIES
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.survey.readers.registry import FORMATS


def model(name="survey", **physics):
    return Model(Prior(tiny.columns(name), bound_age=True), Grid(), Physics(**physics))


def test_every_part_of_a_model_has_words():
    """A family of histories or dust, a curve, an initial mass function or a survey without words
    would have no page.
    """
    assert {*model_words.HISTORY_WORDS} == {*HISTORIES}
    assert {*model_words.DUST_WORDS} == {*ATTENUATIONS}
    assert {*model_words.CURVE_WORDS} == {*CURVES}
    assert {*model_words.IMF_WORDS} == {0, 1, 2}
    assert {*model_words.APERTURES} <= {*FORMATS}


@pytest.mark.parametrize(
    ("name", "physics", "words"),
    [
        ("survey", {}, "Kroupa, one metallicity. Dust: Calzetti's curve, a screen"),
        ("survey", {"imf_type": 0}, "Salpeter"),
        ("continuity", {}, "ratios between neighbours"),
        ("dirichlet", {}, "fractions of the rate"),
        ("burst", {}, "and one burst"),
        ("kinematics", {}, "Velocity dispersion: free"),
        ("gas", {}, "with free ionisation"),
        ("two_part_dust", {"dust_type": 4}, "free slope before all stars, and birth clouds"),
    ],
)
def test_words_are_those_of_the_model(name, physics, words):
    """History, stars, dust, gas and dispersion as settings have them."""
    assert words in " ".join(model_words.sentences(model(name, **physics), None))


def test_mass_is_said_to_be_formed_and_of_the_aperture():
    """What an astronomer compares with another catalogue first."""
    for survey, words in (("sdss", "3 or 2 arcsec"), ("table", "whatever that is"), (None, "that")):
        told = model_words.sentences(model(), survey)[1]
        assert "mass formed" in told and "surviving" in told and words in told


def test_errors_that_are_integrated_out_are_told():
    """Those that the noise has, a learned one among them; none without noise."""
    grid = Grid()
    learned = LearnedError(np.full(grid.pixels, 0.01), [], grid.settings(), 0.02)
    noise = SurveyNoise(calibration=0.04, line_error=1.0, model_error=0.02, learned=learned)
    slopes, sky = SurveyNoise(redshift_error=30, width_error=80), SurveyNoise(sky_error=2)
    told = {"zred": {"low": 0, "high": 0.8, "given": "redshift"}}
    redshift = replace(model(), prior=Prior(dict(model().prior.columns) | told), noise=sky)
    narrow = Grid(pixels=1347, spacing="log")

    told = model_words.sentences(replace(model(), noise=noise), None)[-1]
    moved = model_words.sentences(replace(model(), grid=narrow, noise=slopes), None)[-1]

    for words in ("calibration", "lines", "of the model", "a survey taught"):
        assert words in told
    assert "of the redshift, an error of the width of lines" in moved
    assert "what is left of the sky" in model_words.sentences(redshift, None)[-1]
    assert not any("Integrated" in line for line in model_words.sentences(model(), None))
