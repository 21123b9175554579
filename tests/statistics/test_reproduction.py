"""Pulls of two sets of draws of one posterior are of order one; those of two posteriors are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.statistics.reproduction import level_pulls, nearly_equal, pulls, summary_of_pulls

LEVELS = np.array([0.025, 0.16, 0.5, 0.84, 0.975])
OBJECTS = 400
SHAPES = {
    "normal": lambda rng, n: rng.normal(size=(n, OBJECTS)),
    "skewed": lambda rng, n: np.exp(1.5 * rng.normal(size=(n, OBJECTS))),
    "heavy": lambda rng, n: rng.standard_t(2, size=(n, OBJECTS)),
    "box": lambda rng, n: rng.uniform(size=(n, OBJECTS)),
    "two": lambda rng, n: rng.normal(size=(n, OBJECTS)) + 3 * rng.integers(0, 2, (n, OBJECTS)),
}


def quantiles(draws):
    return np.quantile(draws, LEVELS, axis=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("numbers", [(400, 400), (250, 2000)])
def test_independent_draws_agree(shape, numbers):
    """Whatever the shape of the posterior: pulls are of order one, and no object is far off."""
    rng = np.random.default_rng(len(shape) + numbers[0])
    both = [quantiles(SHAPES[shape](rng, n)) for n in numbers]
    size = level_pulls(*both, LEVELS, tuple(np.full(OBJECTS, n) for n in numbers))
    told = [summary_of_pulls(row, np.ones(OBJECTS, bool), 200) for row in size]

    assert all(each.agrees and not each.far.any() for each in told)
    assert all(0.1 < each.mean_square < 2 for each in told)


@pytest.mark.parametrize("shape", SHAPES)
def test_another_posterior_is_far_off(shape):
    """Moved by a width, or twice as wide; the pull grows as the root of the number of draws."""
    rng = np.random.default_rng(3)
    first, second = (SHAPES[shape](rng, 500) for _ in range(2))
    width = np.diff(np.quantile(first, [0.16, 0.84], axis=0), axis=0)
    number = np.full(OBJECTS, 500)
    for other in (second + width, np.median(second, 0) + 2 * (second - np.median(second, 0))):
        size = level_pulls(quantiles(first), quantiles(other), LEVELS, (number, number))
        told = [summary_of_pulls(row, np.zeros(OBJECTS, bool), 200) for row in size]
        assert not all(each.agrees for each in told)
        more = level_pulls(quantiles(first), quantiles(other), LEVELS, (4 * number, 4 * number))
        np.testing.assert_allclose(more, 2 * size)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=5, max_size=5), st.floats(1, 1e5))
def test_equal_numbers_have_no_pull(values, number):
    """However the quantiles lie, also on each other, and also where last bits differ."""
    first = np.sort(np.array(values, np.float32).astype(float))[:, None]
    numbers = np.array([number]), np.array([number])

    assert not level_pulls(first, first, LEVELS, numbers).any()
    assert not level_pulls(first, first * (1 + 3e-7), LEVELS, numbers).any()


def test_pulls_do_not_depend_on_units_or_order():
    """Any increasing line leaves them, and the two sides change the sign alone."""
    rng = np.random.default_rng(0)
    first, second = (quantiles(rng.normal(size=(300, OBJECTS))) for _ in range(2))
    numbers = np.full(OBJECTS, 300.0), np.full(OBJECTS, 500.0)
    size = level_pulls(first, second, LEVELS, numbers)

    moved = level_pulls(3 * first + 7, 3 * second + 7, LEVELS, numbers)
    np.testing.assert_allclose(moved, size, atol=1e-9)
    turned = level_pulls(second, first, LEVELS, numbers[::-1])
    np.testing.assert_allclose(turned, -size, atol=1e-9)


def test_what_one_side_lacks_is_infinitely_far():
    """What both lack is not compared."""
    first, second = np.zeros((5, 3)), np.zeros((5, 3))
    first[:, 1:] = np.nan
    second[:, 2] = np.nan
    size = level_pulls(first, second, LEVELS, (np.ones(3), np.ones(3)))

    np.testing.assert_array_equal(size, np.tile([0, np.inf, np.nan], (5, 1)))
    np.testing.assert_array_equal(pulls(first[0], second[0], np.ones(3)), [0, np.inf, np.nan])
    assert not summary_of_pulls(size[0], np.ones(3, bool), 1).agrees
    assert summary_of_pulls(np.full(3, np.nan), np.ones(3, bool), 1).count == 0


@pytest.mark.parametrize(
    ("far", "strict", "agrees"), [(1, True, False), (2, False, True), (3, False, False)]
)
def test_some_objects_may_be_far_off_where_that_is_allowed(far, strict, agrees):
    """FEW of them; none of the strict ones."""
    size = np.zeros(50)
    size[:far] = 20.0
    told = summary_of_pulls(size, np.full(50, strict), 10)

    assert told.agrees == agrees and told.far.sum() == far and told.largest == 20


def test_many_small_differences_add_up():
    """No pull is far off and yet all together are too large."""
    told = summary_of_pulls(np.full(200, 2.0), np.ones(200, bool), 100)

    assert not told.far.any() and not told.agrees
    assert summary_of_pulls(np.full(200, 1.0), np.ones(200, bool), 100).agrees


def test_last_bits_are_nearly_equal():
    """Those of float32, and no more."""
    one = np.float32(3.7)

    assert nearly_equal(one, np.nextafter(one, np.float32(9)))
    assert not nearly_equal(one, one * np.float32(1.001)) and not nearly_equal(np.nan, np.nan)
