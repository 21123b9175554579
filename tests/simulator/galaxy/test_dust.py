"""Attenuation curves against what their papers print, and against FSPS."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.dust import (
    CURVES,
    birth_cloud,
    check_curve,
    drude,
    dust_curve,
    kriek_conroy,
)

HOME = os.environ.get("SPS_HOME")
# Asked without Prospector. Light that clouds of depth 50 leave is that of the old.
ASK_FSPS = """
import json, fsps, numpy as np
from hpcsbi.simulator.galaxy.dust import birth_cloud, dust_curve, kriek_conroy
stars = fsps.StellarPopulation(zcontinuous=1, sfh=4, tau=1.0, add_neb_emission=True, dust_type=4)
stars.params["add_dust_emission"] = False
def light(**numbers):
    for name, value in numbers.items():
        stars.params[name] = value
    wave, flux = stars.get_spectrum(tage=1.0)
    some = (wave > 3500) & (wave < 10000)
    return wave[some], flux[some]
wave, clear = light(dust1=0.0, dust2=0.0)
told = {}
for index in (-1.0, -0.3, 0.0, 0.4):
    depth = -np.log(light(dust1=0.0, dust2=0.7, dust_index=index)[1] / clear)
    told[f"slope {index}"] = np.abs(depth / 0.7 - kriek_conroy(wave, index)).max()
whole, old = light(dust_index=-0.3, dust2=0.7, dust1=0.0)[1], light(dust1=50.0)[1]
for dust1 in (0.3, 1.5):
    expected = old + (whole - old) * np.exp(-dust1 * birth_cloud(wave))
    told[f"cloud {dust1}"] = np.abs(light(dust1=dust1)[1] / expected - 1).max()
told["nothing"] = np.abs(old / whole - 1).max()
print(json.dumps(told))
"""


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


@pytest.mark.parametrize("index", [-1.0, -0.3, 0.4])
def test_kriek_and_conroy_multiply_calzetti_by_a_power_law(index):
    """Equations 1 to 3 of Kriek & Conroy 2013: the ratio of two slopes is a power; so is the bump.

    E_b = 0.85 - 1.9 delta is the height of the bump above Calzetti's curve, over R_V.
    """
    wave = np.geomspace(1300, 20000, 100)
    smooth = kriek_conroy(wave, index) * (wave / 5500) ** -index - dust_curve(wave, 2)
    height = smooth[np.abs(wave - 2175).argmin()] * 4.05

    assert smooth == pytest.approx((0.85 - 1.9 * index) * drude(wave), rel=1e-9)
    assert height == pytest.approx(0.85 - 1.9 * index, rel=0.05)
    optical = kriek_conroy(np.linspace(3700, 9600, 300), index)
    assert (np.diff(optical) < 0.012).all()  # 1 % up at 6300, where Calzetti's pieces meet


def test_clouds_are_a_power_law():
    """Index -1, 1 at 5500 Angstrom."""
    wave = np.geomspace(1200, 22000, 50)

    assert np.diff(np.log(birth_cloud(wave))) / np.diff(np.log(wave)) == pytest.approx(-1)
    assert birth_cloud(np.array([5500.0]))[0] == 1


def test_a_table_of_another_curve_is_refused():
    """Naming the type that was asked for."""
    wave = np.linspace(3700, 9600, 50)
    for number in CURVES:
        check_curve(dust_curve(wave, number), wave, number)
        for other in {*CURVES} - {number}:
            with pytest.raises(BadInput, match=f"dust_curve is not that of .*dust_type {other}"):
                check_curve(dust_curve(wave, number), wave, other)


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_has_the_same_dust():
    """Slopes before all light, clouds before that of 10 Myr, lines among them, to 1e-6."""
    command = [sys.executable, "-c", ASK_FSPS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])

    assert told.pop("nothing") > 0.1  # clouds do take light
    assert len(told) == 6
    for name, largest in told.items():
        assert largest < 1e-6, name
