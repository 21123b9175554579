"""Normal matrices of templates that reach some pixels each, of DRAWS spectra at once.

A template reaches the pixels from its first to its last. Sorted by the last one, template i < j
meets j where its last pixel is not before j's first: those that meet j are all from some first one
to j itself, the envelope of column j. Elimination stays within it, so what does not meet costs
nothing and no zero is ever filled (intervals make a chordal graph, and this order is a perfect one
of it). A template that reaches all pixels ends up last, with a full column: the border of a band.

Every operation stands in a loop over draws, which any processor does in vectors without changing a
sum's order.

References:
    Jennings 1966, Comput. J. 9, 281: the storage. Golumbic 2004, Algorithmic Graph Theory and
    Perfect Graphs, chapters 4 and 8: the order.
"""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import DRAWS, compiled
from hpcsbi.kernels.sums import subtract_products

__all__ = ["arrangement", "decompose"]

NOTHING = 2.0**-24  # of a template's largest value: what float32 rounds off
EVERY = 3  # products of so many diagonals of float32 numbers squared stay within float64


@compiled
def arrangement(templates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which templates there are, by the last pixel that they reach, and the envelope they make.

    Arguments:
        templates: float64, shape (n, pixels). One that is 0 everywhere is left out.

    Returns:
        Their numbers, shape (templates,); of them and, last, of a right side that reaches all
        pixels: first pixel and the one after the last, shape (templates + 1, 2); the first column
        that each meets, shape (templates + 1,); where the entries from that one to itself begin
        among all, shape (templates + 2,).
    """
    (n, pixels), count = templates.shape, 0
    numbers, reached = np.empty(n, np.int64), np.empty((n + 1, 2), np.int64)
    for t in range(n):
        largest = 0.0
        for p in range(pixels):
            largest = max(largest, abs(templates[t, p]))
        if largest == 0:
            continue
        begin, end = 0, pixels
        while begin < end and abs(templates[t, begin]) <= NOTHING * largest:
            begin += 1
        while end > begin and abs(templates[t, end - 1]) <= NOTHING * largest:
            end -= 1
        place = count
        while place and reached[place - 1, 1] > end:
            numbers[place], reached[place] = numbers[place - 1], reached[place - 1]
            place -= 1
        numbers[place], reached[place, 0], reached[place, 1] = t, begin, end
        count += 1
    reached[count, 0], reached[count, 1] = 0, pixels
    first, offset = np.zeros(count + 1, np.int64), np.zeros(count + 2, np.int64)
    for j in range(count + 1):
        while first[j] < j and reached[first[j], 1] <= reached[j, 0] and j < count:
            first[j] += 1
        offset[j + 1] = offset[j] + j + 1 - first[j]
    return numbers[:count], reached[: count + 1], first, offset


@compiled
def decompose(
    rows: np.ndarray,
    first: np.ndarray,
    offset: np.ndarray,
    power: np.ndarray,
    deviation: np.ndarray,
    gain: np.ndarray,
    log_det: np.ndarray,
) -> None:
    """U^T U of 1 + D D^T in the place of D D^T, and what follows from it.

    Arguments:
        rows: entries of the columns' envelopes, without deviations; the last column is D r.
            Changed, shape (entries, DRAWS).
        first, offset: see `arrangement`.
        power: 1 for templates that are to be multiplied by `deviation`, 0 for others and the right
            side, shape (templates + 1,).
        deviation: shape (DRAWS,).
        gain, log_det: filled: |U^-T D r|^2 and ln det, shape (DRAWS,).
    """
    last = len(first) - 1
    inverse, determinant = np.empty((last, DRAWS)), np.ones(DRAWS)
    gain[:], log_det[:] = 0.0, 0.0
    for j in range(last + 1):
        column = rows[offset[j] : offset[j + 1]]
        for i in range(first[j], min(j + 1, last)):
            entry, other = column[i - first[j]], rows[offset[i] : offset[i + 1]]
            for _ in range(power[i] + power[j]):
                _multiply(entry, deviation)
            k = max(first[i], first[j])  # the first column that both meet
            subtract_products(other[k - first[i] :], column[k - first[j] :], i - k, entry)
            if i < j:
                _multiply(entry, inverse[i])
                continue
            _pivot(entry, inverse[j], determinant)
            if j % EVERY == EVERY - 1 or j == last - 1:
                _to_logarithm(determinant, log_det)
    for i in range(last):
        y = rows[offset[last] + i]
        for s in range(DRAWS):
            gain[s] += y[s] * y[s]


@compiled
def _multiply(x: np.ndarray, factor: np.ndarray) -> None:
    for s in range(DRAWS):
        x[s] *= factor[s]


@compiled
def _pivot(diagonal: np.ndarray, inverse: np.ndarray, determinant: np.ndarray) -> None:
    """Adds the unit matrix, and takes what the diagonal decides."""
    for s in range(DRAWS):
        pivot = 1.0 + diagonal[s]
        determinant[s] *= pivot
        inverse[s] = 1.0 / math.sqrt(pivot)


@compiled
def _to_logarithm(determinant: np.ndarray, log_det: np.ndarray) -> None:
    for s in range(DRAWS):
        log_det[s] += math.log(determinant[s])
        determinant[s] = 1.0
