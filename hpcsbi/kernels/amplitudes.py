"""Amplitudes of many templates integrated out, of DRAWS spectra at once: the normal equations.

`likelihood.Likelihood.of_model` says it in matrices. A template is a factor that all draws have,
times what each draw has of its own, its base, so sums over pixels are of products of two bases.
"""

import numpy as np

from hpcsbi.kernels.arithmetic import DRAWS, LANES, compiled, padded_length
from hpcsbi.kernels.envelope import arrangement, decompose
from hpcsbi.kernels.sums import add_products, transpose

__all__ = [
    "BASES", "BEND", "MODEL", "PULL", "ROOT", "SLOPE", "design", "integrate", "integrate_rows",
]  # fmt: skip

# Residual and model over sigma; quoted sigma over sigma; slope and second slope over sigma.
BASES = PULL, MODEL, ROOT, SLOPE, BEND = 0, 1, 2, 3, 4


@compiled
def design(
    templates: np.ndarray, base_of: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `integrate` takes of templates, once for an object: them in their order, and the pull.

    Arguments:
        templates, base_of, free: see `likelihood.pulls`.

    Returns:
        Values, float64, shape (columns, pixels); bases, and powers of the free deviation, shapes
        (columns,); pixels, first and offset of `arrangement`; room for the matrix, shape (entries,
        DRAWS).
    """
    numbers, reached, first, offset = arrangement(templates)
    last, pixels = len(numbers), templates.shape[1]
    values = np.ones((last + 1, pixels))
    base, power = np.full(last + 1, PULL), np.zeros(last + 1, np.int64)
    for j in range(last):
        values[j], base[j], power[j] = templates[numbers[j]], base_of[numbers[j]], free[numbers[j]]
    return values, base, power, reached, first, offset, np.empty((offset[-1], DRAWS))


@compiled
def integrate(
    rows: np.ndarray,
    values: np.ndarray,
    base: np.ndarray,
    power: np.ndarray,
    reached: np.ndarray,
    first: np.ndarray,
    offset: np.ndarray,
    matrix: np.ndarray,
    spread: np.ndarray,
    chi2: np.ndarray,
    log_ratio: np.ndarray,
) -> None:
    """Take from chi squared what the amplitudes do, and add ln det of their normal matrix.

    The matrix is 1 + D D^T, with D = templates * base * deviations. Domain: any numbers; what is
    not finite gives NaN or inf.

    Arguments:
        rows: bases of draws, PULL the first, 0 where masked and beyond the pixels, float32, shape
            (bases, DRAWS, pixels, and more until LANES divides them); any numbers where no template
            has the base.
        values, base, power, reached, first, offset, matrix: see `design`.
        spread: what those with a power of 1 are multiplied by, float32, shape (n,).
        chi2, log_ratio: changed, float64, shape (n,), n at most DRAWS.
    """
    n, pixels, bases = len(chi2), values.shape[1], len(rows)
    x, product = np.empty((bases, LANES, DRAWS)), np.empty((LANES, DRAWS))
    active, counts = np.empty((bases, len(base)), np.int64), np.empty(bases, np.int64)
    deviation, gains, log_dets = np.zeros(DRAWS), np.empty(DRAWS), np.empty(DRAWS)
    for s in range(n):
        deviation[s] = spread[s]
    matrix[:] = 0.0
    for tile in range(0, pixels, LANES):
        _reaching(base, reached, tile, active, counts)
        for b in range(bases):
            if counts[b]:
                transpose(rows[b], tile, x[b])
        for b in range(bases):
            for c in range(max(b, MODEL), bases):  # the pull with itself is chi squared
                if counts[b] and counts[c]:
                    _multiply(x[b], x[c], product)
                    pairs = active[b, : counts[b]], active[c, : counts[c]]
                    _add_tile(*pairs, product, tile, values, reached, first, offset, matrix)
    decompose(matrix, first, offset, power, deviation, gains, log_dets)
    for s in range(n):
        chi2[s] -= gains[s]
        log_ratio[s] += log_dets[s]


@compiled
def integrate_rows(
    rows: np.ndarray,
    templates: np.ndarray,
    base_of: np.ndarray,
    free: np.ndarray,
    spread: np.ndarray,
    chi2: np.ndarray,
    log_ratio: np.ndarray,
) -> None:
    """`integrate` of draws of any objects side by side, by bases of the caller's own.

    Arguments:
        rows: PULL and the bases, 0 where masked, float32, shape (bases, n, pixels).
        templates, base_of, free: see `likelihood.pulls`.
        spread, chi2, log_ratio: see `integrate`, of any n.
    """
    arranged = design(templates, base_of, free)
    bases, n, pixels = rows.shape
    block = np.zeros((bases, DRAWS, padded_length(pixels, LANES)), np.float32)
    for start in range(0, n, DRAWS):
        some = slice(start, min(start + DRAWS, n))
        block[:, : some.stop - start, :pixels] = rows[:, some]
        integrate(block, *arranged, spread[some], chi2[some], log_ratio[some])


@compiled
def _reaching(
    base: np.ndarray, reached: np.ndarray, tile: int, active: np.ndarray, counts: np.ndarray
) -> None:
    """Columns that reach any of LANES pixels from one on, by their bases, and how many."""
    counts[:] = 0
    for j in range(len(base)):
        if reached[j, 0] < tile + LANES and reached[j, 1] > tile:
            active[base[j], counts[base[j]]] = j
            counts[base[j]] += 1


@compiled
def _multiply(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for p in range(LANES):
        for s in range(DRAWS):
            out[p, s] = x[p, s] * y[p, s]


@compiled
def _add_tile(
    columns: np.ndarray,
    others: np.ndarray,
    product: np.ndarray,
    tile: int,
    values: np.ndarray,
    reached: np.ndarray,
    first: np.ndarray,
    offset: np.ndarray,
    matrix: np.ndarray,
) -> None:
    """What LANES pixels add to the entries of columns of one base and others, of another or it."""
    for i in columns:
        for j in others:
            low, high = min(i, j), max(i, j)
            if columns[0] == others[0] and j < i:  # of the same base each pair is there twice
                continue
            # Outside of the pixels that both reach there is nothing to add.
            begin = max(reached[low, 0], reached[high, 0], tile)
            end = min(reached[low, 1], reached[high, 1], tile + LANES)
            if begin < end:
                both = values[low, begin:], values[high, begin:]
                entry = matrix[offset[high] + low - first[high]]
                add_products(*both, product[begin - tile :], end - begin, entry)
