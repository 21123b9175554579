"""Residuals that are noise pass at the stated rate; structure does not, however large the floor."""

import numpy as np
import pytest
import tiny
import torch
from scipy import stats

from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.observation.templates import SmoothError, response_curves
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.residual_checks import (
    RESIDUAL_CHECKS,
    ResidualChecks,
    residual_p_values,
)

NAMES = tuple(tiny.DIGS | tiny.NUISANCE)
WAVE = Grid().wave
FLOOR = NAMES.index("noise_floor")
GRIDS = (Grid(), Grid(pixels=1151), Grid(first=4000, last=4500, pixels=25))


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


def observed(engine, n: int, floor: float = 0.02, seed: int = 0, error: float = 0.0):
    """Draws that are the truth, and spectra made of it with S/N 100, gaps, tilt, a smooth error."""
    rng = np.random.default_rng(seed)
    truth = tiny.prior(survey=True).sample(n, rng).astype(np.float32)
    truth[:, FLOOR] = floor
    model = engine.flux(torch.from_numpy(truth), NAMES).numpy()
    wave = torch.from_numpy(WAVE)
    curves = 0.04 * response_curves(wave).numpy()
    if error:
        curves = np.concatenate([curves, error * SmoothError().curves(WAVE).dense(wave).numpy()])
    factor = 1 + rng.normal(size=(n, len(curves))) @ curves
    flux = model * factor + np.hypot(model / 100, floor * model) * rng.normal(size=model.shape)
    ivar = (100 / model) ** 2 * (rng.random(model.shape) > 0.05)
    ivar[::3, 100:] = 0
    flux[ivar == 0] = 0
    theta = np.repeat(truth[:, None], 40, 1)
    return theta, flux.astype(np.float32), ivar.astype(np.float32), np.arange(n)


def likelihood(engine, error: float = 0.0) -> Likelihood:
    smooth = SmoothError(amplitude=error) if error else None
    return Likelihood(engine, NAMES, "survey", calibration=0.04, smooth=smooth)


@pytest.mark.parametrize("error", [0.0, 0.02])
def test_right_posteriors_have_uniform_p_values(engine, error):
    """Through masks, floor, calibration and smooth error; 1 % are below 0.01."""
    p = residual_p_values(likelihood(engine, error), *observed(engine, 400, error=error))

    for name in RESIDUAL_CHECKS:
        assert stats.kstest(p[name], "uniform").pvalue > 1e-4, name
        assert stats.binomtest(int((p[name] < 0.01).sum()), 400, 0.01).pvalue > 1e-4, name


def test_errors_that_are_not_integrated_over_correlate(engine):
    """A smooth error of 2 % is seen by neighbours where the likelihood knows of none."""
    p = residual_p_values(likelihood(engine), *observed(engine, 60, 0.005, error=0.02))

    assert (p["autocorrelation_p"] < 1e-3).mean() > 0.9


@pytest.mark.parametrize(
    ("wrong", "columns"),
    [
        ("lines", ("lines_p", "window_p")),
        ("stretch", ("window_p", "autocorrelation_p")),
        ("wave", ("autocorrelation_p",)),
    ],
)
def test_structure_is_seen_though_the_floor_absorbs_it(engine, wrong, columns):
    """Broad lines, a stretch off by 12 %, a ripple: with a floor that makes chi squared right."""
    theta, flux, ivar, seeds = observed(engine, 40, 0.005)
    centres = np.array([np.mean(BLENDS[name]) for name in ("hbeta", "halpha_nii")])
    bumps = np.exp(-0.5 * ((WAVE - centres[:, None]) / 60) ** 2).sum(0)
    shape = {
        "lines": 0.3 * bumps,
        "stretch": 0.12 * ((WAVE > 5300) & (WAVE < 5700)),
        "wave": 0.05 * np.sin(WAVE / 40),
    }[wrong]
    flux = (flux * (1 + shape)).astype(np.float32)
    theta[..., FLOOR] = np.sqrt((shape[ivar[0] > 0] ** 2).mean() + 0.005**2)
    right = likelihood(engine)
    with torch.no_grad():
        _, chi2 = right.evaluate(*(torch.tensor(a) for a in (flux, ivar, theta)))
    p = residual_p_values(right, theta, flux, ivar, seeds)

    assert np.median(chi2[:, 0] / (ivar > 0).sum(1)) < 1.3
    for name in columns:
        assert (p[name] < 1e-3).mean() > 0.9, name


def test_a_spectrum_depends_on_nothing_beside_it(engine):
    """Its p-values are its own: alone, with garbage under the mask, by its seed; NaN without."""
    right, (theta, flux, ivar, seeds) = likelihood(engine), observed(engine, 8)
    garbage = np.where(ivar > 0, flux, 1e9).astype(np.float32)
    one = residual_p_values(right, theta, flux, ivar, seeds)
    alone = residual_p_values(right, theta[5:6], garbage[5:6], ivar[5:6], seeds[5:6])
    other = residual_p_values(right, theta, flux, ivar, seeds + 100)
    nothing = residual_p_values(right, theta[:1], flux[:1], 0 * ivar[:1], seeds)
    lines = residual_p_values(right, theta[:1], flux[:1], ivar[:1] * (WAVE < 3700), seeds)

    for name in RESIDUAL_CHECKS:
        assert alone[name][0] == one[name][5]
        assert (other[name] != one[name]).any() and np.abs(other[name] - one[name]).max() < 0.2
        assert np.isnan(nothing[name][0])
    assert np.isnan(lines["lines_p"][0])


@pytest.mark.parametrize("grid", GRIDS)
def test_statistics_scale_with_nothing(grid):
    """Ten times the residuals are no other statistic, whatever grid; white ones are near none."""
    checks, rng = ResidualChecks(grid.wave), np.random.default_rng(0)
    residuals = torch.from_numpy(rng.normal(size=(200, grid.pixels))).float()
    valid = torch.ones(grid.pixels)

    for name, statistic in RESIDUAL_CHECKS.items():
        values = statistic(checks, residuals, valid)
        again = statistic(checks, -10 * residuals, valid)
        assert torch.allclose(again, values, rtol=1e-3, atol=1e-4, equal_nan=True)
        if name == "lines_p" and checks.lines.any():
            assert float(values.mean()) == pytest.approx(1, abs=0.3)
    assert abs(float(checks.autocorrelation(residuals, valid).mean())) < 0.1
