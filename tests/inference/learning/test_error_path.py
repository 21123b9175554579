"""A small survey whose error is known, and one that has none."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.grid import Grid
from hpcsbi.inference.learning.error_path import Care, Survey, error_path
from hpcsbi.inference.learning.following import follow
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.held_out import judgement

GRID, PRIOR, WAVE = Grid(), tiny.prior(survey=True), Grid().wave
NOISE = SurveyNoise(snr=(20, 200), cut=0.0, calibration=0.04)
NONE = LearnedError(np.zeros(len(WAVE)), [], GRID.settings())
ERROR = LearnedError(0.03 * np.sin(WAVE / 200), [0.03 * np.sin(WAVE / 150)], GRID.settings())
N, HELD, CARE = 48, 2, Care(rank=1, steps=3, moves=3, strength=1.0)


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, PRIOR)


def survey(engine, error, under=NONE):
    """Draws from the truths on, under a likelihood with another error than that of the spectra."""
    rng = np.random.default_rng(1)
    zred = rng.uniform(0.01, 0.2, N)
    theta = PRIOR.sample(N, rng, zred)
    rows, wave = torch.tensor(theta).float(), torch.tensor(WAVE).float()
    floor, told = rows[:, PRIOR.names.index("noise_floor")], torch.tensor(zred).float()
    noise, generator = replace(NOISE, learned=error), torch.Generator().manual_seed(0)
    flux, ivar, _ = noise(engine.flux(rows, PRIOR.names), wave, floor, generator, told)
    batch = Batch(flux.numpy(), ivar.numpy(), np.arange(N), zred)
    begin = np.repeat(PRIOR.coordinates(theta)[:, None], 32, 1)
    begin = begin + 1e-3 * rng.normal(size=begin.shape) * (PRIOR.high - PRIOR.low)
    begin = np.clip(begin, PRIOR.low, PRIOR.upper(zred)[:, None])
    draws, ways = begin, [(error, error), (error, under), (under, under)]
    for step, pair in enumerate(ways):
        both = [function(engine, batch, each) for each in pair]
        draws = follow(draws, *both, PRIOR, zred, batch.seeds, 100 + step, 20).coordinates
    known = None if under is NONE else under
    rest = engine, PRIOR, replace(NOISE, learned=known), GRID.settings()
    return Survey(batch, draws, *rest)


def function(engine, batch, error):
    one = of_simulator(engine, PRIOR.names, replace(NOISE, learned=error))
    flux, ivar = map(torch.from_numpy, batch.spectra)

    @torch.no_grad()
    def log_likelihood(rows, coordinates):
        theta = torch.from_numpy(PRIOR.theta(coordinates, np.float32))
        return one(flux[rows], ivar[rows], theta).numpy()

    return log_likelihood


def held_out(one):
    """Gains of objects that taught nothing, shape (1, ranks, objects)."""
    gains = np.full((2, N), np.nan)
    for fold in range(HELD):
        out = np.arange(N) % HELD == fold
        gains[:, out] = [rank.gain[out] for rank in error_path(one, ~out, CARE)]
    return gains[None]


def test_an_error_is_asked_for_and_learned(engine):
    """Held-out spectra gain by it; mean and template are those of the simulator."""
    one = survey(engine, ERROR)
    verdict = judgement(held_out(one))
    ranks = list(error_path(one, np.full(N, True), CARE))

    assert verdict.rank == 1 and verdict.gain > 5 * verdict.gain_error
    # What follows the wavelength so fast, neither theta nor the calibration can be.
    [template] = ranks[1].error.templates
    for ours, theirs in ((ranks[1].error.mean, ERROR.mean), (template, ERROR.templates[0])):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) > 0.8
    assert np.isfinite(ranks[1].gain).mean() > 0.9
    # Steps raise the evidence of those that teach, give or take what draws tell.
    for rank in ranks:
        assert np.diff(rank.history).min() > -0.05 * N


def test_where_there_is_no_error_none_is_asked_for(engine):
    """The negative control: what few spectra teach is noise, and held-out spectra say so."""
    assert judgement(held_out(survey(engine, NONE))).rank is None


def test_it_goes_on_from_the_error_of_the_noise(engine):
    """Whose rank is the least; of the true one there is little to be gained."""
    one = survey(engine, ERROR, ERROR)
    [rank] = error_path(one, np.arange(N) % HELD != 0, CARE)

    assert len(rank.error.templates) == 1
    assert np.nanmean(rank.gain[::HELD]) < 3
    assert np.corrcoef(rank.error.mean, ERROR.mean)[0, 1] > 0.8
