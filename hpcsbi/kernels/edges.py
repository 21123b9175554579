"""What stars formed at a constant rate until some ages are a sum of, as `simulator.bins` says."""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import compiled

__all__ = ["formed_until"]


@compiled
def formed_until(
    edges: np.ndarray, drop: np.ndarray, age: np.ndarray, index: np.ndarray, share: np.ndarray
) -> None:
    """Numbers of components and their shares, three an edge, in one pass.

    Domain: any numbers. Beyond the ages the last of them is taken; of NaN, or an edge that is not
    positive, the shares are NaN.

    Arguments:
        edges, drop: older ends of bins, and by how much the rate falls there, float32, (n, bins).
        age: of the SSPs, ascending, in the unit of the edges, float32, shape (ages,).
        index, share: filled, int32 and float32, shape (n, m) with m at least three times the bins;
            what is left over is zero.
    """
    ages = len(age)
    for i in range(edges.shape[0]):
        index[i], share[i] = 0, 0.0
        for j in range(edges.shape[1]):
            edge, fall = edges[i, j], drop[i, j]
            if not (edge > 0 and fall == fall):
                share[i] = np.nan
                break
            left, right = 0, ages - 1
            while right - left > 1:
                middle = (left + right) // 2
                if age[middle] < edge:
                    left = middle
                else:
                    right = middle
            younger = age[left]
            span = math.log(age[left + 1] / younger)
            growth = min(max(edge, younger), age[left + 1]) / younger - np.float32(1)
            beyond = math.log1p(growth)
            older = younger * ((np.float32(1) + growth) * beyond - growth) / span
            at = 3 * j
            index[i, at], share[i, at] = left, fall * younger
            index[i, at + 1], share[i, at + 1] = left + ages, fall * (younger * growth - older)
            index[i, at + 2], share[i, at + 2] = left + ages + 1, fall * older
