"""Draws in the prior's coordinates, and what they are in units."""

import numpy as np
import tiny
import torch

from hpcsbi.inference.sampling.draws import Conditions, Draws

PRIOR, N = tiny.prior(), 4000
LEVELS = [0.16, 0.5, 0.84]


def test_quantiles_are_those_of_the_prior_where_draws_are():
    """In own units, of the kept alone; NaN where nothing is kept. A logarithm's median is that of
    its number.
    """
    rng = np.random.default_rng(0)
    coordinates = PRIOR.coordinates(PRIOR.sample(3 * N, rng)).reshape(3, N, -1)
    coordinates[1, N // 2 :] = np.nan
    coordinates[2] = np.nan
    kept = np.array([N, N // 2, 0])
    draws = Draws(coordinates, np.zeros((3, N)), kept, kept / N)
    quantiles = draws.quantiles(PRIOR, LEVELS)

    assert quantiles.shape == (3, 3, len(PRIOR.names)) and np.isnan(quantiles[:, 2]).all()
    width = PRIOR.high - PRIOR.low
    for i, level in enumerate(LEVELS):
        ours = PRIOR.coordinates(quantiles[i, :2])
        error = np.sqrt(level * (1 - level) / kept[:2])[:, None] * width
        assert (np.abs(ours - (PRIOR.low + level * width)) < 5 * error).all()


def test_rows_of_conditions():
    """By slice and by index: all that is known of a spectrum goes with it."""
    context = torch.arange(8.0).reshape(4, 2)
    conditions = Conditions(context, context + 10, context.numpy()[:, :1] + 20)

    for rows in (slice(1, 3), np.array([3, 0])):
        some = conditions[rows]
        assert len(some) == 2
        assert torch.equal(some.context + 10, some.shift)
        assert np.array_equal(some.given[:, 0], some.context[:, 0].numpy() + 20)
