"""Light behind two kinds of dust: that of numpy, and NaN of what is not finite."""

import numpy as np
import pytest

from hpcsbi.kernels.attenuation import attenuate

PIXELS, N = 137, 12
STRENGTH = np.array([0.85, -1.9])


def case(seed=0):
    """Spectra, numbers of dust and curves, float32."""
    rng = np.random.default_rng(seed)
    old, young = rng.uniform(0.1, 3, (2, N, PIXELS)).astype(np.float32)
    dust2, index, dust1 = (
        rng.uniform(*ends, N).astype(np.float32) for ends in ((0, 8), (-2.2, 0.7), (0, 16))
    )
    wave = np.linspace(1200, 20_000, PIXELS)
    curves = (wave / 5500) ** -0.9, rng.uniform(0, 0.2, PIXELS), np.log(wave / 5500), 5500 / wave
    return old, young, dust2, index, dust1, *(curve.astype(np.float32) for curve in curves)


def light(arguments):
    """By the kernel."""
    out = np.full((N, PIXELS), -1.0, np.float32)
    attenuate(*arguments, STRENGTH, out)
    return out


def expected(old, young, dust2, index, dust1, curve, bump, log_wave, cloud):
    """In float64."""
    dust2, index, dust1 = (a.astype(float)[:, None] for a in (dust2, index, dust1))
    level = curve + (STRENGTH[0] + STRENGTH[1] * index) * bump.astype(float)
    depth = dust2 * level * np.exp(index * log_wave)
    return (old + young * np.exp(-dust1 * cloud)) * np.exp(-depth), depth + dust1 * cloud


def test_light_is_that_of_the_formula():
    """To the rounding of optical depths, down to where float32 ends."""
    arguments = case()
    right, depth = expected(*arguments)

    bright = right > 1e-30
    error = np.abs(light(arguments) - right)[bright] / right[bright]
    assert (error < 3e-6 * (1 + depth[bright])).all()
    assert bright.mean() > 0.9 and (light(arguments) >= 0).all()


def test_without_young_stars_there_is_one_screen():
    """An empty array of their spectra, and spectra of zeros: the same bytes."""
    old, young, *rest = case()
    none, dark = light((old, young[:0], *rest)), light((old, 0 * young, *rest))

    assert np.array_equal(none, dark)
    assert not np.allclose(none, light((old, young, *rest)), rtol=0.01)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
@pytest.mark.parametrize("where", range(5))
def test_what_is_not_finite_is_not_a_number(where, odd):
    """In its own row; a spectrum that is infinite stays so."""
    arguments = list(case())
    before = light(arguments)
    arguments[where] = arguments[where].copy()
    arguments[where][3] = odd
    after = light(arguments)

    assert not np.isfinite(after[3]).any()
    others = np.arange(N) != 3
    assert np.array_equal(after[others], before[others])
