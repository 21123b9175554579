"""Compiled inverse of masked affine transforms: 64 draws at a time, from the base to the end.

The products are the work; `sums` has them.

References:
    benchmarks/sampler_speed.py has the gain, tests/inference/network/test_maf_inverse.py the error.
"""

import numpy as np

from hpcsbi.kernels.arithmetic import DRAWS, LN2, LOG2E, compiled, small_exp
from hpcsbi.kernels.sums import weighted_sums

__all__ = ["ROWS", "invert"]

ROWS = 4  # units worked on at once: with 16 lanes they fill the registers of AVX2


hidden, outputs = weighted_sums(ROWS, rectified=True), weighted_sums(2, rectified=False)


@compiled
def _moved(
    z: np.ndarray, phi: np.ndarray, log_slope: np.float32, x: np.ndarray, log_det: np.ndarray
) -> None:
    """x = (z - mean) exp(-log scale), the log scale softly clipped; its share of log_det."""
    for s in range(DRAWS):
        slope = phi[1, s]
        log_scale = slope / (np.float32(1) + abs(slope / log_slope))
        v = -log_scale * np.float32(LOG2E)
        whole = np.floor(v + np.float32(0.5))
        part = small_exp((v - whole) * np.float32(LN2))
        power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
        x[s] = (z[s] - phi[0, s]) * (part * power)
        log_det[s] -= log_scale


@compiled
def _inverted(
    here: np.ndarray,
    order: np.ndarray,
    weights: tuple,
    given: tuple,
    ends: tuple,
    log_slope: np.float32,
    work: tuple,
    there: np.ndarray,
    log_det: np.ndarray,
) -> None:
    """One transform of DRAWS columns, see `invert`."""
    known, first, second, phi = work
    context_1, context_2 = ends[0][0], ends[1][0]  # units of the context alone
    for place in range(len(order)):
        column, stop_1, stop_2 = order[place], ends[0][place], ends[1][place]
        if place:
            for row in range(ends[0][place - 1], stop_1, ROWS):
                unit_weights = weights[0][row // ROWS, :place]
                hidden(unit_weights, known, given[0][row:], first[row - context_1 :])
            for row in range(ends[1][place - 1], stop_2, ROWS):
                unit_weights = weights[1][row // ROWS, context_1:stop_1]
                hidden(unit_weights, first, given[1][row:], second[row - context_2 :])
        outputs(weights[2][column, context_2:stop_2], second, given[2][2 * column :], phi)
        _moved(here[column], phi, log_slope, there[column], log_det)
        known[place] = there[column]


@compiled
def invert(
    z: np.ndarray,
    order: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    ends: tuple[np.ndarray, np.ndarray],
    log_slope: np.float32,
    out: np.ndarray,
    log_det: np.ndarray,
) -> None:
    """Invert a chain of transforms for the draws of one object.

    Hidden units stand in the order of what they depend on: those of the context alone first (they
    are in `given` already), then those that need one dimension, two, ...; each such group has a
    multiple of ROWS units.

    Arguments:
        z: base draws, float32, shape (n, n_theta).
        order: dimensions in the order in which they are found, shape (transforms, n_theta).
        weights: of both hidden layers, shape (transforms, units / ROWS, inputs, ROWS), the first
            one's of known dimensions in that order; of the outputs, (transforms, n_theta, units,
            2).
        given: what context and biases add to each layer, shape (transforms, units).
        ends: end of each group of units, of both hidden layers, shape (transforms, n_theta).
        log_slope: where log scales are clipped.
        out, log_det: filled: shape of z, (n,).
    """
    n, n_theta = z.shape
    here, there = np.empty((n_theta, DRAWS), np.float32), np.empty((n_theta, DRAWS), np.float32)
    known, phi = np.empty((n_theta, DRAWS), np.float32), np.empty((2, DRAWS), np.float32)
    first = np.empty((given[0].shape[1], DRAWS), np.float32)
    second = np.empty((given[1].shape[1], DRAWS), np.float32)
    total = np.empty(DRAWS, np.float32)
    for start in range(0, n, DRAWS):
        some = min(DRAWS, n - start)
        here[:] = 0
        here[:, :some] = z[start : start + some].T
        total[:] = 0
        for t in range(len(order)):
            _inverted(
                here, order[t], (weights[0][t], weights[1][t], weights[2][t]),
                (given[0][t], given[1][t], given[2][t]), (ends[0][t], ends[1][t]), log_slope,
                (known, first, second, phi), there, total,
            )  # fmt: skip
            here, there = there, here
        out[start : start + some] = here[:, :some].T
        log_det[start : start + some] = total[:some]
