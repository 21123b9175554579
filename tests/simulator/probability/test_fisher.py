"""Score and Fisher's information against dense covariances and automatic differentiation."""

import copy

import numpy as np
import pytest
import tiny
import torch
from likelihood_bench import SURVEY, sigma_of, spectra

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.templates import SmoothError
from hpcsbi.simulator.probability.fisher import score_and_information
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.pulls import KINDS


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


@pytest.mark.parametrize("kind", KINDS)
def test_score_and_information_are_those_of_one_big_normal(engine, kind):
    """J^T C^-1 r and J^T C^-1 J, by the whole covariance of pixels, smooth errors in it."""
    theta, flux, ivar = spectra(engine, SurveyNoise(calibration=0.04), 3, 5)
    ivar[:, 30:34], theta = 0, theta[:, :1]
    errors = (
        {} if kind == "fractional" else {"calibration": 0.04, "smooth": SmoothError(300.0, 0.01)}
    )
    one = Likelihood(engine, SURVEY, kind, 0.05 if kind == "fractional" else None, **errors)
    model = engine.flux(theta[:, 0], SURVEY)[:, None]
    generator = torch.Generator().manual_seed(1)
    slopes = model * torch.randn(3, 4, 138, generator=generator)
    score, information = score_and_information(one, flux, ivar, model, slopes, theta)

    for i in range(3):
        valid = (ivar[i] > 0).numpy()
        m, j = model[i, 0].double().numpy()[valid], slopes[i].double().numpy()[:, valid]
        sigma = sigma_of(kind, m, ivar[i].double().numpy()[valid], float(theta[i, 0, -1]))
        curves = one.amplitudes.curves.numpy()[:, valid] * m
        if errors:
            smooth = len(curves) - one.amplitudes.everywhere
            curves[-smooth:] *= 0.01
        covariance = np.diag(sigma**2) + curves.T @ curves
        left = np.linalg.solve(covariance, j.T)
        pull = flux[i].double().numpy()[valid] - m

        assert np.allclose(score[i], left.T @ pull, rtol=1e-3, atol=1e-3 * abs(left.T @ pull).max())
        assert np.allclose(information[i], j @ left, rtol=1e-3, atol=1e-4 * (j @ left).max())


def test_the_score_is_the_slope_of_a_likelihood_whose_sigma_is_given(engine):
    """By automatic differentiation."""
    theta, flux, ivar = spectra(engine, SurveyNoise(), 3, 5)
    theta, exact = theta[:, :1].double(), copy.deepcopy(engine).double()
    given = Likelihood(exact, SURVEY, "given")
    columns = [SURVEY.index(name) for name in ("logmass", "dust2")]

    def model(values):
        moved = theta.clone()
        moved[:, 0, columns] = values
        return exact.flux(moved[:, 0], SURVEY)

    values = theta[:, 0, columns].clone()
    slopes = torch.autograd.functional.jacobian(lambda v: model(v).sum(0), values).permute(1, 2, 0)
    score, _ = score_and_information(given, flux, ivar, model(values)[:, None], slopes, theta)
    values.requires_grad_(True)
    total = given.of_model(flux, ivar, model(values)[:, None], theta)[0].sum()

    assert torch.allclose(score, torch.autograd.grad(total, values)[0], rtol=1e-6)
