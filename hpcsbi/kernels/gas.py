"""Coefficients of what gas emits, as `simulator.free_gas` defines them."""

import numpy as np

from hpcsbi.kernels.arithmetic import compiled

__all__ = ["emit"]


@compiled
def emit(
    ionising: np.ndarray,
    first_row: np.ndarray,
    row_weight: np.ndarray,
    first_column: np.ndarray,
    column_weight: np.ndarray,
    nodes: np.ndarray,
    out: np.ndarray,
) -> None:
    """Sums over some rows and columns of nodes and over populations. Domain: any numbers but the
    firsts.

    Arguments:
        ionising: light of each mixture of populations, float32, shape (n, populations).
        first_row, first_column: of the nodes around each point, int64, shape (n,).
        row_weight, column_weight: of those and the next ones, float32, shapes (n, rows) and
            (n, columns).
        nodes: float32, shape (rows, columns, populations, coefficients).
        out: filled, float32, shape (n, coefficients).
    """
    for i in range(len(ionising)):
        out[i] = 0
        for a in range(row_weight.shape[1]):
            for b in range(column_weight.shape[1]):
                weight = row_weight[i, a] * column_weight[i, b]
                at = nodes[first_row[i] + a, first_column[i] + b]
                for k in range(ionising.shape[1]):
                    part = weight * ionising[i, k]
                    for j in range(nodes.shape[3]):
                        out[i, j] += part * at[k, j]
