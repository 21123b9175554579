"""Pareto smoothed importance sampling: ours against arviz-stats, in CPU time and in k.

    OMP_NUM_THREADS=1 python benchmarks/psis.py

Rows of log weights of several kinds: CPU milliseconds of a row (least of five), alone and in
batches of 256 as `certificate` has them; the largest difference in k where both take a tail of the
same length (they round it up and down); and k of each where one weight is above all others.
"""

import time
import warnings

import numpy as np
from arviz_stats.base import array_stats

from hpcsbi.statistics.importance_weights import pareto_smoothed

KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "wide": lambda rng, shape: 5 * rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(2, shape),
}


def milliseconds(function, rows):
    """CPU time of a row, least of five."""
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return 1e3 * best / rows


def theirs(rows):
    """Shapes by the library, which takes a row at a time."""
    return np.array([array_stats.psislw(-row)[1] for row in rows])


def main():
    """Print the two tables."""
    warnings.simplefilter("ignore")
    print("| draws | weights | library, ms | ours alone, ms | ours in 256, ms | largest |dk| |")
    for n in (400, 900, 1000, 4000, 10_000, 90_000):
        for name, make in KINDS.items():
            rows = make(np.random.default_rng(n), (256 if n < 5000 else 16, n))
            times = (
                milliseconds(lambda rows=rows: theirs(rows), len(rows)),
                milliseconds(lambda rows=rows: [pareto_smoothed(row) for row in rows], len(rows)),
                milliseconds(lambda rows=rows: pareto_smoothed(rows), len(rows)),
            )
            same = n in (400, 900, 10_000, 90_000)
            far = f"{np.abs(pareto_smoothed(rows)[1] - theirs(rows)).max():.1e}" if same else ""
            print(f"| {n} | {name} | {' | '.join(f'{ms:.3f}' for ms in times)} | {far} |")
    print("| draws | one weight above the others by, nat | k, library | k, ours |")
    for n in (400, 900, 10_000):
        for gap in (20, 40, 100, 700, 1000):
            row = np.random.default_rng(n).normal(size=n)
            row[0] = gap
            print(f"| {n} | {gap} | {theirs([row])[0]:.3f} | {pareto_smoothed(row)[1]:.3f} |")


if __name__ == "__main__":
    main()
