"""Slopes by a compiled loop: those of the written formula, and nothing beside the spectrum."""

import math

import numpy as np
import pytest
import torch

from hpcsbi.kernels.slopes import REACH, SIZES, slope
from hpcsbi.simulator.observation.additive_errors import slopes


def looped(flux, wave):
    """Of float32 spectra, in their own place."""
    steps = (1 / np.gradient(np.log(wave))).astype(np.float32)
    out, padded = flux.copy(), np.empty(len(flux) + 2 * REACH, np.float32)
    slope(out, steps, padded, out)
    return out


@pytest.mark.parametrize("pixels", [REACH + 1, 20, 137, 500])
def test_the_loop_is_the_written_formula(pixels):
    """Spectra of any shape, both ends among them."""
    wave = np.linspace(4000, 5000, pixels)
    flux = np.random.default_rng(pixels).normal(size=pixels).astype(np.float32)
    right = slopes(torch.from_numpy(flux).double(), torch.from_numpy(wave)).numpy()

    np.testing.assert_allclose(looped(flux, wave), right, atol=2e-6 * abs(right).max())
    assert not np.allclose(looped(-flux, wave), right, atol=0.5 * abs(right).max())


@pytest.mark.parametrize("degree", range(0, 2 * REACH))
def test_sizes_are_exact_for_polynomials(degree):
    """Differences of order 2 REACH: sum of size k of 2 k^degree is the slope at zero."""
    sums = math.fsum(size * (k**degree - (-k) ** degree) for k, size in enumerate(SIZES, 1))

    assert sums == pytest.approx(float(degree == 1), abs=1e-5)


@pytest.mark.parametrize("pixels", [1, 2, REACH])
def test_few_pixels_are_no_reason_to_read_beside_them(pixels):
    """Slopes of a constant are zero, whatever lies around it."""
    memory = np.full(pixels + 40, np.nan, np.float32)
    memory[20 : 20 + pixels] = 3
    out, padded = np.empty(pixels, np.float32), np.empty(pixels + 2 * REACH, np.float32)
    slope(memory[20 : 20 + pixels], np.ones(pixels, np.float32), padded, out)

    assert not out.any()


def test_what_is_not_finite_stays_near():
    """No pixel farther than the differences reach."""
    wave, flux = np.linspace(4000, 5000, 60), np.ones(60, np.float32)
    flux[30] = np.nan
    bad = np.flatnonzero(np.isnan(looped(flux, wave)))

    assert bad.tolist() == [n for n in range(30 - REACH, 31 + REACH) if n != 30]
