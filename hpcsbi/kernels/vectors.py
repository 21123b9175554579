"""Sums and products written out for LLVM in a fixed order: the same bytes on any width of vectors.

A plain loop is vectorised only by a compiler that may reorder its sum, and then every kind of
processor has an order of its own. Here LANES sums stand side by side and meet in pairs at the end;
`columns` has sums of many draws at once.

They are built with llvmlite, whose interface moves: `sums` takes them with the versions of numba
that they were tried with, and `plain`, which gives the same bytes, with any other.
"""

from collections.abc import Callable
from functools import partial

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from hpcsbi.kernels.arithmetic import BLOCK, LANES, STEPS

__all__ = ["arrays_of", "inner", "product"]

LANE, WORD, INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
SINGLES = ir.VectorType(ir.FloatType(), LANES)
DOUBLES, WORDS = ir.VectorType(LANE, LANES), ir.VectorType(WORD, LANES)
PLACES, ONE = 52, 0x3FF0000000000000  # bits of a float64's mantissa; the bits of 1.0


@intrinsic
def inner(_: object, a: types.Array, b: types.Array) -> tuple[Signature, Callable]:
    """Inner product in float64 of two float32 arrays in one piece, whose length LANES divides."""

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
    ) -> ir.Value:
        arrays = arrays_of(context, builder, signature, arguments)
        n = cgutils.unpack_tuple(builder, arrays[0].shape)[0]
        total = cgutils.alloca_once_value(builder, ir.Constant(DOUBLES, [0.0] * LANES))
        ends = n.type(0), n, n.type(LANES)
        with cgutils.for_range_slice(builder, *ends, n.type) as (place, _):
            left, right = (_loaded(builder, array.data, place) for array in arrays)
            term = builder.fmul(left, right)  # exact: contracted or not, the bytes are the same
            builder.store(builder.fadd(builder.load(total), term), total)
        return _folded(builder, builder.load(total), builder.fadd)

    return types.float64(a, b), generate


@intrinsic
def product(_: object, values: types.Array, power: types.Array) -> tuple[Signature, Callable]:
    """Product of float32 values, of any size, as `returned * 2**power[0]`.

    Before the product in a lane can leave float64's range, its power of two is put aside. Values:
    not negative, in one piece, of a length that BLOCK divides; power: float64, shape (1,), filled,
    inf where a value is inf or NaN.
    """

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
    ) -> ir.Value:
        numbers, out = arrays_of(context, builder, signature, arguments)
        n = cgutils.unpack_tuple(builder, numbers.shape)[0]
        same = partial(_same, WORDS)
        products = cgutils.alloca_once_value(builder, ir.Constant(DOUBLES, [1.0] * LANES))
        powers, odd = (cgutils.alloca_once_value(builder, same(0)) for _ in range(2))
        with cgutils.for_range_slice(builder, n.type(0), n, n.type(BLOCK), n.type) as (start, _):
            value = builder.load(products)
            for step in range(STEPS):
                place = builder.add(start, n.type(step * LANES))
                value = builder.fmul(value, _loaded(builder, numbers.data, place))
            bits = builder.bitcast(value, WORDS)
            # The power of inf and NaN, 2047, is the one that one more carries into the sign; a
            # NaN may have the sign itself.
            signs = builder.or_(bits, builder.add(bits, same(1 << PLACES)))
            builder.store(builder.or_(builder.load(odd), signs), odd)
            exponents = builder.sub(builder.lshr(bits, same(PLACES)), same(ONE >> PLACES))
            builder.store(builder.add(builder.load(powers), exponents), powers)
            bits = builder.or_(builder.and_(bits, same((1 << PLACES) - 1)), same(ONE))
            builder.store(builder.bitcast(bits, DOUBLES), products)
        whole = builder.sitofp(_folded(builder, builder.load(powers), builder.add), LANE)
        sign = _folded(builder, builder.load(odd), builder.or_)
        bad = builder.icmp_signed("<", sign, WORD(0))
        builder.store(builder.select(bad, LANE(float("inf")), whole), out.data)
        return _folded(builder, builder.load(products), builder.fmul)

    return types.float64(values, power), generate


def arrays_of(
    context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: tuple
) -> list:
    """Arrays, and numbers as they are."""
    return [
        context.make_array(kind)(context, builder, value)
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def _same(kind: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(kind, [value] * LANES)


def _loaded(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    """LANES numbers of a float32 array, as float64."""
    address = builder.bitcast(builder.gep(array, [place]), SINGLES.as_pointer())
    return builder.fpext(builder.load(address, align=4), DOUBLES)


def _folded(builder: ir.IRBuilder, vector: ir.Value, join: Callable) -> ir.Value:
    """All lanes of a vector joined, halves first."""
    width = LANES
    while width > 1:
        width //= 2
        nothing = ir.Constant(vector.type, ir.Undefined)
        places = ([*range(start, start + width)] for start in (0, width))
        masks = [ir.Constant(ir.VectorType(INDEX, width), numbers) for numbers in places]
        vector = join(*(builder.shuffle_vector(vector, nothing, mask) for mask in masks))
    return builder.extract_element(vector, INDEX(0))
