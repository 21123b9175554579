"""Populations of FSPS as a table holds them."""

import os

import numpy as np
import pytest

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fsps_spectra import direct_ssps
from hpcsbi.simulator.direct.populations import moments_of
from hpcsbi.simulator.direct.prospector_model import points_of
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.kinematics import Dispersions
from hpcsbi.simulator.galaxy.physics import Physics

HOME = os.environ.get("SPS_HOME")


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("dust_type", [0, 2])
def test_moments_make_a_screen_inside_a_pixel(dust_type, free):
    """Three of them are exp(-dust2 k) of every wavelength; the curve at the pixel is not enough."""
    physics, grid = Physics(dust_type=dust_type), Grid()
    points = points_of(grid, free)
    fine = np.random.default_rng(1).exponential(size=(2, *points.shape))
    moments = moments_of(fine, grid, physics, free)
    centre = dust_curve(grid.wave, dust_type)
    for dust2 in (0.3, 4.0):
        right = (fine * np.exp(-dust2 * dust_curve(points, dust_type))).mean(-1)
        screened = np.exp(-dust2 * centre) * sum(dust2**m * moments[:, m] for m in range(3))
        assert screened == pytest.approx(right, rel=1e-5)
        assert abs(np.exp(-dust2 * centre) * moments[:, 0] / right - 1).max() > 1e-4


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_populations_of_any_dispersion_hold_that_of_the_physics():
    """Polynomials at 350 km/s are what is smoothed to it; narrower ones are not."""
    grid = Grid(4800.0, 5100.0, 61)
    free = Dispersions(50.0, 400.0, 9)
    [fixed] = direct_ssps([-0.3], grid, Physics())["lines"][:, :, 0]
    [moments] = direct_ssps([-0.3], grid, Physics(), free=free)["lines"]
    x = np.log(350.0 / np.sqrt(50.0 * 400.0)) / (np.log(8.0) / 2)
    values = np.cos(np.arange(9) * np.arccos(x))
    mixed = np.tensordot(moments[:, [0, *range(3, 19, 2)]], values, (1, 0))
    lit = fixed.max(1) > 0
    scale = fixed[lit].max(1, keepdims=True)

    assert (np.abs(mixed - fixed)[lit] / scale).max() < 5e-3
    assert (np.abs(moments[:, 0] - fixed)[lit] / scale).max() > 0.05  # negative control
