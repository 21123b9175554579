"""A small basis of composite spectra, and the coefficients of every component of the histories.

Composites are SSPs summed over a history; those of all histories of a family and all metallicities
lie close to a space of few dimensions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.terms import Ranks, Term

__all__ = ["composites", "gas_composites"]

MANY, EVERY = 700, 7  # of so many components neighbours are alike: every seventh makes the basis
SOME = 60  # components of which gas makes its basis
FAINT = 0.01  # of the light of all other groups, against which an error of a group counts as well


def composites(
    components: np.ndarray,
    tables: Mapping[str, np.ndarray],
    groups: np.ndarray,
    terms: Sequence[Term],
    ranks: Sequence[Ranks],
) -> tuple[list[Tensor], Tensor]:
    """Basis and coefficients of all groups, and in each of all parts, side by side.

    Arguments:
        components: mass that each history puts into each SSP, shape (components, ages).
        tables: of each part, as "continuum" and "lines", shape (logzsol, ages, moments, pixels).
        groups: the SSPs of each, bool, shape (groups, ages).
        terms: of each part of each group.
        ranks: of each group.

    Returns:
        Basis of each group, as `terms.layout_of` counts the terms, shape (sum of their ranks,
        pixels), and the coefficients of moment 0 for every metallicity and, faster, component,
        float64.
    """
    aligned = {name: _aligned(table) for name, table in tables.items()}
    full = sum(table[::3, :, 0] for table in aligned.values())
    step = EVERY if len(components) > MANY else 1
    masses = [_aligned(components * group) for group in groups]
    light = [torch.stack([mass[::step] @ by_age for by_age in full]) for mass in masses]
    total = sum(light[1:], light[0])
    bases, coefficients = [], []
    for weights, of_this, of_group in zip(masses, light, ranks, strict=True):
        scale = of_this + FAINT * (total - of_this)
        parts = []
        for name, table in aligned.items():
            basis, projection = _basis(weights[::step], table, scale, terms, of_group[name])
            parts.append(basis)
            ssps = table[:, :, 0] @ projection
            coefficients.append(torch.cat([weights @ by_age for by_age in ssps]))
        bases.append(torch.cat(parts))
    return bases, torch.cat(coefficients, 1)


def gas_composites(
    photons: Tensor,
    stars: Tensor,
    emission: Mapping[str, np.ndarray],
    terms: Sequence[Term],
    ranks: Ranks,
) -> tuple[Tensor, Tensor]:
    """Basis of what gas emits, and the coefficients of each number of its age basis at each node.

    Arguments:
        photons: of components, by the numbers of the age basis, shape (components, dimensions).
        stars: light of the same, shape (components, pixels).
        emission: of each part, shape (nodes, logu, dimensions, moments, pixels).
        terms, ranks: see `composites`.

    Returns:
        Basis, shape (sum of the terms' ranks, pixels), and coefficients of moment 0 of all parts,
        shape (nodes, logu, dimensions, coefficients), float64.
    """
    lit = photons.abs().sum(1).nonzero()[:, 0]
    some = lit[:: max(len(lit) // SOME, 1)]
    tables = {name: _aligned(table).flatten(0, 1) for name, table in emission.items()}
    light = torch.stack(
        [
            photons[some] @ sum(t[i, :, 0] for t in tables.values())
            for i in range(0, len(next(iter(tables.values()))), 3)
        ]
    )
    scale = stars[some] + light
    bases, coefficients = [], []
    for name, table in tables.items():
        basis, projection = _basis(photons[some], table, scale, terms, ranks[name])
        bases.append(basis)
        coefficients.append(_aligned(emission[name][..., 0, :]) @ projection)
    return torch.cat(bases), torch.cat(coefficients, -1)


def _aligned(array: np.ndarray) -> Tensor:
    """A float64 copy in torch's own memory, where products give the same bits every time."""
    return torch.tensor(array, dtype=torch.float64)


def _basis(
    weights: Tensor, table: Tensor, scale: Tensor, terms: Sequence[Term], ranks: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Leading directions of composites, each pixel counted against a flux.

    Returns:
        Basis of the terms, shape (sum of their ranks, pixels), and the projection that turns moment
        0 into coefficients, shape (pixels, ranks[0]).
    """
    moments = [
        torch.stack([weights @ by_age for by_age in table[::3, :, m]]).flatten(0, 1)
        for m in range(len(ranks))
    ]
    scale = scale.flatten(0, 1)
    level = scale.mean(1, keepdim=True)
    pixel = (scale / level).median(0).values
    scaled = moments[0] / level / pixel
    vectors = torch.linalg.eigh(scaled.T @ scaled).eigenvectors.flip(1)[:, : ranks[0]]
    projection = vectors / pixel[:, None]
    leading = moments[0] @ projection / level
    bases = [vectors.T * pixel]
    for moment, rank in zip(moments[1:], ranks[1:], strict=True):
        bases.append(torch.linalg.lstsq(leading[:, :rank], moment / level, driver="gelsd").solution)
    shapes = [1.0 if term.shape is None else _aligned(term.shape) for term in terms]
    rows = [shape * bases[term.order] for shape, term in zip(shapes, terms, strict=True)]
    return torch.cat(rows), projection
