"""Attenuation curves against what their papers print."""

import numpy as np
import pytest

from hpcsbi.simulator.dust import CURVES, dust_curve


@pytest.mark.parametrize("kind", [0, 2])
def test_dust_curves_are_one_at_5500(kind):
    """dust2 is the optical depth at 5500 Angstrom, and blue light loses more."""
    wave = np.linspace(3700, 9600, 300)
    curve = dust_curve(wave, kind)

    assert dust_curve(np.array([5500.0]), kind)[0] == pytest.approx(1, abs=0.01)
    assert (np.diff(curve) < 0.02).all()  # Calzetti's two pieces meet at 6300 within 2 %
    with pytest.raises(ValueError, match="dust_type 1"):
        dust_curve(wave, 1)


def test_the_power_law_has_its_index():
    """-0.7 in every interval of ln wavelength."""
    wave = np.geomspace(1200, 22000, 50)
    slope = np.diff(np.log(dust_curve(wave, 0))) / np.diff(np.log(wave))

    assert slope == pytest.approx(-0.7)


def test_calzetti_is_the_printed_equation():
    """Equation 4 of Calzetti et al. 2000 over R_V = 4.05, to the digits that FSPS rounds away."""
    blue, red = np.linspace(0.13, 0.62, 60), np.linspace(0.64, 2.1, 60)
    k = np.concatenate(
        [
            2.659 * (-2.156 + 1.509 / blue - 0.198 / blue**2 + 0.011 / blue**3) + 4.05,
            2.659 * (-1.857 + 1.040 / red) + 4.05,
        ]
    )

    assert dust_curve(1e4 * np.r_[blue, red], 2) == pytest.approx(k / 4.05, abs=2e-3)


def test_reddening_is_that_of_r_v():
    """A(B) - A(V) is A(V) / 4.05 for Calzetti; the power law reddens less."""
    blue, visual = np.array([4400.0]), np.array([5500.0])
    reddening = {
        kind: float((dust_curve(blue, kind) / dust_curve(visual, kind))[0] - 1) for kind in CURVES
    }

    assert reddening[2] == pytest.approx(1 / 4.05, rel=0.02)
    assert reddening[0] < 0.8 * reddening[2]


@pytest.mark.parametrize("kind", CURVES)
def test_curves_do_not_mind_shape_or_type(kind):
    """Any shape, whole numbers too: the fine grid of a pixel has two dimensions."""
    wave = np.arange(4000, 4006).reshape(2, 3)

    assert dust_curve(wave, kind).shape == (2, 3)
    assert np.array_equal(dust_curve(wave, kind).ravel(), dust_curve(wave.ravel() * 1.0, kind))
