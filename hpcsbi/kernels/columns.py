"""Sums of DRAWS columns written out for LLVM, which stay in registers: each draw's in its order.

Loops over arrays would store and load them with every term. See `vectors`; the same in loops is in
`plain`.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from hpcsbi.kernels.arithmetic import DRAWS, LANES
from hpcsbi.kernels.vectors import arrays_of

__all__ = ["add_products", "subtract_products", "transpose", "weighted_sums"]

HELD = 32  # sums in registers: as many as hide how long one addition takes
INDEX, CONTRACT = ir.IntType(32), ("contract",)
SINGLES, DOUBLES = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.DoubleType(), LANES)
MANY = ir.VectorType(ir.DoubleType(), HELD)


def weighted_sums(rows: int, rectified: bool) -> Callable:
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
        arrays = arrays_of(context, builder, signature, arguments)
        weights, x, bias, out = (array.data for array in arrays)
        terms = cgutils.unpack_tuple(builder, arrays[0].shape)[0]
        sums = [cgutils.alloca_once(builder, SINGLES) for _ in range(rows)]
        ends = (terms.type(n) for n in (0, DRAWS, LANES))
        with cgutils.for_range_slice(builder, *ends, terms.type) as (column, _):
            for u in range(rows):
                builder.store(_spread(builder, bias, terms.type(u)), sums[u])
            with cgutils.for_range(builder, terms) as loop:
                first, line = (builder.mul(loop.index, terms.type(n)) for n in (rows, DRAWS))
                columns = builder.load(_vector(builder, x, builder.add(line, column)), align=4)
                for u in range(rows):
                    weight = _spread(builder, weights, builder.add(first, terms.type(u)))
                    term = builder.fmul(weight, columns, flags=("contract",))
                    total = builder.fadd(term, builder.load(sums[u]), flags=("contract",))
                    builder.store(total, sums[u])
            for u in range(rows):
                total = builder.load(sums[u])
                if rectified:
                    zero = ir.Constant(SINGLES, [0.0] * LANES)
                    total = builder.select(builder.fcmp_ordered("<", total, zero), zero, total)
                place = builder.add(terms.type(u * DRAWS), column)
                builder.store(total, _vector(builder, out, place), align=4)
        return context.get_dummy_value()

    @intrinsic
    def called(
        _: object, weights: types.Array, x: types.Array, bias: types.Array, out: types.Array
    ) -> tuple[Signature, Callable]:
        return types.void(weights, x, bias, out), generate

    return called


@intrinsic
def add_products(
    _: object,
    left: types.Array,
    right: types.Array,
    x: types.Array,
    n: types.Integer,
    out: types.Array,
) -> tuple[Signature, Callable]:
    """`out += (left * right)[:n] @ x`, DRAWS columns.

    Arguments: left, right (n or more,), x (n or more, DRAWS) and out (DRAWS,), float64 arrays each
    in one piece; `out` is changed.
    """

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
    ) -> ir.Value:
        *arrays, terms, sums = arrays_of(context, builder, signature, arguments)
        a, b, numbers = (array.data for array in arrays)

        def term(k: ir.Value, column: ir.Value) -> ir.Value:
            factor = builder.fmul(*(builder.load(builder.gep(each, [k])) for each in (a, b)))
            place = builder.add(builder.mul(k, k.type(DRAWS)), column)
            return builder.fmul(
                _all(builder, factor), _wide(builder, numbers, place), flags=CONTRACT
            )

        _accumulated(builder, terms, sums.data, term, builder.fadd)
        return context.get_dummy_value()

    return types.void(left, right, x, n, out), generate


@intrinsic
def subtract_products(
    _: object, a: types.Array, b: types.Array, n: types.Integer, out: types.Array
) -> tuple[Signature, Callable]:
    """`out -= (a * b)[:n].sum(0)`, DRAWS columns.

    Arguments: a, b (n or more, DRAWS) and out (DRAWS,), float64 arrays each in one piece; `out` is
    changed.
    """

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
    ) -> ir.Value:
        *arrays, terms, sums = arrays_of(context, builder, signature, arguments)
        left, right = (array.data for array in arrays)

        def term(k: ir.Value, column: ir.Value) -> ir.Value:
            place = builder.add(builder.mul(k, k.type(DRAWS)), column)
            numbers = (_wide(builder, each, place) for each in (left, right))
            return builder.fmul(*numbers, flags=CONTRACT)

        _accumulated(builder, terms, sums.data, term, builder.fsub)
        return context.get_dummy_value()

    return types.void(a, b, n, out), generate


@intrinsic
def transpose(
    _: object, rows: types.Array, begin: types.Integer, out: types.Array
) -> tuple[Signature, Callable]:
    """`out = rows[:, begin : begin + LANES].T`, as float64.

    Arguments: rows (DRAWS, begin + LANES or more), float32, and out (LANES, DRAWS), float64, each
    in one piece; fills `out`.
    """

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
    ) -> ir.Value:
        source, place, filled = arrays_of(context, builder, signature, arguments)
        width = cgutils.unpack_tuple(builder, source.shape)[1]
        ends = (width.type(n) for n in (0, DRAWS, LANES))
        with cgutils.for_range_slice(builder, *ends, width.type) as (draw, _):
            numbers = []
            for r in range(LANES):
                row = builder.mul(builder.add(draw, width.type(r)), width)
                at = _vector(builder, source.data, builder.add(row, place))
                numbers.append(builder.load(at, align=4))
            # Bit by bit the number of a row is changed for that of a place in it.
            bit = 1
            while bit < LANES:
                for r in (r for r in range(LANES) if not r & bit):
                    pair = numbers[r], numbers[r | bit]
                    for high, target in enumerate((r, r | bit)):
                        mask = [_swapped(n, bit, high) for n in range(LANES)]
                        mask = ir.Constant(ir.VectorType(INDEX, LANES), mask)
                        numbers[target] = builder.shuffle_vector(*pair, mask)
                bit *= 2
            for r in range(LANES):
                to = builder.add(draw, draw.type(r * DRAWS))
                address = builder.bitcast(builder.gep(filled.data, [to]), DOUBLES.as_pointer())
                builder.store(builder.fpext(numbers[r], DOUBLES), address, align=8)
        return context.get_dummy_value()

    return types.void(rows, begin, out), generate


def _swapped(lane: int, bit: int, high: int) -> int:
    """Where a lane comes from, of two vectors of LANES one after the other."""
    from_second = bool(lane & bit)
    if from_second == bool(high):
        return lane + LANES * from_second
    return (lane ^ bit) + LANES * from_second


def _accumulated(
    builder: ir.IRBuilder, terms: ir.Value, sums: ir.Value, term: Callable, join: Callable
) -> None:
    """Terms joined to sums one after the other, which stay in registers meanwhile."""
    total = cgutils.alloca_once(builder, MANY)
    ends = (terms.type(n) for n in (0, DRAWS, HELD))
    with cgutils.for_range_slice(builder, *ends, terms.type) as (column, _):
        builder.store(_wide(builder, sums, column), total)
        with cgutils.for_range(builder, terms) as loop:
            joined = join(builder.load(total), term(loop.index, column), flags=CONTRACT)
            builder.store(joined, total)
        address = builder.bitcast(builder.gep(sums, [column]), MANY.as_pointer())
        builder.store(builder.load(total), address, align=8)


def _wide(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    """HELD numbers of a float64 array."""
    address = builder.bitcast(builder.gep(array, [place]), MANY.as_pointer())
    return builder.load(address, align=8)


def _all(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """A float64 in HELD lanes."""
    first = builder.insert_element(ir.Constant(MANY, ir.Undefined), number, INDEX(0))
    mask = ir.Constant(ir.VectorType(INDEX, HELD), None)
    return builder.shuffle_vector(first, ir.Constant(MANY, ir.Undefined), mask)


def _vector(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    """Address of LANES numbers of an array."""
    return builder.bitcast(builder.gep(array, [place]), SINGLES.as_pointer())


def _spread(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    """One number of an array in all lanes."""
    nothing = ir.Constant(SINGLES, ir.Undefined)
    first = builder.insert_element(nothing, builder.load(builder.gep(array, [place])), INDEX(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(INDEX, LANES), None))
