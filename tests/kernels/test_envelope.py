"""Envelopes of templates that reach some pixels: no entry too few, none too many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.kernels.arithmetic import DRAWS
from hpcsbi.kernels.envelope import arrangement, decompose


def intervals(templates, pixels, seed):
    """Templates that reach one interval each, (templates, pixels)."""
    rng, places = np.random.default_rng(seed), np.arange(pixels)
    ends = np.sort(rng.integers(0, pixels + 1, (templates, 2)), 1)
    inside = (places >= ends[:, :1]) & (places < ends[:, 1:])
    return np.where(inside, rng.uniform(0.5, 2, inside.shape), 0)


def filled(matrix):
    """Entries of the upper triangle that elimination makes, and that are there before."""
    some = matrix != 0
    before = np.triu(some).sum()
    for k in range(len(some)):
        meeting = np.flatnonzero(some[k, k:]) + k
        some[np.ix_(meeting, meeting)] = True
    return np.triu(some).sum(), before


@given(templates=st.integers(0, 20), pixels=st.integers(1, 50), seed=st.integers(0, 999))
def test_the_envelope_is_what_meets_and_nothing_is_filled(templates, pixels, seed):
    """Entries are the pairs that share pixels, and so it stays when they are eliminated."""
    values = intervals(templates, pixels, seed)
    numbers, reached, first, offset = arrangement(values)
    there = np.flatnonzero(values.any(1))
    matrix = values[numbers] @ values[numbers].T

    assert sorted(numbers) == there.tolist()
    assert reached[-1].tolist() == [0, pixels] and first[-1] == 0
    for number, (begin, end) in zip(numbers, reached[:-1], strict=True):
        assert np.flatnonzero(values[number]).tolist() == list(range(begin, end))
    assert filled(matrix) == (offset[-2], offset[-2])
    assert offset[-1] - offset[-2] == len(there) + 1


def test_another_order_fills_what_was_zero():
    """By the first pixel, or a wide template first: the entries are more."""
    values = intervals(20, 200, 3)
    values[0] = 1
    numbers, *_ = arrangement(values)
    for order in (np.argsort((values != 0).argmax(1)), numbers[::-1]):
        after, before = filled(values[order] @ values[order].T)
        assert after > before


def test_tails_that_rounding_takes_are_no_reach():
    """A Gaussian ends where float32 sees nothing of it; what lies between two lines is kept."""
    places = np.arange(400.0)
    line, pair = np.exp(-0.5 * (places - 200) ** 2), np.exp(-0.5 * (places - 100) ** 2)
    _, reached, *_ = arrangement(np.stack([line, line + 0.1 * pair]))

    assert reached[0].tolist() == [195, 206] and reached[1].tolist() == [95, 206]
    assert line[reached[0, 1]] < 2**-24 < line[reached[0, 1] - 1]


@pytest.mark.parametrize("odd", [np.inf, np.nan])
def test_what_is_not_finite_stays_inside(odd):
    """No pixel beside the array is read."""
    values = intervals(5, 20, 1)
    values[2, 3:5] = odd
    _, reached, first, offset = arrangement(values)

    assert reached.min() >= 0 and reached.max() <= 20
    assert (first <= np.arange(len(first))).all() and (np.diff(offset) > 0).all()


@given(templates=st.integers(1, 12), pixels=st.integers(1, 30), seed=st.integers(0, 999))
def test_a_decomposition_is_that_of_the_whole_matrix(templates, pixels, seed):
    """Gain and ln det of 1 + D D^T by numpy, with deviations of some templates; entries are U's."""
    rng = np.random.default_rng(seed)
    values = intervals(templates, pixels, seed)
    numbers, _, first, offset = arrangement(values)
    power = np.append(rng.integers(0, 2, len(numbers)), 0)
    draws, deviation = rng.normal(size=(DRAWS, pixels)), rng.uniform(0, 3, DRAWS)
    pull, rows = rng.normal(size=(DRAWS, pixels)), np.empty((offset[-1], DRAWS))
    found, whole = np.empty((2, DRAWS)), []
    for s in range(DRAWS):
        columns = np.concatenate([values[numbers] * draws[s], pull[None, s]])
        matrix = columns @ columns.T
        entries = [matrix[first[j] : j + 1, j] for j in range(len(matrix))]
        rows[:, s] = np.concatenate(entries)
        scaled = columns[:-1] * (deviation[s] ** power[:-1])[:, None]
        whole.append((np.eye(len(scaled)) + scaled @ scaled.T, scaled @ pull[s]))
    decompose(rows, first, offset, power, deviation, *found)

    for s, (matrix, side) in enumerate(whole):
        assert found[0, s] == pytest.approx(side @ np.linalg.solve(matrix, side), rel=1e-9)
        assert found[1, s] == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-9, abs=1e-12)
