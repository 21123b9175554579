"""Coefficients of a table's basis for draws of the parameters, as `ssp_table.Ssp` defines them."""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import compiled

__all__ = ["mix", "neighbours"]


@compiled
def _cubic(f: float, weights: np.ndarray) -> None:
    """Catmull-Rom weights, as `interpolation._cubic`."""
    f2, f3 = f * f, f * f * f
    weights[0] = 0.5 * (2 * f2 - f - f3)
    weights[1] = 0.5 * (2 - 5 * f2 + 3 * f3)
    weights[2] = 0.5 * (f + 4 * f2 - 3 * f3)
    weights[3] = 0.5 * (f3 - f2)


@compiled
def neighbours(
    u: np.ndarray,
    v: np.ndarray,
    u_axis: np.ndarray,
    v_axis: np.ndarray,
    index: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Nodes around points of a plane, as `interpolation.Plane`: cubic in ln u and in ln v.

    Domain: any numbers. Beyond the grid its edge is taken; of NaN, or a number below zero, the
    weights are NaN.

    Arguments:
        u, v: float32, shape (n,).
        u_axis, v_axis: lowest node (of the logarithm), step and number of cells, float64, (3,).
        index, weight: filled, int32 and float32, shape (n, 16).
    """
    row_length = int(v_axis[2]) + 3
    by_u, by_v = np.empty(4, np.float32), np.empty(4, np.float32)
    for i in range(len(u)):
        x = (math.log(u[i]) - u_axis[0]) / u_axis[1]
        y = (math.log(v[i]) - v_axis[0]) / v_axis[1]
        if not (x == x and y == y):  # a NaN must not be an index
            index[i], weight[i] = 0, np.nan
            continue
        x, y = min(max(x, 0.0), u_axis[2]), min(max(y, 0.0), v_axis[2])
        row, column = min(int(x), int(u_axis[2]) - 1), min(int(y), int(v_axis[2]) - 1)
        _cubic(x - row, by_u)
        _cubic(y - column, by_v)
        for a in range(4):
            for b in range(4):
                index[i, 4 * a + b] = (row + a) * row_length + column + b
                weight[i, 4 * a + b] = by_u[a] * by_v[b]


@compiled
def mix(
    index: np.ndarray,
    share: np.ndarray,
    logzsol: np.ndarray,
    factors: np.ndarray,
    table: np.ndarray,
    metallicity: np.ndarray,
    starts: np.ndarray,
    ranks: np.ndarray,
    out: np.ndarray,
) -> None:
    """Coefficients of the basis: a mixture of components, linear in metallicity.

    Domain: any numbers but `index`. Beyond the metallicities their edge is taken; NaN gives NaN.

    Arguments:
        index, share: which components and how much of each, int32 and float32, shape (n, m) with
            m a multiple of four.
        logzsol: float32, shape (n,).
        factors: of each term, float32, shape (terms, n).
        table: coefficients of each metallicity and, faster, component, float32, shape
            (n_metallicity * components, columns).
        metallicity: float32, shape (n_metallicity,).
        starts, ranks: first column of each term and how many it takes, int64, shape (terms,).
        out: filled, float32, shape (n, sum of ranks).
    """
    components = len(table) // len(metallicity)
    coefficients = np.empty(table.shape[1], np.float32)
    for i in range(len(logzsol)):
        if logzsol[i] != logzsol[i]:  # NaN
            out[i] = np.nan
            continue
        cell = 0
        while cell < len(metallicity) - 2 and logzsol[i] > metallicity[cell + 1]:
            cell += 1
        span = metallicity[cell + 1] - metallicity[cell]
        right = min(max((logzsol[i] - metallicity[cell]) / span, np.float32(0)), np.float32(1))
        coefficients[:] = 0
        for side in range(2):
            part = right if side else np.float32(1) - right
            first = (cell + side) * components
            for a in range(0, index.shape[1], 4):
                w0, w1 = part * share[i, a], part * share[i, a + 1]
                w2, w3 = part * share[i, a + 2], part * share[i, a + 3]
                n0, n1 = first + index[i, a], first + index[i, a + 1]
                n2, n3 = first + index[i, a + 2], first + index[i, a + 3]
                for j in range(len(coefficients)):
                    left = w0 * table[n0, j] + w1 * table[n1, j]
                    coefficients[j] += left + w2 * table[n2, j] + w3 * table[n3, j]
        at = 0
        for term in range(len(ranks)):
            factor, start = factors[term, i], starts[term]
            for j in range(ranks[term]):
                out[i, at + j] = factor * coefficients[start + j]
            at += ranks[term]
