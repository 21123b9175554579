"""CPU time of sums in plain loops over that of those written out for LLVM, in one run.

    OMP_NUM_THREADS=1 python benchmarks/sums_speed.py

Inner products and products of 1008 numbers (a spectrum of MaNGA), and a hidden layer's four units
of 64 draws from 64 inputs; then what templates take of 16 pixels: a product of two added up, one
column of a triangle taken from another, rows turned into columns. Least of five rounds each.
"""

import time

import numpy as np

from hpcsbi.kernels import plain, sums
from hpcsbi.kernels.arithmetic import BLOCK, DRAWS, LANES, compiled

CALLS, ROUNDS = 50_000, 5


def repeated(function, results):
    """A compiled loop over calls of it."""
    if results:

        @compiled
        def loop(a, b):
            total = 0.0
            for _ in range(CALLS):
                total += function(a, b)
                a[0] += np.float32(1e-9)  # no call is like the one before
            return total

        return loop

    @compiled
    def fill(*arguments):
        for _ in range(CALLS):
            function(*arguments)
            arguments[0].flat[0] += np.float32(1e-9)

    return fill


def seconds(function, *arguments):
    """Least CPU time over the rounds, after a call that is not counted."""
    function(*arguments)
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return min(times)


def main():
    """Print nanoseconds a call of both, and the ratio."""
    rng = np.random.default_rng(0)
    n = -(-1008 // BLOCK) * BLOCK
    a, b = rng.uniform(0.5, 2, (2, n)).astype(np.float32)
    weights, x = rng.normal(size=(64, 4)), rng.normal(size=(64, DRAWS))
    layer = [array.astype(np.float32) for array in (weights, x, rng.normal(size=4))]
    layer.append(np.empty((4, DRAWS), np.float32))
    first, second, one, other, out, tile = (
        1e-3 * rng.normal(size=size)
        for size in (LANES, LANES, (LANES, DRAWS), (LANES, DRAWS), DRAWS, (LANES, DRAWS))
    )
    rows = rng.normal(size=(DRAWS, n)).astype(np.float32)
    cases = {
        "inner": (lambda m: repeated(m.inner, True), (a, b)),
        "product": (lambda m: repeated(m.product, True), (a, np.zeros(1))),
        "hidden": (lambda m: repeated(m.weighted_sums(4, True), False), layer),
        "add": (lambda m: repeated(m.add_products, False), (first, second, one, LANES, out)),
        "subtract": (lambda m: repeated(m.subtract_products, False), (one, other, LANES, out)),
        "transpose": (lambda m: repeated(m.transpose, False), (rows, 0, tile)),
    }
    for name, (make, arguments) in cases.items():
        ours, loops = (seconds(make(m), *arguments) / CALLS * 1e9 for m in (sums, plain))
        print(f"{name}: {ours:.0f} ns, plain loops {loops:.0f} ns, ratio {loops / ours:.1f}")


if __name__ == "__main__":
    main()
