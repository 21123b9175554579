"""Bands that hold what chance does, as often as they say."""

import numpy as np
import pytest
from scipy import special, stats

from hpcsbi.statistics import bands


def test_bands_hold_as_often_as_they_say():
    """Uniform numbers leave the band, and single bars theirs, in about 5 % of trials."""
    u = np.sort(np.random.default_rng(0).random((8000, 100)), axis=1)
    steps = np.arange(101) / 100
    distance = np.maximum(steps[1:] - u, u - steps[:-1]).max(axis=1)
    bars = np.array([np.histogram(row, 10, (0, 1))[0] for row in u])
    low, high = bands.histogram_band(100, 10)

    assert 0.04 < (distance > bands.simultaneous_band(100)).mean() < 0.06  # 4 standard errors
    assert 0.02 < ((bars < low) | (bars > high)).mean() < 0.06


def test_a_whole_band_has_its_known_width():
    """0.975 of one number, 1.36 / sqrt(n) of many; wider than the band of each level alone."""
    assert bands.simultaneous_band(1) == pytest.approx(0.975)
    limit = special.kolmogi(0.05)
    assert bands.simultaneous_band(10**6) * 1000 == pytest.approx(limit, rel=1e-3)
    low, high = bands.pointwise_band(1000, np.array([0.2, 0.5, 0.8]))
    assert ((high - low) / 2 < bands.simultaneous_band(1000)).all()


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_each_point_is_held_as_often_as_it_says(level):
    """No less than the level, by the binomial's own sum; ends that cannot vary have no width."""
    n, probability = 200, np.array([0.0, 0.01, 0.3, 0.5, 0.99, 1.0])
    low, high = bands.pointwise_band(n, probability, level)
    counts = np.arange(n + 1)[:, None]
    held = (counts / n >= low - 1e-9) & (counts / n <= high + 1e-9)
    share = np.where(held, stats.binom.pmf(counts, n, probability), 0).sum(0)

    assert (share >= level - 1e-9).all() and (share[2:4] < level + 0.05).all()
    assert (low[0], high[0], low[-1], high[-1]) == (0, 0, 1, 1)
