"""Numbers of an agreement are those that were put in, and few outliers do not move them."""

import numpy as np
import pytest

from hpcsbi.statistics.agreement import agreement, half_width

N = 20_000


def test_offset_scatter_and_pulls_come_back():
    """Normal differences of known size, with the error that is quoted and with half of it."""
    rng = np.random.default_rng(0)
    difference = 0.3 + 0.2 * rng.normal(size=N)
    right, small = (agreement(difference - 0.3, np.full(N, error)) for error in (0.2, 0.1))
    told = agreement(difference, np.full(N, 0.2))

    assert told.median == pytest.approx(0.3, abs=5 * told.median_error)
    assert told.median_error == pytest.approx(0.2 * np.sqrt(np.pi / 2 / N), rel=0.05)
    assert told.scatter == pytest.approx(0.2, rel=0.03)
    assert told.pull_median == pytest.approx(1.5, abs=0.05)
    assert right.pull_scatter == pytest.approx(1, rel=0.03)
    assert right.outliers == pytest.approx(0.0027, abs=0.002)
    assert small.pull_scatter == pytest.approx(2, rel=0.03) and small.outliers > 0.1


def test_the_error_of_the_median_is_honest():
    """Over many samples the medians scatter by it."""
    rng = np.random.default_rng(1)
    told = [agreement(rng.normal(size=200), np.ones(200)) for _ in range(500)]

    spread = np.std([each.median for each in told])
    assert np.mean([each.median_error for each in told]) == pytest.approx(spread, rel=0.15)


def test_outliers_and_gaps_move_nothing():
    """A tenth of nonsense, and rows that one side lacks."""
    rng = np.random.default_rng(2)
    difference = rng.normal(size=N)
    difference[: N // 10] = 1e6
    difference[-100:] = np.nan
    told = agreement(difference, np.ones(N))

    assert told.count == N - 100 and told.median == pytest.approx(0.14, abs=0.04)
    assert told.scatter == pytest.approx(1.14, abs=0.1)
    assert told.outliers == pytest.approx(0.1, abs=0.01)


def test_nothing_compared_is_told():
    """NaN, without a warning; differences without errors have no pulls."""
    nothing = agreement(np.full(3, np.nan), np.ones(3))
    without = agreement(np.arange(3.0), np.zeros(3))

    assert nothing.count == 0 and np.isnan(nothing.median) and np.isnan(nothing.outliers)
    assert without.median == 1 and np.isnan(without.pull_scatter)
    assert half_width(np.array([1.0]), np.array([3.0])) == 1
