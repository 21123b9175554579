import numpy as np
import pytest
import tiny
import torch
from scipy import stats

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.templates import SmoothError
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import p_value, predict

NAMES = tuple(tiny.DIGS | tiny.NUISANCE)


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


@pytest.fixture(scope="module")
def survey(engine):
    return Likelihood(engine, NAMES, "survey")


def observed(engine, n: int, floor: float, seed: int):
    """Draws around a truth, and spectra made of the truth with a floor and S/N 100."""
    rng = np.random.default_rng(seed)
    truth = tiny.prior(survey=True).sample(n, rng).astype(np.float32)
    truth[:, NAMES.index("noise_floor")] = floor
    model = engine.flux(torch.from_numpy(truth), NAMES).numpy()
    sigma = np.hypot(model / 100, floor * model)
    flux = (model + sigma * rng.normal(size=model.shape)).astype(np.float32)
    return np.repeat(truth[:, None], 70, 1), flux, ((100 / model) ** 2).astype(np.float32)


def test_a_right_posterior_predicts_its_spectrum(engine, survey):
    """With the truth as posterior, chi squared per pixel is 1 and p-values are uniform."""
    theta, flux, ivar = observed(engine, 300, 0.02, 0)
    chi2, p = predict(survey, theta, flux, ivar)

    assert abs(chi2.mean() - 1) < 0.02
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_wrong_posterior_is_seen(engine, survey):
    """Dust off by 0.3, a floor a third of the true one, or an unknown line: improbable."""
    theta, flux, ivar = observed(engine, 100, 0.03, 1)
    dusty, blind, line = theta.copy(), theta.copy(), flux.copy()
    dusty[..., NAMES.index("dust2")] += 0.3
    blind[..., NAMES.index("noise_floor")] = 0.01
    line[:, 30] *= 1.6

    for one, seen in ((dusty, flux), (blind, flux), (theta, line)):
        assert np.median(predict(survey, one, seen, ivar)[1]) < 1e-3


def test_a_calibration_error_is_allowed_for(engine, survey):
    """A tilt that the likelihood integrates over is no misfit; to one that does not, it is."""
    theta, flux, ivar = observed(engine, 100, 0.01, 3)
    tilted = flux * np.linspace(0.95, 1.05, flux.shape[1], dtype=np.float32)
    chi2, p = predict(Likelihood(engine, NAMES, "survey", calibration=0.04), theta, tilted, ivar)

    assert abs(chi2.mean() - 1) < 0.06 and 0.3 < p.mean() < 0.7
    assert predict(survey, theta, tilted, ivar)[0].mean() > 3


@pytest.mark.parametrize("length", [100.0, 400.0])
def test_an_error_of_the_model_is_allowed_for(engine, survey, length):
    """Of the size that the draws say, as the median of theirs says of the median spectrum."""
    theta, flux, ivar = observed(engine, 200, 0.003, 4)
    smooth, rng = SmoothError(length), np.random.default_rng(5)
    curves = smooth.curves(engine.wave).dense(torch.from_numpy(engine.wave)).numpy()
    wrong = flux * (1 + 0.03 * rng.normal(size=(200, len(curves))) @ curves).astype(np.float32)
    one = Likelihood(engine, (*NAMES, "model_error"), "survey", smooth=smooth)
    free = np.concatenate([theta, np.full_like(theta[..., :1], 0.03)], -1)
    chi2, p = predict(one, free, wrong, ivar)

    assert abs(chi2.mean() - 1) < 0.05 and 0.4 < p.mean() < 0.6
    free[..., -1] = 0.01
    assert predict(one, free, wrong, ivar)[1].mean() < 0.1
    assert predict(survey, theta, wrong, ivar)[0].mean() > 3


def test_masked_pixels_do_not_count(engine, survey):
    """Garbage under ivar = 0 changes neither chi squared nor p-value; no pixel, no p-value."""
    theta, flux, ivar = observed(engine, 20, 0.02, 2)
    ivar[:, 40:70] = 0
    garbage = flux.copy()
    garbage[:, 40:70] = 1e9

    for a, b in zip(*(predict(survey, theta, f, ivar) for f in (flux, garbage)), strict=True):
        assert np.array_equal(a, b)
    assert np.isnan(predict(survey, theta, flux, 0 * ivar)[1]).all()
    assert np.isnan(p_value(np.zeros((20, 0)), 138)).all()
