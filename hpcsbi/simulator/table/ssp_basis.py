"""A small basis of composite spectra, and the coefficients of every component of the histories.

Composites are SSPs summed over a history; those of all histories of a family and all metallicities
lie close to a space of few dimensions.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.galaxy.terms import Ranks, Term, lasting

__all__ = ["BANDS", "band_fluxes", "band_means", "composites", "gas_composites"]

BANDS = 8  # of equal numbers of pixels: a level and a colour need few
MANY, EVERY = 700, 7  # of so many components neighbours are alike: every seventh makes the basis
BLOCK = 64  # pixels whose composites are in memory at once
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
    parts = tables.values()
    full = [_aligned(sum(by_age)) for by_age in zip(*(t[::3, :, 0] for t in parts), strict=True)]
    step = EVERY if len(components) > MANY else 1
    every = _aligned(components)
    bases, coefficients = [], []
    for group, of_group in zip(groups, ranks, strict=True):
        weights = _aligned(components * group)
        light = weights + FAINT * (every - weights)
        shares, pixel = _scaled(weights[::step], light[::step], full)
        of_parts = []
        for name, table in tables.items():
            basis, projection = _basis(shares, table[::3], pixel, terms, of_group[name])
            of_parts.append(basis)
            long = lasting(len(of_group[name]))
            ssps = (_long(at_node, long) @ projection for at_node in table)
            coefficients.append(torch.cat([weights @ by_age for by_age in ssps]))
        bases.append(torch.cat(of_parts))
    return bases, torch.cat(coefficients, 1)


def band_means(values: Tensor) -> Tensor:
    """Means over `BANDS` neighbouring parts of the pixels, shape (..., BANDS).

    Arguments:
        values: shape (..., pixels).
    """
    return torch.stack([part.mean(-1) for part in values.tensor_split(BANDS, -1)], -1)


def band_fluxes(
    bases: Sequence[Tensor], coefficients: Tensor, parts: Collection[str], ranks: Sequence[Ranks]
) -> Tensor:
    """What stars of all groups shine in bands: of each component its `band_means`, without dust.

    Arguments:
        bases, coefficients: of `composites`, the continuum first in each group.
        parts: which there are.
        ranks: see `composites`.

    Returns:
        float64, shape (logzsol * components, BANDS).
    """
    total, first = coefficients.new_zeros(len(coefficients), BANDS), 0
    for basis, of_group in zip(bases, ranks, strict=True):
        rank = of_group["continuum"][0]
        total += coefficients[:, first : first + rank] @ band_means(basis[:rank])
        first += sum(of_group[part][0] for part in parts)
    return total


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
    tables = {name: table.reshape(-1, *table.shape[2:])[::3] for name, table in emission.items()}
    full = [_aligned(sum(of)) for of in zip(*(t[:, :, 0] for t in tables.values()), strict=True)]
    shares, pixel = _scaled(photons[some], photons[some], full, stars[some])
    bases, coefficients = [], []
    for name, table in tables.items():
        basis, projection = _basis(shares, table, pixel, terms, ranks[name])
        bases.append(basis)
        coefficients.append(_long(emission[name], lasting(len(ranks[name]))) @ projection)
    return torch.cat(bases), torch.cat(coefficients, -1)


def _aligned(array: np.ndarray) -> Tensor:
    """A float64 copy in torch's own memory, where products give the same bits every time."""
    return torch.tensor(array, dtype=torch.float64)


def _long(table: np.ndarray, moments: Sequence[int]) -> Tensor:
    """Some moments side by side, shape (..., moments, pixels) to (..., some * pixels)."""
    return _aligned(table[..., moments, :]).flatten(-2)


def _scaled(
    weights: Tensor, light: Tensor, full: Sequence[Tensor], beside: Tensor | None = None
) -> tuple[list[Tensor], Tensor]:
    """Weights over the mean of a flux, for every node, and that flux's typical shape.

    Composites are never all in memory: there are 30 000, each as long as the pixels.

    Arguments:
        weights: of populations in each composite, shape (composites, populations).
        light: the same of the flux against which an error counts.
        full: populations at each node, shape (populations, pixels).
        beside: what else is in that flux at every node, shape (composites, pixels).

    Returns:
        shapes (composites, populations) for each node, and (pixels,).
    """
    more = torch.zeros(len(light), full[0].shape[1]) if beside is None else beside
    levels = [(light @ at_node.mean(1) + more.mean(1))[:, None] for at_node in full]
    blocks = zip(more.split(BLOCK, 1), *(at_node.split(BLOCK, 1) for at_node in full), strict=True)
    pixel = []
    for some, *parts in blocks:
        shapes = [(light @ part + some) / of for part, of in zip(parts, levels, strict=True)]
        pixel.append(torch.cat(shapes).median(0).values)
    return [weights / level for level in levels], torch.cat(pixel)


def _basis(
    shares: Sequence[Tensor],
    table: np.ndarray,
    pixel: Tensor,
    terms: Sequence[Term],
    ranks: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Leading directions of composites, each pixel counted against a flux.

    Arguments:
        shares, pixel: see `_scaled`.
        table: one part of populations at each node, shape (nodes, populations, moments, pixels).
        terms, ranks: of the part.

    Returns:
        Basis of the terms, shape (sum of their ranks, pixels), and the projection that turns moment
        0, of all degrees side by side, into coefficients, shape (degrees * pixels, ranks[0]).
    """
    # Spectra of all dispersions are one long spectrum, which has the coefficients.
    long, pixels = lasting(len(ranks)), len(pixel)
    pixel = pixel.repeat(len(long))
    # R of share = Q R has the same sums of squares as all composites, in fewer rows.
    roots = [torch.linalg.qr(share, mode="r").R for share in shares]
    moment = [_long(at_node, long) for at_node in table]
    scaled = torch.cat([root @ flux / pixel for root, flux in zip(roots, moment, strict=True)])
    # With more pixels than rows the other square is the smaller one, if it has as many directions.
    many = scaled.shape[1] > scaled.shape[0] >= ranks[0]
    square = scaled @ scaled.T if many else scaled.T @ scaled
    vectors = torch.linalg.eigh(square).eigenvectors.flip(1)[:, : ranks[0]]
    if many:
        # Orthogonal also where next to nothing is left: what rounding makes would count twice.
        vectors = torch.linalg.qr(torch.nn.functional.normalize(scaled.T @ vectors, dim=0)).Q
    projection = vectors / pixel[:, None]
    leading = torch.cat([s @ (flux @ projection) for s, flux in zip(shares, moment, strict=True)])
    of_long = dict(zip(long, (vectors.T * pixel).split(pixels, 1), strict=True))
    bases = []
    for number, rank in enumerate(ranks):
        if number in of_long:
            bases.append(of_long[number][:rank])
            continue
        onto = torch.linalg.pinv(leading[:, :rank]).split([len(share) for share in shares], 1)
        parts = zip(onto, shares, table[:, :, number], strict=True)
        bases.append(sum((o @ share) @ _aligned(flux) for o, share, flux in parts))
    shapes = [1.0 if term.shape is None else _aligned(term.shape) for term in terms]
    rows = [shape * bases[term.moment] for shape, term in zip(shapes, terms, strict=True)]
    return torch.cat(rows), projection
