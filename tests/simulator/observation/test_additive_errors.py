"""Slopes of spectra on pixels: against lines that are moved and widened exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import speed_of_light
from scipy.special import ndtr

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.observation.additive_errors import (
    AdditiveErrors,
    additive_errors,
    draws_at_once,
    refuse_coarse_pixels,
    slopes,
)
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.sky_lines import SKY_GROUPS, sky_shares

LOG, LINEAR = Grid(pixels=1347, spacing="log"), Grid(pixels=1151)
KM = 1e3 / speed_of_light
BOTH = AdditiveErrors(40.0, 90.0)


def light(grid: Grid, dispersion: float, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Lines of random places and signs over a continuum, exactly averaged over pixels, (pixels,).

    Arguments:
        dispersion, shift: km/s; lines and continuum are moved to the red.
    """
    rng, edges = np.random.default_rng(seed), grid.edges / np.exp(KM * shift)
    flux = np.diff(edges**1.3) / np.diff(edges) / 10
    for centre, width in zip(rng.uniform(4000, 9000, 60), rng.normal(0, 8, 60), strict=True):
        flux += width * np.diff(ndtr(np.log(edges / centre) / (KM * dispersion))) / np.diff(edges)
    return torch.from_numpy(flux)


def misfit(found: torch.Tensor, right: torch.Tensor) -> float:
    return float((found - right).norm() / right.norm())


@pytest.mark.parametrize(("grid", "worst"), [(LOG, 0.002), (LINEAR, 0.05)])
def test_a_small_shift_and_a_small_broadening_are_the_templates(grid, worst):
    """Of lines as wide as the model's; differences of neighbours alone are several times worse."""
    wave, flux = torch.from_numpy(grid.wave), light(grid, 350.0)
    moved = (light(grid, 350.0, -0.1) - light(grid, 350.0, 0.1)) / (0.2 * KM)
    wide, narrow = (light(grid, np.sqrt(350.0**2 + sign * 400.0)) for sign in (1, -1))
    first, second = AdditiveErrors(1.0, 20.0).templates(flux[None, None], wave)[0, 0]
    neighbours = torch.gradient(flux)[0] / torch.gradient(wave.log())[0]

    assert misfit(first / KM, moved) < worst
    assert misfit(neighbours, moved) > 3 * worst
    assert misfit(second, (wide - narrow) / 2) < 4 * worst
    assert misfit(second, narrow - wide) > 1  # a broadening is no narrowing


def test_a_power_of_wavelength_has_its_power_as_slope():
    """Everywhere, the ends of the grid among it, and for float32 numbers."""
    for grid in (LOG, LINEAR, Grid()):
        wave = torch.from_numpy(grid.wave).float()
        flux = 1e8 * (wave / 5000) ** -1.5
        assert torch.allclose(slopes(flux, wave), -1.5 * flux, rtol=0.01)


@given(seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3))
def test_templates_are_linear_in_the_spectrum(seed, scale):
    """So that mass and mixtures of populations go through them."""
    wave = torch.from_numpy(LOG.wave)
    one, other = light(LOG, 350.0, seed=seed), light(LOG, 200.0, seed=seed + 1)
    rows = [row[None, None] for row in (scale * one + other, one, other)]
    together, first, second = (BOTH.templates(row, wave) for row in rows)
    apart = scale * first + second

    assert torch.allclose(together, apart, rtol=1e-9, atol=1e-9 * float(together.abs().max()))


def test_the_sky_is_what_is_left_over_the_quoted_sigma():
    """At each object's own place, of all draws alike, and nothing where a pixel is masked."""
    wave = torch.from_numpy(LOG.wave)
    flux, zred = torch.rand(2, 3, len(wave)).double(), torch.tensor([0.1, 0.4])
    sigma = torch.rand(2, len(wave)).double()
    sigma[:, 500:600] = 0
    ivar = torch.where(sigma > 0, sigma**-2, 0.0)
    found = AdditiveErrors(40.0, sky=3.0).templates(flux, wave, ivar, zred)

    assert found.shape == (2, 3, 1 + len(SKY_GROUPS), len(wave))
    expected = 3 * sky_shares(wave, zred) * sigma[:, None]
    assert torch.allclose(found[:, :, 1:], expected[:, None].expand(-1, 3, -1, -1))
    assert torch.equal(found[:, :, :1], AdditiveErrors(40.0).templates(flux, wave))
    assert not torch.allclose(expected[0], expected[1])


def test_templates_can_be_followed_by_gradients():
    """As Levenberg and Marquardt, and whoever moves theta by slopes, take them."""
    wave = torch.linspace(4000, 4300, 24).double()
    flux = torch.rand(1, 2, 24).double().requires_grad_()

    assert torch.autograd.gradcheck(lambda x: BOTH.templates(x, wave), flux)


def test_which_errors_there_are_says_the_noise():
    """Two numbers, of which either may be alone; none is None."""
    both = SurveyNoise(redshift_error=30, width_error=80).settings()

    names = ("logmass", "zred")
    assert additive_errors(SurveyNoise().settings(), ()) is None
    assert additive_errors(both, ()) == AdditiveErrors(30, 80) and len(AdditiveErrors(30, 80)) == 2
    alone = additive_errors(SurveyNoise(width_error=80).settings(), names)
    assert alone.kinds == ("the width of lines",)
    sky = SurveyNoise(sky_error=2.0).settings()
    assert additive_errors(sky, names) == AdditiveErrors(sky=2.0)
    assert len(AdditiveErrors(30, 80, 2)) == 2 + len(SKY_GROUPS)
    assert AdditiveErrors(30, 80, 2).kinds[-1] == "the sky"
    with pytest.raises(BadInput, match=r"sky_error is 2, and theta has no column zred.*prior=reds"):
        additive_errors(sky, ("logmass",))
    assert len(AdditiveErrors(30)) == 1 and len(AdditiveErrors()) == 0


def test_draws_are_worked_on_a_few_at_a_time():
    """As many as fit the cache, one at least; all of them where there is no such error."""
    assert draws_at_once(None, 4096, 1000, 1347) == draws_at_once(BOTH, 1, 1000, 138) == 1000
    assert draws_at_once(BOTH, 1, 40_000, 1347) * 2 * 1347 * 4 <= 8 << 20
    assert draws_at_once(BOTH, 4096, 5, 1347) == 1


def test_pixels_that_do_not_resolve_lines_are_refused():
    """42 Angstrom are; the same grid without such an error is not, nor are narrower pixels."""
    noise = SurveyNoise(redshift_error=30).settings()
    refuse_coarse_pixels(SurveyNoise().settings(), Grid(), 350)
    for grid in (LOG, LINEAR):
        refuse_coarse_pixels(noise, grid, 350)
    with pytest.raises(BadInput, match=r"redshift_error is 30 on pixels of up to 3355 km/s.*438"):
        refuse_coarse_pixels(noise, Grid(), 350)
    with pytest.raises(BadInput, match="width_error"):
        refuse_coarse_pixels(SurveyNoise(width_error=30).settings(), LOG, 100)
