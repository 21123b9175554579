"""Templates of what a model is off by: their covariance, on any pixels, and who may have them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.indices import LINE_GROUPS
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.observation.templates import (
    LENGTH,
    SmoothError,
    line_curves,
    response_curves,
    smooth_error,
)

GRIDS = (Grid(), Grid(pixels=1151), Grid(pixels=1347, spacing="log"))


def covariance(length: float, wave: np.ndarray) -> np.ndarray:
    curves = SmoothError(length).curves(wave).dense(torch.from_numpy(wave)).numpy()
    return curves.T @ curves


def gaussian(length: float, wave: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * ((wave[:, None] - wave) / length) ** 2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", [20.0, 60.0, 200.0, 1000.0, 5000.0])
def test_errors_are_correlated_as_a_gaussian(grid, length):
    """To 0.022 at any two wavelengths of any grid; a length that is a fifth off is told apart."""
    wave = grid.wave[:: max(grid.pixels // 138, 1)]
    smooth = covariance(length, wave)

    assert smooth.diagonal() == pytest.approx(1, abs=1e-12)
    assert np.abs(smooth - gaussian(length, wave)).max() < 0.0225
    if length > 42:
        assert np.abs(smooth - gaussian(1.2 * length, wave)).max() > 0.04


@given(length=st.floats(20, 5000), seed=st.integers(0, 99))
def test_rounded_wavelengths_have_the_same_templates(length, seed):
    """Those of the simulator are float32: no rounding adds a template or moves one."""
    wave = Grid().wave
    near = torch.from_numpy(wave).float()
    near = torch.nextafter(near, torch.tensor(0.0 if seed % 2 else 1e9)).numpy()
    one, other = (SmoothError(length).curves(each) for each in (wave, near))

    assert len(one) == len(other)
    dense = [each.dense(torch.from_numpy(wave)) for each in (one, other)]
    assert torch.allclose(*dense, atol=3e-4)
    assert (np.diff(one.first) >= 0).all() and one.first[0] == 0
    assert len(one) <= np.ptp(wave) / length + 7


def test_a_constant_and_a_line_are_smooth_errors():
    """Templates reach the ends of the grid like its middle: what is smooth lies in their span."""
    wave = Grid().wave
    curves = SmoothError(200.0).curves(wave).dense(torch.from_numpy(wave)).numpy()
    for smooth in (np.ones_like(wave), wave / wave[0], np.cos(wave / 500)):
        left = smooth - curves.T @ np.linalg.lstsq(curves.T, smooth, rcond=None)[0]
        assert np.abs(left).max() < 0.02
    spike = np.eye(len(wave))[60]
    assert np.abs(spike - curves.T @ np.linalg.lstsq(curves.T, spike, rcond=None)[0]).max() > 0.5


def test_response_curves_are_tilt_bend_and_twist():
    """Of size one at the red end, with no mean, and independent of each other."""
    curves = response_curves(torch.from_numpy(Grid().wave)).numpy()

    assert curves[:, -1] == pytest.approx(1)
    assert curves.mean(1) == pytest.approx(0, abs=0.05)
    assert np.corrcoef(curves) == pytest.approx(np.eye(3), abs=0.06)


def test_an_amplitude_is_given_or_inferred():
    """A column of theta, or a number of the noise; neither is no error, and both are refused."""
    survey, names = SurveyNoise(model_error_length=90), ("logmass", "model_error")

    assert smooth_error(survey.settings(), names) == SmoothError(90, None)
    given = SurveyNoise(model_error=0.01).settings()
    assert smooth_error(given, names[:1]) == SmoothError(LENGTH, 0.01)
    assert smooth_error(survey.settings(), names[:1]) is None
    assert smooth_error(FractionalNoise().settings(), names[:1]) is None
    with pytest.raises(BadInput, match=r"noise\.model_error is 0\.01: leave one"):
        smooth_error(given, names)
    with pytest.raises(BadInput, match="kind fractional knows no error of the model"):
        smooth_error(FractionalNoise().settings(), names)


@pytest.mark.parametrize("grid", GRIDS)
def test_lines_are_as_wide_as_they_say(grid):
    """An equivalent width of 1 Angstrom in all pixels together, about the centre of each group."""
    wave = torch.from_numpy(grid.wave)
    curves = line_curves(wave).numpy()
    known = [lines for lines in LINE_GROUPS.values() if lines[-1][0] > grid.edges[0]]
    assert len(curves) == len(known) >= len(LINE_GROUPS) - 1
    whole = [lines[0][0] > grid.edges[0] + 20 for lines in known]
    assert (curves * grid.widths).sum(1)[whole] == pytest.approx(1, abs=1e-4)
    centres = np.array([sum(x * share for x, share in lines) for lines in known])
    found = (curves * grid.widths) @ grid.wave
    assert found[whole] == pytest.approx(centres[whole], abs=grid.widths.max() / 2)
    near = line_curves(wave.float()).double().numpy()
    assert np.abs(near - curves).max() < 1e-3 * curves.max()  # the simulator's are float32


def test_lines_outside_of_the_grid_are_none():
    """A grid that ends before H-alpha has no template of what is beyond."""
    blue = line_curves(torch.linspace(4000, 4900, 100).double())
    assert len(blue) == 3  # H-delta, H-gamma, H-beta
    assert line_curves(torch.linspace(7000, 8000, 50)).shape == (0, 50)
