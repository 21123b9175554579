"""Line-spread functions: known instruments, curves from knots and back, limits, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.survey.record.line_spread import (
    KNOTS,
    LIGHT,
    LineSpread,
    at_knots,
    between_knots,
    knots,
)

WAVE = Grid().wave


def test_resolution_is_over_the_full_width():
    """A Gaussian line of R = 2000 has its half maximum half of lambda / R away."""
    sigma = LineSpread((5000.0,), (2000.0,)).dispersion(np.array([5000.0, 9000.0]))
    half = 5000 / 2000 / 2
    assert np.exp(-0.5 * (half / (5000 * sigma[0] / LIGHT)) ** 2) == pytest.approx(0.5)
    assert sigma[1] == sigma[0]  # the nearest


@given(sigma=st.floats(0.3, 3.0), zred=st.floats(0.0, 1.0))
def test_a_width_constant_in_angstrom_is_two_numbers(sigma, zred):
    """Its resolution is a line in ln-ln; knots keep it to 1 %, and the redshift moves it."""
    ends = np.array([1000.0, 30000.0])
    spread = LineSpread(ends, ends / 2.3548 / sigma)
    numbers = spread.at_knots(WAVE, np.array([zred]))
    curve = np.sqrt(numbers**2 @ between_knots(WAVE))[0]
    right = LIGHT * sigma / (WAVE * (1 + zred))
    assert curve == pytest.approx(right, rel=1e-2)
    assert numbers[0] == pytest.approx(LIGHT * sigma / (knots(WAVE) * (1 + zred)), rel=1e-3)


@given(st.lists(st.floats(40, 200), min_size=KNOTS, max_size=KNOTS))
def test_curves_between_knots_are_found_again(numbers):
    """From all pixels of a spectrum."""
    numbers, rest = np.array(numbers), np.arange(3750.0, 9501.0)
    curve = np.sqrt(numbers**2 @ between_knots(WAVE, rest))
    assert at_knots(WAVE, rest, curve) == pytest.approx(numbers, rel=0.02)
    assert between_knots(WAVE).sum(0) == pytest.approx(1)


def test_pixels_that_say_nothing_do_not_count():
    """Masked, negative or outside of the grid; without any all is NaN."""
    rest = np.linspace(4000, 7000, 3000)
    width = np.full(3000, 60.0)
    width[:100], width[100:200], width[200:300] = 0, np.nan, -5
    assert at_knots(WAVE, rest, width) == pytest.approx(60)
    assert np.isnan(at_knots(WAVE, rest, 0 * width)).all()
    assert np.isnan(at_knots(WAVE, 10 * rest, width)).all()
    # One arm at 55, the other at 65 km/s, and nothing blue of 4000 or red of 7000 Angstrom.
    two = at_knots(WAVE, rest, np.where(rest < 5500, 55.0, 65.0))
    assert two[0] == pytest.approx(55, abs=0.5) and two[-1] == pytest.approx(65, abs=0.5)


@pytest.mark.parametrize(
    "wave, resolution",
    [
        ((), ()),
        ((4000.0,), (1000.0, 2000.0)),
        ((5000.0, 4000.0), (1.0, 2.0)),
        ((4000.0, 5000.0), (0.0, 2.0)),
        ((4000.0, np.nan), (1.0, 2.0)),
    ],
)
def test_what_is_no_curve_is_refused(wave, resolution):
    """In one line with both."""
    with pytest.raises(BadInput, match="line spread of wavelengths"):
        LineSpread(wave, resolution)
