"""The compiled inverse of a masked flow against its formula, written out in float64."""

import numpy as np
import pytest

from hpcsbi.kernels.arithmetic import DRAWS
from hpcsbi.kernels.maf import ROWS, invert

ORDER = np.array([[0, 1, 2], [2, 0, 1]])
N_THETA = ORDER.shape[1]
CONTEXT = ROWS  # units of the context alone; then come one group of one dimension, and one of two
UNITS = CONTEXT + 3 * ROWS
ENDS = np.array([[CONTEXT, CONTEXT + ROWS, UNITS]] * len(ORDER))
LOG_SLOPE = np.float32(np.log(1000))


def network(seed, scale=0.5):
    """Weights of every unit, shape (transforms, units, inputs), and what context and biases add."""
    rng = np.random.default_rng(seed)
    shapes = (UNITS, N_THETA), (UNITS, UNITS), (2 * N_THETA, UNITS)
    weights = [scale * rng.normal(size=(len(ORDER), *shape)) for shape in shapes]
    given = [rng.normal(size=(len(ORDER), shape[0])).astype(np.float32) for shape in shapes]
    return [part.astype(np.float32) for part in weights], given


def inverted(z, weights, given):
    """By `invert`, whose weights stand in other places."""
    n = len(weights[0])
    blocks = [w.reshape(n, UNITS // ROWS, ROWS, -1).swapaxes(2, 3) for w in weights[:2]]
    outputs = weights[2].reshape(n, N_THETA, 2, UNITS).swapaxes(2, 3)
    places = [np.ascontiguousarray(part) for part in (*blocks, outputs)]
    out, log_det = np.empty_like(z), np.empty(len(z), np.float32)
    ends = ENDS[:n], ENDS[:n]
    invert(z, ORDER[:n], tuple(places), tuple(given), ends, LOG_SLOPE, out, log_det)
    return out, log_det


def written(z, weights, given):
    """The same, one dimension after another: a group of units sees those that stand before it."""
    x, log_det = z.astype(float), np.zeros(len(z))
    for t, order in enumerate(ORDER):
        known, first, second = (np.zeros((len(z), size)) for size in (N_THETA, UNITS, UNITS))
        for place, column in enumerate(order):
            before = slice(CONTEXT, ENDS[t, place])
            if place:
                group = slice(ENDS[t, place - 1], ENDS[t, place])
                inputs = known[:, :place] @ weights[0][t, group, :place].T
                first[:, group] = (given[0][t, group] + inputs).clip(0)
                inputs = first[:, before] @ weights[1][t, group, before].T
                second[:, group] = (given[1][t, group] + inputs).clip(0)
            both = slice(2 * column, 2 * column + 2)
            phi = given[2][t, both] + second[:, before] @ weights[2][t, both, before].T
            log_scale = phi[:, 1] / (1 + abs(phi[:, 1] / LOG_SLOPE))
            known[:, place] = (x[:, column] - phi[:, 0]) * np.exp(-log_scale)
            log_det -= log_scale
        x[:, order] = known
    return x, log_det


@pytest.mark.parametrize("n", [1, DRAWS - 1, DRAWS, 2 * DRAWS + 3])
def test_inverse_is_its_formula(n):
    """Of fewer draws than are worked on at once, and of more; log-determinants too."""
    z = np.random.default_rng(1).normal(size=(n, N_THETA)).astype(np.float32)
    weights, given = network(0)
    x, log_det = inverted(z, weights, given)
    right, right_log_det = written(z, weights, given)

    assert x == pytest.approx(right, rel=1e-4, abs=1e-4)
    assert log_det == pytest.approx(right_log_det, abs=1e-4)


def test_scales_are_clipped_softly():
    """Without weights each dimension is an affine map, and no scale leaves its bounds."""
    z = np.random.default_rng(2).normal(size=(5, N_THETA)).astype(np.float32)
    weights, given = network(0, scale=0.0)
    for slope in (-1e6, 0.0, 1e6):
        given[2][:, 1::2] = slope
        given[2][:, 0::2] = 0.0
        x, log_det = inverted(z, weights, given)
        power = -np.sign(slope) * len(ORDER)
        assert x == pytest.approx(z * 1000.0**power, rel=2e-3)
        assert log_det == pytest.approx(power * N_THETA * np.log(1000), rel=1e-3)


def test_a_dimension_does_not_see_those_behind_it():
    """In one transform: the first moves all, the last moves itself alone."""
    z = np.random.default_rng(3).normal(size=(1, N_THETA)).astype(np.float32)
    weights, given = ([part[:1] for part in parts] for parts in network(1))
    places = {}
    for column in range(N_THETA):
        other = z.copy()
        other[0, column] += 0.5
        first, second = (inverted(draw, weights, given)[0][0] for draw in (z, other))
        places[column] = np.flatnonzero(first != second).tolist()

    assert places == {0: [0, 1, 2], 1: [1, 2], 2: [2]}
