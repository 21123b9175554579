"""The steps of expectation maximisation against an answer in closed form."""

import numpy as np
import pytest
import torch
from known_error import MEAN, SIGMA, TEMPLATES, WAVE, N, likelihood

from hpcsbi.inference.learning.error_moments import error_moments
from hpcsbi.inference.learning.error_update import further_template, next_error, prior_factor


def evidence(one, known):
    flux, ivar = map(torch.from_numpy, known[0].spectra)
    return float(one(flux, ivar, torch.from_numpy(known[1]))[:, 0].sum())


def test_the_maximum_is_that_of_principal_components(engine, known):
    """With known theta and equal noise it is in closed form (Tipping & Bishop 1999, J. R. Stat.
    Soc. B 61, 611, section 3.2), and each step raises the evidence.
    """
    root, mean, templates = prior_factor(WAVE), np.zeros(len(WAVE)), np.zeros((0, len(WAVE)))
    weights, values = np.ones(N), []
    for rank in range(3):
        if rank:
            moments = error_moments(likelihood(engine, mean, templates), *known[:2], weights)
            templates = np.vstack([templates, further_template(moments)])
        values = []
        for _ in range(12):
            one = likelihood(engine, mean, templates)
            values.append(evidence(one, known))
            mean, templates = next_error(mean, error_moments(one, *known[:2], weights), root, 0.0)
        assert (np.diff(values) > -1e-3 * abs(values[-1] - values[0]) - 0.5).all()

    residuals = known[2]
    assert mean == pytest.approx(residuals.mean(0), abs=2e-5)
    variances, directions = np.linalg.eigh(np.cov(residuals.T, ddof=0))
    loadings = directions[:, -2:] * np.sqrt(variances[-2:] - SIGMA**2)
    exact = loadings @ loadings.T
    ours = templates * (1 + mean)
    assert np.linalg.norm(ours.T @ ours - exact) < 0.01 * np.linalg.norm(exact)
    # It beats the truth, as a maximum does, by about half a nat for each of its numbers.
    ahead = evidence(likelihood(engine, mean, templates), known) - evidence(
        likelihood(engine, MEAN, TEMPLATES), known
    )
    numbers = 3 * len(WAVE) - 1
    assert abs(2 * ahead - numbers) < 5 * np.sqrt(2 * numbers)
    # And the truth is where it should be.
    scatter = np.sqrt((TEMPLATES**2).sum(0) + SIGMA**2) / np.sqrt(N)
    assert (np.abs(mean - MEAN) < 5 * scatter).all()


def test_a_strong_prior_keeps_the_error_small_and_smooth(engine, known):
    """The stronger, the less; so strong that nothing is left."""
    moments = error_moments(likelihood(engine, np.zeros(len(WAVE)), []), *known[:2], np.ones(N))
    root = prior_factor(WAVE)
    means = [next_error(np.zeros(len(WAVE)), moments, root, s)[0] for s in (0.0, 1.0, 1e5, 1e12)]
    sizes = [np.linalg.norm(mean) for mean in means]

    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 1e-3 * sizes[0]
    assert np.linalg.norm(means[1] - means[0]) < 0.05 * sizes[0]
    rough = [np.linalg.norm(np.diff(mean, 2)) / np.linalg.norm(mean) for mean in means[:3]]
    assert rough[2] < rough[0]
