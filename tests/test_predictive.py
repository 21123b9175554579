import numpy as np
import pytest
import tiny
import torch

from hpcsbi.artifacts import load_engine
from hpcsbi.predictive import predict

NAMES = tuple(tiny.DIGS | tiny.NUISANCE)


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


def observed(engine, n: int, floor: float, seed: int):
    """Draws around a truth, and spectra made of the truth with a floor and S/N 100."""
    rng = np.random.default_rng(seed)
    truth = tiny.prior(survey=True).sample(n, rng).astype(np.float32)
    truth[:, NAMES.index("noise_floor")] = floor
    model = engine.flux(torch.from_numpy(truth), NAMES).numpy()
    sigma = np.hypot(model / 100, floor * model)
    flux = (model + sigma * rng.normal(size=model.shape)).astype(np.float32)
    return np.repeat(truth[:, None], 70, 1), flux, ((100 / model) ** 2).astype(np.float32)


def test_a_right_posterior_predicts_its_spectrum(engine):
    """With the truth as posterior, chi squared per pixel is 1 and p-values are uniform."""
    theta, flux, ivar = observed(engine, 300, 0.02, 0)
    found = predict(engine, NAMES, theta, flux, ivar)

    assert abs(found.chi2.mean() - 1) < 0.02
    assert abs(found.p_value.mean() - 0.5) < 0.06
    assert found.flux.shape == flux.shape


def test_a_wrong_posterior_is_seen(engine):
    """Ages off by a third, or a floor a third of the true one, make the spectrum improbable."""
    theta, flux, ivar = observed(engine, 100, 0.03, 1)
    older, blind = theta.copy(), theta.copy()
    older[..., NAMES.index("dust2")] += 0.3
    blind[..., NAMES.index("noise_floor")] = 0.01

    assert np.median(predict(engine, NAMES, older, flux, ivar).p_value) < 1e-3
    assert np.median(predict(engine, NAMES, blind, flux, ivar).p_value) < 1e-3


def test_masked_pixels_do_not_count(engine):
    """Garbage under ivar = 0 changes neither chi squared nor p-value."""
    theta, flux, ivar = observed(engine, 20, 0.02, 2)
    ivar[:, 40:70] = 0
    garbage = flux.copy()
    garbage[:, 40:70] = 1e9

    a, b = (predict(engine, NAMES, theta, f, ivar) for f in (flux, garbage))
    assert np.array_equal(a.chi2, b.chi2) and np.array_equal(a.p_value, b.p_value)
