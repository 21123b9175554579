"""Amplitudes integrated out in an envelope, against the same in dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.kernels.amplitudes import MODEL, PULL, integrate_rows
from hpcsbi.kernels.arithmetic import DRAWS


def case(n, pixels, templates, snr, seed, bases=5):
    """Arguments of `integrated`: templates of any base that reach a few pixels, or all."""
    rng = np.random.default_rng(seed)
    rows = (snr * rng.uniform(0.5, 1.5, (bases, n, pixels))).astype(np.float32)
    rows[PULL] = rng.normal(size=(n, pixels))
    rows[:, :, rng.random(pixels) < 0.1] = 0
    values, places = 0.04 * rng.normal(size=(templates, pixels)), np.arange(pixels)
    ends = np.sort(rng.integers(0, pixels + 1, (templates, 2)), 1)
    ends[::4] = 0, pixels
    values[(places < ends[:, :1]) | (places >= ends[:, 1:])] = 0
    spread = rng.uniform(0, 3, n).astype(np.float32)
    spread[0] = 0
    return (
        rows,
        values,
        rng.integers(MODEL, bases, templates),
        rng.integers(0, 2, templates),
        spread,
    )


def dense(rows, values, base_of, free, spread):
    """Gain and ln det by numpy."""
    gain, log_det = np.empty((2, len(spread)))
    for i, deviation in enumerate(spread.astype(float)):
        light, residual = rows[:, i].astype(float), rows[PULL, i].astype(float)
        matrix = values * light[base_of] * np.where(free, deviation, 1.0)[:, None]
        side, matrix = matrix @ residual, np.eye(len(matrix)) + matrix @ matrix.T
        gain[i], log_det[i] = side @ np.linalg.solve(matrix, side), np.linalg.slogdet(matrix)[1]
    return gain, log_det


def integrated(*arguments):
    """What is taken from chi squared, and what is added to the logarithm."""
    out = np.zeros((2, arguments[0].shape[1]))
    integrate_rows(*arguments, *out)
    return out * [[-1], [1]]


@given(
    n=st.integers(1, 2 * DRAWS + 1),
    pixels=st.integers(1, 60),
    templates=st.integers(0, 12),
    power=st.integers(-3, 4),
    seed=st.integers(0, 999),
    bases=st.integers(2, 9),
)
def test_an_envelope_is_the_whole_matrix(n, pixels, templates, power, seed, bases):
    """Any number of draws, pixels, templates and bases, at any S/N, some zero everywhere."""
    arguments = case(n, pixels, templates, 10.0**power, seed, bases)
    for found, right in zip(integrated(*arguments), dense(*arguments), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-7)


def test_templates_without_a_deviation_take_nothing():
    """Nor does a spectrum that is masked; control: with one they do."""
    rows, values, base_of, free, spread = case(5, 40, 9, 50.0, 0)

    assert not integrated(rows, values, base_of, free | 1, 0 * spread).any()
    assert not integrated(0 * rows, values, base_of, free, spread).any()
    assert (integrated(rows, values, base_of, free, spread + 1) > 0).all()


def test_the_order_of_templates_is_no_matter():
    """They are sorted by the pixels that they reach; rounding alone tells one from another."""
    rows, values, base_of, free, spread = case(9, 50, 12, 30.0, 2)
    turned = (each[::-1].copy() for each in (values, base_of, free))

    again = integrated(rows, *turned, spread)
    np.testing.assert_allclose(again, integrated(rows, values, base_of, free, spread), rtol=1e-9)


@pytest.mark.parametrize("odd", [1e30, np.inf, np.nan])
def test_what_is_not_finite_spoils_no_other_draw(odd):
    """Draws stand side by side in one vector; each has its own numbers."""
    rows, *rest = case(20, 40, 12, 50.0, 1)
    right = integrated(rows, *rest)
    rows[:, 7, 11] = odd
    found = integrated(rows, *rest)

    others = np.arange(20) != 7
    assert np.array_equal(found[:, others], right[:, others])
    assert not np.array_equal(found[:, 7], right[:, 7])
