"""Compiled inverse of masked affine transforms: 64 draws at a time, from the base to the end.

The products are the work. Their inner loop is written out for LLVM, whose vectors suit any
processor (`product`): sums stay in registers, which plain loops over arrays do not let them.

References:
    benchmarks/sampler_speed.py has the gain, tests/inference/test_maf_inverse.py the error.
"""

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from hpcsbi.kernels.arithmetic import LN2, LOG2E, compiled, small_exp

__all__ = ["DRAWS", "ROWS", "invert", "product"]

DRAWS = 64  # worked on at once: all units of a transform stay in the second cache
ROWS = 4  # units worked on at once: with LANES they fill the registers of AVX2
LANES = 16
VECTOR, INDEX = ir.VectorType(ir.FloatType(), LANES), ir.IntType(32)


def product(rows: int, rectified: bool) -> Callable:
    """A function for compiled code: `out = bias[:, None] + weights.T @ x`, DRAWS columns.

    Arguments:
        rows: of `out`.
        rectified: negative results become zero.

    Returns:
        function of weights (k, rows), x (k or more, DRAWS), bias (rows or more) and out (rows or
        more, DRAWS), float32 arrays each in one piece; fills `out`.
    """

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
    ) -> ir.Value:
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        weights, x, bias, out = (array.data for array in arrays)
        terms = cgutils.unpack_tuple(builder, arrays[0].shape)[0]
        sums = [cgutils.alloca_once(builder, VECTOR) for _ in range(rows)]
        ends = (terms.type(n) for n in (0, DRAWS, LANES))
        with cgutils.for_range_slice(builder, *ends, terms.type) as (column, _):
            for u in range(rows):
                builder.store(_spread(builder, bias, terms.type(u)), sums[u])
            with cgutils.for_range(builder, terms) as loop:
                own, line = (builder.mul(loop.index, terms.type(n)) for n in (rows, DRAWS))
                seen = builder.load(_vector(builder, x, builder.add(line, column)), align=4)
                for u in range(rows):
                    weight = _spread(builder, weights, builder.add(own, terms.type(u)))
                    term = builder.fmul(weight, seen, flags=("contract",))
                    total = builder.fadd(term, builder.load(sums[u]), flags=("contract",))
                    builder.store(total, sums[u])
            for u in range(rows):
                found = builder.load(sums[u])
                if rectified:
                    zero = ir.Constant(VECTOR, [0.0] * LANES)
                    found = builder.select(builder.fcmp_ordered("<", found, zero), zero, found)
                place = builder.add(terms.type(u * DRAWS), column)
                builder.store(found, _vector(builder, out, place), align=4)
        return context.get_dummy_value()

    @intrinsic
    def called(
        _: object, weights: types.Array, x: types.Array, bias: types.Array, out: types.Array
    ) -> tuple[Signature, Callable]:
        return types.void(weights, x, bias, out), generate

    return called


def _vector(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    """Address of LANES numbers of an array."""
    return builder.bitcast(builder.gep(array, [place]), VECTOR.as_pointer())


def _spread(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    """One number of an array in all lanes."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, builder.load(builder.gep(array, [place])), INDEX(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(INDEX, LANES), None))


hidden, outputs = product(ROWS, rectified=True), product(2, rectified=False)


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
    own_1, own_2 = ends[0][0], ends[1][0]
    for place in range(len(order)):
        column, stop_1, stop_2 = order[place], ends[0][place], ends[1][place]
        if place:
            for row in range(ends[0][place - 1], stop_1, ROWS):
                seen = weights[0][row // ROWS, :place]
                hidden(seen, known, given[0][row:], first[row - own_1 :])
            for row in range(ends[1][place - 1], stop_2, ROWS):
                seen = weights[1][row // ROWS, own_1:stop_1]
                hidden(seen, first, given[1][row:], second[row - own_2 :])
        outputs(weights[2][column, own_2:stop_2], second, given[2][2 * column :], phi)
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
