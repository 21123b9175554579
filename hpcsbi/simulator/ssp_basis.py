"""A small basis of composite spectra, and the coefficients of every component of the histories.

Composites are SSPs summed over a history; those of all histories of a family and all metallicities
lie close to a space of few dimensions.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

__all__ = ["RANKS", "composites"]

MANY, EVERY = 700, 7  # of so many components neighbours are alike: every seventh makes the basis
RANKS = {"continuum": (32, 12, 6), "lines": (12, 6, 4)}  # of dust moments 0, 1, 2


def composites(components: np.ndarray, tables: Mapping[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """Basis and coefficients of continuum and lines, side by side.

    Arguments:
        components: mass that each history puts into each SSP, shape (components, ages).
        tables: "continuum" and "lines", shape (logzsol, ages, 3, pixels).

    Returns:
        Basis, the dust moments of the continuum first, shape (sum of RANKS, pixels), and the
        coefficients of moment 0 for every metallicity and, faster, component, float64.
    """
    weights = _aligned(components)
    some = weights[:: EVERY if len(weights) > MANY else 1]
    scale = _typical(some, tables)
    bases, coefficients = [], []
    for name, ranks in RANKS.items():
        table = _aligned(tables[name])
        basis, projection = _basis(some, table, scale, ranks)
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
    return torch.stack([weights @ by_age for by_age in full])


def _basis(
    weights: Tensor, table: Tensor, full: Tensor, ranks: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Leading directions of composites, each pixel counted against the whole composite's flux.

    Returns:
        Basis of the three moments, shape (sum of ranks, pixels), and the projection that turns
        moment 0 into coefficients, shape (pixels, ranks[0]).
    """
    moments = [
        torch.stack([weights @ by_age for by_age in table[::3, :, m]]).flatten(0, 1)
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
