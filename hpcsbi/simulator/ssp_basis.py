"""A small basis of composite spectra, and the coefficients of every history on a grid.

Composites are SSPs summed over a delayed-tau history; those of all ages, tau and metallicities lie
close to a space of few dimensions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.prior import Column
from hpcsbi.simulator.sfh import TAGE_MIN, delayed_tau_weights

__all__ = ["RANKS", "SOFTENING", "STEP_AGE", "STEP_TAU", "Axis", "axis_over", "composites"]

SOFTENING = 3e-4  # Gyr; spectra do not change below it
STEP_AGE, STEP_TAU = 0.027, 0.155  # of ln(tage + softening) and of ln tau
RANKS = {"continuum": (32, 12, 6), "lines": (12, 6, 4)}  # of dust moments 0, 1, 2


@dataclass(frozen=True)
class Axis:
    """Equally spaced nodes from `low` to at least `high`, one more at each end for the cubic."""

    low: float
    high: float
    step: float

    @property
    def cells(self) -> int:
        """Number of intervals between low and high."""
        return max(1, math.ceil((self.high - self.low) / self.step - 1e-9))

    @property
    def nodes(self) -> np.ndarray:
        """All nodes, shape (cells + 3,)."""
        return self.low + self.step * np.arange(-1, self.cells + 2)

    def locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """First of four nodes and their weights, shapes (n,) and (n, 4); of NaN the weights are."""
        x = ((x - self.low) / self.step).clamp(0, self.cells)
        cell = x.detach().nan_to_num().floor().clamp(0, self.cells - 1)
        return cell.long(), _cubic(x - cell)


def axis_over(column: Column, step: float, softening: float) -> Axis:
    """Nodes in ln(value + softening) over a prior's range of one column."""
    low = max(column.low, TAGE_MIN) + softening
    return Axis(math.log(low), math.log(column.high + softening), step)


def composites(
    log_age: np.ndarray, age: Axis, tau: Axis, tables: Mapping[str, np.ndarray]
) -> tuple[Tensor, Tensor]:
    """Basis and coefficients of continuum and lines, side by side.

    Arguments:
        log_age: of the SSPs, log10 of years, shape (ages,).
        age, tau: axes of the grid.
        tables: "continuum" and "lines", shape (logzsol, ages, 3, pixels).

    Returns:
        Basis, the dust moments of the continuum first, shape (sum of RANKS, pixels), and the
        coefficients of moment 0 for every node, metallicity slowest, then age, float64.
    """
    tage = np.maximum(np.exp(age.nodes) - SOFTENING, TAGE_MIN)
    tage, tau_nodes = np.meshgrid(tage, np.exp(tau.nodes), indexing="ij")
    weights = _aligned(delayed_tau_weights(log_age, tage.ravel(), tau_nodes.ravel()))
    scale = _typical(weights, tables)
    bases, coefficients = [], []
    for name, ranks in RANKS.items():
        table = _aligned(tables[name])
        basis, projection = _basis(weights, table, scale, ranks)
        bases.append(basis)
        ssps = table[:, :, 0] @ projection
        coefficients.append(torch.cat([weights @ by_age for by_age in ssps]))
    return torch.cat(bases), torch.cat(coefficients, 1)


def _aligned(array: np.ndarray) -> Tensor:
    """A float64 copy in torch's own memory, where products give the same bits every time."""
    return torch.tensor(array, dtype=torch.float64)


def _typical(weights: Tensor, tables: dict[str, np.ndarray]) -> Tensor:
    """Flux of each composite in each pixel (thinned), against which an error counts."""
    full = _aligned(tables["continuum"][::3, :, 0] + tables["lines"][::3, :, 0])
    return torch.stack([weights[::7] @ by_age for by_age in full])


def _basis(
    weights: Tensor, table: Tensor, full: Tensor, ranks: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Leading directions of composites, each pixel counted against the whole composite's flux.

    Returns:
        Basis of the three moments, shape (sum of ranks, pixels), and the projection that turns
        moment 0 into coefficients, shape (pixels, ranks[0]).
    """
    moments = [
        torch.stack([weights[::7] @ by_age for by_age in table[::3, :, m]]).flatten(0, 1)
        for m in range(3)
    ]
    full = full.flatten(0, 1)
    level = full.mean(1, keepdim=True)
    pixel = (full / level).median(0).values
    scaled = moments[0] / level / pixel
    vectors = torch.linalg.eigh(scaled.T @ scaled).eigenvectors.flip(1)[:, : ranks[0]]
    projection = vectors / pixel[:, None]
    leading = moments[0] @ projection / level
    rows = [vectors.T * pixel]
    for moment, rank in zip(moments[1:], ranks[1:], strict=True):
        rows.append(torch.linalg.lstsq(leading[:, :rank], moment / level, driver="gelsd").solution)
    return torch.cat(rows), projection


def _cubic(f: Tensor) -> Tensor:
    """Weights of four equally spaced nodes at f in [0, 1] between the middle two (Catmull-Rom)."""
    f2, f3 = f * f, f * f * f
    return 0.5 * torch.stack(
        [2 * f2 - f - f3, 2 - 5 * f2 + 3 * f3, f + 4 * f2 - 3 * f3, f3 - f2], -1
    )
