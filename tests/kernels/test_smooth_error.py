"""Amplitudes integrated out in a band, against the same in dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.kernels.arithmetic import DRAWS
from hpcsbi.kernels.smooth_error import integrate


def case(n, pixels, reach, orders, some, snr, seed):
    """Arguments of `integrate`: templates of random shapes that reach a few pixels, or all."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(0, 1 + pixels // 4, pixels))
    first = (first - first[0]) * bool(reach)
    pull = rng.normal(size=(n, pixels)).astype(np.float32)
    model = (snr * rng.uniform(0.5, 1.5, (n, pixels))).astype(np.float32)
    model[:, rng.random(pixels) < 0.1] = 0
    curves = (0.04 * rng.normal(size=(orders, pixels))).astype(np.float32)
    spread = rng.uniform(0, 0.1, n).astype(np.float32)
    spread[0] = 0
    own = snr * 0.03 * rng.normal(size=(n, some, pixels))
    own[:, ::2, pixels // 3 :] = 0  # some reach few pixels
    local = rng.normal(size=(pixels, reach))
    return pull, model, curves, first, local, spread, own.astype(np.float32)


def dense(pull, model, curves, first, local, spread, own):
    """Gain and ln det by numpy."""
    templates = np.zeros((first[-1] + local.shape[1], pull.shape[1]))
    for i, values in enumerate(local.T):
        templates[first + i, np.arange(len(first))] = values
    gain, log_det = np.empty((2, len(pull)))
    for i, (residual, light) in enumerate(zip(pull, model.astype(float), strict=True)):
        design = np.concatenate([spread[i] * templates, curves]) * light
        design = np.concatenate([design, own[i].astype(float)])
        matrix, side = np.eye(len(design)) + design @ design.T, design @ residual
        gain[i], log_det[i] = side @ np.linalg.solve(matrix, side), np.linalg.slogdet(matrix)[1]
    return gain, log_det


def integrated(*arguments):
    """What is taken from chi squared, and what is added to the logarithm."""
    out = np.zeros((2, len(arguments[0])))
    integrate(*arguments, *out)
    return out * [[-1], [1]]


@given(
    n=st.integers(1, 2 * DRAWS + 1),
    pixels=st.integers(1, 60),
    reach=st.integers(0, 8),
    orders=st.integers(0, 4),
    some=st.integers(0, 3),
    power=st.integers(-3, 4),
    seed=st.integers(0, 999),
)
def test_a_band_with_a_border_is_the_whole_matrix(n, pixels, reach, orders, some, power, seed):
    """Any number of draws, pixels and templates, at any S/N; some are each draw's own."""
    arguments = case(n, pixels, reach, orders, some, 10.0**power, seed)
    for found, right in zip(integrated(*arguments), dense(*arguments), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-7)


def test_templates_without_a_deviation_take_nothing():
    """Nor does a spectrum that is masked; control: with one they do."""
    pull, model, *rest, spread, own = case(5, 40, 6, 0, 0, 50.0, 0)

    assert not integrated(pull, model, *rest, 0 * spread, own).any()
    assert not integrated(pull, 0 * model, *rest, spread, own).any()
    assert (integrated(pull, model, *rest, spread, own)[:, 1:] > 0).all()


@pytest.mark.parametrize("odd", [1e30, np.inf, np.nan])
def test_what_is_not_finite_spoils_no_other_draw(odd):
    """Draws stand side by side in one vector; each has its own numbers."""
    pull, model, *rest, spread, own = case(20, 40, 6, 3, 2, 50.0, 1)
    right = integrated(pull, model, *rest, spread, own)
    model[7, 11] = odd
    found = integrated(pull, model, *rest, spread, own)

    others = np.arange(20) != 7
    assert np.array_equal(found[:, others], right[:, others])
    assert not np.array_equal(found[:, 7], right[:, 7])
