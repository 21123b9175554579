"""The steps of expectation maximisation against an answer in closed form."""

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.grid import Grid
from hpcsbi.inference.error_moments import error_moments, object_weights
from hpcsbi.inference.error_update import further_template, next_error, prior_factor
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.additive_errors import AdditiveErrors
from hpcsbi.simulator.batch import Batch
from hpcsbi.simulator.learned_error import LearnedError
from hpcsbi.simulator.likelihood import Likelihood

GRID, NAMES = Grid(), tuple(tiny.DIGS)
WAVE, N, SIGMA = GRID.wave, 300, 0.004
MEAN = 0.02 * np.sin(WAVE / 300)
TEMPLATES = np.stack([0.02 * np.cos(WAVE / 500), 0.01 * np.sin(WAVE / 150)])


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior())


def likelihood(engine, mean, templates):
    return Likelihood(
        engine, NAMES, "given", learned=LearnedError(mean, templates, GRID.settings())
    )


@pytest.fixture(scope="module")
def known(engine):
    """Spectra whose theta is known and whose noise is SIGMA of the model in every pixel."""
    rng = np.random.default_rng(5)
    theta = tiny.prior().sample(N, rng)
    model = engine.flux(torch.tensor(theta).float(), NAMES).numpy()
    error = 1 + rng.normal(size=(N, 2)) @ TEMPLATES
    flux = model * ((1 + MEAN) * error + SIGMA * rng.normal(size=model.shape))
    ivar = (SIGMA * model) ** -2.0
    spectra = Batch(flux.astype(np.float32), ivar.astype(np.float32), np.arange(N))
    return spectra, np.repeat(theta[:, None], 2, 1).astype(np.float32), flux / model - 1


def test_what_is_added_to_each_spectrum_is_taken_out(engine, known):
    """All sums by one joint normal distribution of amplitudes, draw by draw."""
    spectra, theta, _ = known
    spectra, theta = spectra[:3], theta[:3].copy()
    theta[:, 1, 0] += 0.002
    weights, rank = np.array([1.0, 0.5, 0.3]), len(TEMPLATES)
    learned = LearnedError(MEAN, TEMPLATES, GRID.settings())
    one = Likelihood(
        engine, NAMES, "given", None, 0.04, learned=learned, additive=AdditiveErrors(900.0, 900.0)
    )
    found = error_moments(one, spectra, theta, weights)
    flux, ivar, draws = (torch.from_numpy(a) for a in (*spectra.spectra, theta))
    rows = one.over_sigma(flux, ivar, one.spectra(draws), draws)
    pull, scaled, _, own = (a if isinstance(a, float) else a.double().numpy() for a in rows)
    curves = one.amplitudes.curves.numpy()
    kept = slice(3, 3 + rank)
    side, left = np.zeros((len(WAVE), 1 + rank)), np.zeros((3, len(WAVE)))
    for i in range(3):
        for j in range(2):
            design = np.concatenate([curves * scaled[i, j], own[i, j]])
            covariance = np.linalg.inv(np.eye(len(design)) + design @ design.T)
            mean = covariance @ design @ pull[i, j]
            products = covariance + np.outer(mean, mean)
            z = np.concatenate([[1], mean[kept]])
            z_all = np.concatenate([mean[None], products[kept]])
            z_all[:, kept] = 0  # of the others
            rest = z[:, None] * pull[i, j] - z_all @ design
            side += weights[i] / 2 * (scaled[i, j] * rest).T
            left[i] += scaled[i, j] * (pull[i, j] - mean @ design) / 2

    np.testing.assert_allclose(found.side, side, rtol=1e-5, atol=1e-5 * np.abs(side).max())
    scores = (left.T * weights) @ left
    np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-5 * np.abs(scores).max())
    assert object_weights(one, spectra, theta).shape == (3,)


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


def test_the_order_of_objects_does_not_matter(engine, known):
    """But for rounding; who has no weight has no say at all."""
    spectra, theta, _ = known
    one, weights = likelihood(engine, MEAN, TEMPLATES), np.linspace(0, 1, N)
    back = np.arange(N)[::-1]
    forward = error_moments(one, spectra, theta, weights)
    backward = error_moments(one, spectra[back], theta[back], weights[back])

    for name, values in vars(forward).items():
        np.testing.assert_allclose(values, getattr(backward, name), rtol=1e-9, atol=1e-9)
    some = np.arange(N) < 100
    whole = error_moments(one, spectra, theta, some.astype(float))
    part = error_moments(one, spectra[some], theta[some], np.ones(100))
    np.testing.assert_allclose(whole.normal, part.normal, rtol=1e-9)


def test_objects_that_the_model_cannot_make_have_little_say(engine, known):
    """Two per cent of quasars; galaxies keep theirs."""
    spectra, theta, _ = known
    odd = np.arange(N) < 6
    flux = np.where(odd[:, None], spectra.flux * (1 + 0.5 * np.sin(WAVE / 90)), spectra.flux)
    mixed = Batch(flux.astype(np.float32), spectra.ivar, spectra.seeds)
    weights = object_weights(likelihood(engine, MEAN, TEMPLATES), mixed, theta)

    assert weights[odd].max() < 0.1 and (weights[~odd] == 1).mean() > 0.98
