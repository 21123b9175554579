"""Lines over the model: what is put in comes out, with errors that are right, for many spectra."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.inference.columns.line_excess import MOMENTS, line_excess_columns, line_group_names
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.templates import SmoothError, line_curves, response_curves
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import N_DRAWS
from hpcsbi.simulator.table.batch import Batch

PRIOR = tiny.prior(survey=True)
NAMES = list(PRIOR.names)
ERROR, CALIBRATION, OBJECTS = 3.0, 0.04, 2000
STRENGTHS = np.linspace(-2.0, 0.5, 400)  # log10 of the model's own lines: all that is inferred


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, PRIOR)


def likelihood_of(engine, smooth=None, lines=ERROR) -> Likelihood:
    return Likelihood(engine, PRIOR.names, "survey", None, CALIBRATION, smooth, lines)


def galaxies(engine, smooth=None, seed=0, snr=40.0):
    """Coordinates of the truth, spectra with errors at random, and the excess of their lines."""
    rng = np.random.default_rng(seed)
    coordinates = PRIOR.sample_coordinates(OBJECTS, rng, 0.05)
    coordinates[:, NAMES.index("line_strength")] = rng.choice(STRENGTHS, OBJECTS)
    coordinates[:, NAMES.index("noise_floor")] = np.log10(0.005)
    clean = engine.flux(torch.tensor(PRIOR.theta(coordinates)).float(), PRIOR.names).double()
    clean, wave = clean.numpy(), torch.from_numpy(engine.wave)
    curves, lines = response_curves(wave).numpy(), line_curves(wave).numpy()
    excess = ERROR * rng.normal(size=(OBJECTS, len(lines)))
    factor = 1 + CALIBRATION * rng.normal(size=(OBJECTS, 3)) @ curves + excess @ lines
    if smooth is not None:
        local = smooth.curves(engine.wave).dense(wave).numpy()
        factor += smooth.amplitude * rng.normal(size=(OBJECTS, len(local))) @ local
    sigma = clean.mean(1, keepdims=True) / snr * np.ones_like(clean)
    total = np.hypot(sigma, 0.005 * clean)
    ivar = np.where(rng.random(clean.shape) < 0.05, 0, sigma**-2.0)
    flux = np.where(ivar > 0, clean * factor + total * rng.normal(size=clean.shape), 0)
    batch = Batch(flux.astype("f4"), ivar.astype("f4"), np.arange(OBJECTS))
    return coordinates, batch, excess


def drawn(coordinates) -> Draws:
    """Draws of equal weight, (objects, n, n_theta)."""
    n = coordinates.shape[1]
    count = np.full(len(coordinates), n)
    return Draws(coordinates, np.zeros(coordinates.shape[:2]), count, np.ones(len(coordinates)))


@pytest.mark.parametrize("smooth", [None, SmoothError(200.0, 0.01)])
def test_excess_of_known_galaxies_comes_back_with_its_error(engine, smooth):
    """Of 2000 spectra: unbiased, pulls of one for every group of lines, and shrunk to the prior."""
    coordinates, batch, excess = galaxies(engine, smooth)
    likelihood = likelihood_of(engine, smooth)
    columns = line_excess_columns(PRIOR, likelihood, drawn(coordinates[:, None]), batch)
    mean, sd = np.moveaxis(columns["line_excess"], 1, 0)
    pull = (mean - excess) / sd

    assert MOMENTS == ("mean", "sd") and mean.shape == (OBJECTS, len(likelihood.amplitudes.groups))
    assert np.abs(pull.mean(0)).max() < 4.5 / np.sqrt(OBJECTS)
    assert np.abs(pull.std(0) - 1).max() < 4.5 / np.sqrt(2 * OBJECTS)
    assert (sd < ERROR * 1.001).all() and np.median(sd) < ERROR / 2
    wrong = likelihood_of(engine, None, 0.3)  # control: a prior too narrow for what is there
    told = line_excess_columns(PRIOR, wrong, drawn(coordinates[:, None]), batch)["line_excess"]
    assert ((told[:, 0] - excess) / told[:, 1]).std(0).min() > 2


def test_what_the_galaxy_may_be_is_in_the_error(engine):
    """Where the strength of the model's own lines is inferred, by weights of the exact likelihood:
    pulls are one over its draws, and larger for the most probable one alone."""
    coordinates, batch, excess = galaxies(engine, None, 1)
    coordinates, batch, excess = coordinates[:600], batch[np.arange(600)], excess[:600]
    likelihood, rng = likelihood_of(engine), np.random.default_rng(2)
    grid = np.repeat(coordinates[:, None], len(STRENGTHS), 1)
    grid[..., NAMES.index("line_strength")] = STRENGTHS
    flux, ivar = (torch.tensor(x) for x in (batch.flux, batch.ivar))
    with torch.no_grad():
        ln = likelihood(flux, ivar, torch.tensor(PRIOR.theta(grid)).float()).numpy()
    weights = np.exp(ln - ln.max(1, keepdims=True))
    cumulative = (weights / weights.sum(1, keepdims=True)).cumsum(1)
    picks = rng.random((600, N_DRAWS, 1)) > cumulative[:, None]
    rows = picks.sum(-1).clip(0, len(STRENGTHS) - 1)
    posterior = np.take_along_axis(grid, rows[..., None], 1)
    best = np.take_along_axis(grid, ln.argmax(1)[:, None, None], 1)
    pulls = {}
    for name, draws in {"all": posterior, "best": best}.items():
        columns = line_excess_columns(PRIOR, likelihood, drawn(draws), batch)["line_excess"]
        pulls[name] = (columns[:, 0] - excess) / columns[:, 1]

    assert np.abs(pulls["all"].std(0) - 1).max() < 4.5 / np.sqrt(2 * 600)
    assert np.abs(pulls["all"].mean(0)).max() < 4.5 / np.sqrt(600)
    assert pulls["best"].std(0).max() > 1.2  # control


def test_draws_are_a_mixture(engine):
    """Mean and variance of draws that differ are those of the mixture; NaN without any."""
    coordinates, batch, _ = galaxies(engine, None, 3)
    likelihood, some = likelihood_of(engine), batch[np.arange(3)]
    pair = coordinates[:6].reshape(3, 2, -1).copy()
    pair[..., NAMES.index("logmass")] = coordinates[:3, None, NAMES.index("logmass")]
    both = line_excess_columns(PRIOR, likelihood, drawn(pair), some)["line_excess"]
    each = [
        line_excess_columns(PRIOR, likelihood, drawn(pair[:, [i]]), some)["line_excess"]
        for i in (0, 1)
    ]
    mean = (each[0][:, 0] + each[1][:, 0]) / 2
    square = sum(x[:, 1] ** 2 + x[:, 0] ** 2 for x in each) / 2
    np.testing.assert_allclose(both[:, 0], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(both[:, 1], np.sqrt(square - mean**2), rtol=1e-3)

    none = replace(drawn(pair), kept=np.array([0, 2, 2]))
    columns = line_excess_columns(PRIOR, likelihood, none, some)["line_excess"]
    assert np.isnan(columns[0]).all() and np.isfinite(columns[1:]).all()


def test_there_is_no_column_where_lines_have_no_error(engine):
    """Nor without a table."""
    coordinates, batch, _ = galaxies(engine)
    for likelihood in (likelihood_of(engine, None, 0.0), None):
        assert line_excess_columns(PRIOR, likelihood, drawn(coordinates[:, None]), batch) == {}
    of = {
        0.0: {},
        ERROR: {"moment": MOMENTS, "line_group": likelihood_of(engine).amplitudes.groups},
    }
    for lines, names in of.items():
        assert line_group_names(likelihood_of(engine, None, lines)) == names
    assert line_group_names(None) == {}
