"""Coefficients of a table's basis for draws of the parameters, as `ssp_table.Ssp` defines them."""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import compiled

__all__ = ["look_up"]


@compiled
def _cubic(f: float, weights: np.ndarray) -> None:
    """Catmull-Rom weights, as `ssp_basis._cubic`."""
    f2, f3 = f * f, f * f * f
    weights[0] = 0.5 * (2 * f2 - f - f3)
    weights[1] = 0.5 * (2 - 5 * f2 + 3 * f3)
    weights[2] = 0.5 * (f + 4 * f2 - 3 * f3)
    weights[3] = 0.5 * (f3 - f2)


@compiled
def look_up(
    tage: np.ndarray,
    tau: np.ndarray,
    logzsol: np.ndarray,
    dust2: np.ndarray,
    strength: np.ndarray,
    table: np.ndarray,
    metallicity: np.ndarray,
    age_axis: np.ndarray,
    tau_axis: np.ndarray,
    ranks: np.ndarray,
    out: np.ndarray,
) -> None:
    """Coefficients of the basis: cubic in log age and log tau, linear in metallicity.

    Domain: any numbers. Beyond the grid its edge is taken; NaN, or an age or tau below zero, gives
    NaN.

    Arguments:
        tage, tau: Gyr, the former softened, float32, shape (n,).
        logzsol, dust2: float32, shape (n,).
        strength: of the lines, float32, shape (n,).
        table: coefficients of continuum and lines on the grid, metallicity slowest, then age,
            float32, shape (nodes, ranks).
        metallicity: its nodes, float32, shape (n_metallicity,).
        age_axis, tau_axis: lowest node (ln Gyr), step and number of cells, float64, shape (3,).
        ranks: of the continuum's dust moments 0, 1, 2, then of the lines', int64, shape (6,).
        out: filled, float32, shape (n, sum of ranks).
    """
    n_tau, n_patch = int(tau_axis[2]) + 3, (int(age_axis[2]) + 3) * (int(tau_axis[2]) + 3)
    coefficients = np.empty(table.shape[1], np.float32)
    by_age, by_tau = np.empty(4, np.float32), np.empty(4, np.float32)
    for i in range(len(tage)):
        x = (math.log(tage[i]) - age_axis[0]) / age_axis[1]
        y = (math.log(tau[i]) - tau_axis[0]) / tau_axis[1]
        if not (x == x and y == y and logzsol[i] == logzsol[i]):  # a NaN must not be an index
            out[i] = np.nan
            continue
        x, y = min(max(x, 0.0), age_axis[2]), min(max(y, 0.0), tau_axis[2])
        row, column = min(int(x), int(age_axis[2]) - 1), min(int(y), int(tau_axis[2]) - 1)
        _cubic(x - row, by_age)
        _cubic(y - column, by_tau)
        cell = 0
        while cell < len(metallicity) - 2 and logzsol[i] > metallicity[cell + 1]:
            cell += 1
        span = metallicity[cell + 1] - metallicity[cell]
        right = min(max((logzsol[i] - metallicity[cell]) / span, np.float32(0)), np.float32(1))
        first = cell * n_patch + row * n_tau + column
        coefficients[:] = 0
        for side in range(2):
            share = right if side else np.float32(1) - right
            for a in range(4):
                w0, w1 = share * by_age[a] * by_tau[0], share * by_age[a] * by_tau[1]
                w2, w3 = share * by_age[a] * by_tau[2], share * by_age[a] * by_tau[3]
                node = first + side * n_patch + a * n_tau
                for j in range(len(coefficients)):
                    left = w0 * table[node, j] + w1 * table[node + 1, j]
                    coefficients[j] += left + w2 * table[node + 2, j] + w3 * table[node + 3, j]
        coefficients[ranks[0] :] *= strength[i]
        at = 0
        for part in range(6):
            factor = dust2[i] ** (part % 3)
            start = ranks[0] if part > 2 else 0
            for j in range(ranks[part]):
                out[i, at + j] = factor * coefficients[start + j]
            at += ranks[part]
