"""Prospector's spectra: how they scale, and what is made of them on the pixels."""

import math
import os

import numpy as np
import pytest
from scipy import constants

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct import prospector_model
from hpcsbi.simulator.direct.fsps_spectra import direct_spectra
from hpcsbi.simulator.direct.prospector_model import example_row, spectrum
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.physics import Physics

GRID, PHYSICS = Grid(), Physics()
NAMES = ("logmass", "logzsol", "dust2", "tage", "tau", "line_strength")


@pytest.mark.fsps
@pytest.mark.skipif("SPS_HOME" not in os.environ, reason="SPS_HOME is not set")
def test_lines_mass_and_dust_act_as_they_should():
    """Flux is linear in line_strength and mass; dust2 is FSPS's own curve."""
    theta = np.tile([10.0, -0.5, 1.0, 0.3, 1.0, 1.0], (6, 1))
    theta[1:4, 5] = 1e-9, 0.5, 2.0
    theta[4, 0] = 11.0
    theta[5, 2] = 1.001
    flux, _ = direct_spectra(theta, NAMES, GRID, PHYSICS)
    one, none, half, two, heavy, dusty = flux.astype(float)

    assert np.allclose(half, 0.5 * (one + none), rtol=1e-5)
    assert np.allclose(two - none, 2 * (one - none), rtol=1e-4, atol=1e-5 * one.max())
    assert (one / none - 1).max() > 0.05  # there are lines at all
    assert np.allclose(heavy, 10 * one, rtol=1e-6)
    k = -np.log(dusty / one) / 0.001
    assert np.abs(k - dust_curve(GRID.wave, 2)).max() < 0.02


@pytest.fixture
def predicted(monkeypatch):
    """Continuum and emission of one solar mass on the fine grid, in place of FSPS's."""
    rng = np.random.default_rng(0)
    continuum, emission = rng.uniform(1, 2, GRID.fine.shape), rng.exponential(size=GRID.fine.shape)

    def predict(physics, grid, row, lines):
        return continuum + emission if lines else continuum

    monkeypatch.setattr(prospector_model, "predict", predict)
    return continuum, emission


@pytest.mark.parametrize("strength", [None, 0.0, 0.5, 1.0, 3.0])
def test_pixels_are_means_of_continuum_and_lines(predicted, strength):
    """Lines times their strength, one where theta has none; mass multiplies."""
    continuum, emission = predicted
    row = example_row(-0.3, PHYSICS) | {"logmass": 2.0}
    if strength is not None:
        row["line_strength"] = strength
    expected = 100 * (continuum + (1 if strength is None else strength) * emission).mean(1)
    flux = spectrum(PHYSICS, GRID, row)

    assert flux.dtype == np.float32 and flux == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_refused(predicted, odd):
    """FSPS would make a spectrum of them; good rows have one."""
    for name in example_row(-0.3, PHYSICS):
        with pytest.raises(ValueError, match="not all finite"):
            spectrum(PHYSICS, GRID, example_row(-0.3, PHYSICS) | {name: odd})
    assert np.isfinite(spectrum(PHYSICS, GRID, example_row(-0.3, PHYSICS))).all()


@pytest.mark.slow  # Prospector takes two CPU seconds to import
def test_energy_does_not_depend_on_the_unit():
    """Light of one L_sun / Hz between two wavelengths is the difference of their frequencies."""
    per_angstrom = prospector_model.per_angstrom(np.ones(GRID.fine.size), GRID.fine)
    step = GRID.widths[0] / GRID.fine.shape[1]
    frequency = constants.c * 1e10 / GRID.edges

    assert per_angstrom.shape == GRID.fine.shape
    assert per_angstrom.sum(1) * step == pytest.approx(-np.diff(frequency), rel=1e-4)
    assert prospector_model.per_angstrom(np.ones((2, GRID.fine.size)), GRID.fine).shape == (
        2,
        *GRID.fine.shape,
    )
