import numpy as np
import pytest
import tiny

from hpcsbi.inference.learning.following import FEWEST, follow

PRIOR = tiny.prior()
WIDTH = PRIOR.high - PRIOR.low
SEEDS = np.arange(200) * 7919


def normal(middle, width):
    """ln of a normal's shape, whose maximum is 0, in the prior's box."""
    return lambda rows, x: -0.5 * (((x - PRIOR.low) / WIDTH - middle) ** 2 / width**2).sum(-1)


def draws(middle, width, n, seed=0):
    rng = np.random.default_rng(seed)
    shape = n, 2 * FEWEST, len(PRIOR.names)
    return PRIOR.low + WIDTH * (middle + width * rng.normal(size=shape)).clip(0, 1)


def test_draws_and_evidence_are_those_of_the_new_likelihood():
    """Three widths away and a third narrower: the ratio of two normals' integrals."""
    old, new = normal(0.4, 0.05), normal(0.55, 0.033)
    there = follow(draws(0.4, 0.05, 200), old, new, PRIOR, None, SEEDS, 0, 20)
    unit = (there.coordinates - PRIOR.low) / WIDTH

    assert there.arrived.all()
    assert unit.mean((0, 1)) == pytest.approx(0.55, abs=0.005)
    assert unit.std((0, 1)) == pytest.approx(0.033, rel=0.1)
    # A logarithm of a mean falls short by half of its variance.
    ratio = there.log_ratio
    error = ratio.std() / len(ratio) ** 0.5
    exact = len(PRIOR.names) * np.log(0.033 / 0.05)
    assert exact - 1.0 - 4 * error < ratio.mean() < exact + 4 * error
    # Control: as they were they are far away.
    assert (draws(0.4, 0.05, 1) < there.coordinates.min()).any() or unit.mean() > 0.5


def test_a_likelihood_that_stays_moves_no_evidence():
    """Nor any quantile: the moves keep detailed balance, also at the prior's edge."""
    same = normal(0.0, 0.2)
    begin = draws(0.0, 0.2, 200)
    begin = np.where(begin > PRIOR.low, begin, 2 * PRIOR.low - begin)
    begin = PRIOR.low + WIDTH * np.abs(np.random.default_rng(1).normal(size=begin.shape) * 0.2)
    there = follow(begin, same, same, PRIOR, None, SEEDS, 0, 30)

    assert (there.log_ratio == 0).all() and not np.array_equal(there.coordinates, begin)
    before, after = ((x - PRIOR.low) / WIDTH / 0.2 for x in (begin, there.coordinates))
    assert after.mean() == pytest.approx(before.mean(), abs=0.02)
    assert (after**2).mean() == pytest.approx(1, abs=0.05)
    assert PRIOR.inside(there.coordinates).all()


def test_an_object_does_not_depend_on_the_others():
    """Its numbers are those of its seed and the step; another step has others."""
    begin, rest = draws(0.4, 0.05, 9), (normal(0.4, 0.05), normal(0.5, 0.05), PRIOR, None)
    whole = follow(begin, *rest, SEEDS[:9], 3, 2)
    alone = follow(begin[4:5], *rest, SEEDS[4:5], 3, 2)

    assert np.array_equal(whole.coordinates[4:5], alone.coordinates)
    assert whole.log_ratio[4] == alone.log_ratio[0]
    assert not np.array_equal(follow(begin, *rest, SEEDS[:9], 4, 2).coordinates, whole.coordinates)


def test_a_posterior_that_is_nowhere_is_not_reached():
    """It is said, and the draws are still some."""
    nowhere = lambda rows, x: np.full(x.shape[:2], -np.inf)  # noqa: E731
    begin = draws(0.4, 0.05, 3)
    there = follow(begin, normal(0.4, 0.05), nowhere, PRIOR, None, SEEDS[:3], 0, 1)

    assert not there.arrived.any() and np.isfinite(there.coordinates).all()


def test_draws_that_are_all_the_same_are_no_posterior():
    """Their moves lead nowhere: the object is told as lost."""
    same = np.repeat(draws(0.4, 0.05, 3)[:, :1], 2 * FEWEST, 1)
    there = follow(same, normal(0.4, 0.05), normal(0.5, 0.05), PRIOR, None, SEEDS[:3], 0, 5)

    assert not there.arrived.any()
