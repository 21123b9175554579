"""What a spectrum is a sum of: factors of theta times coefficients times basis spectra."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["FURTHER", "MOMENTS", "Layout", "Ranks", "Term", "lasting", "layout_of"]

MOMENTS = 3  # of dust, of a table's spectra
FURTHER = 2  # of each further degree, where dispersions are free: they stand one after the other
Ranks = Mapping[str, tuple[int, ...]]  # of each part, in order, for each of its moments


@dataclass(frozen=True, eq=False)
class Term:
    """One of the terms that continuum and lines are sums of.

    Arguments:
        order: of the moments of dust: 0 is the spectrum itself, and the only one without dust.
        shape: by which this moment's basis is multiplied, shape (pixels,); None for 1.
        degree: of the polynomial in the dispersion, see `kinematics`; 0 is a constant.
    """

    order: int
    shape: np.ndarray | None = None
    degree: int = 0

    @property
    def moment(self) -> int:
        """Number of its moment in the table."""
        return self.order + (MOMENTS + (self.degree - 1) * FURTHER if self.degree else 0)


@dataclass(frozen=True)
class Layout:
    """Where each term has its coefficients; terms of the continuum before those of the lines, and
    those of one group of populations before the next one's.

    Arguments:
        starts: column of a term's first coefficient, int64, shape (terms,).
        ranks: how many it has, int64, shape (terms,).
        orders: of the moments of dust, int64, shape (terms,).
    """

    starts: np.ndarray
    ranks: np.ndarray
    orders: np.ndarray

    def weighted(self, coefficients: Tensor, factors: Tensor) -> Tensor:
        """Each term's coefficients times its factor, side by side; differentiable.

        Arguments:
            coefficients: shape (n, columns).
            factors: shape (terms, n).

        Returns:
            shape (n, sum of ranks).
        """
        bounds = zip(self.starts.tolist(), (self.starts + self.ranks).tolist(), strict=True)
        parts = [coefficients[:, first:last] for first, last in bounds]
        return torch.cat([f[:, None] * c for f, c in zip(factors, parts, strict=True)], 1)

    @classmethod
    def whole(cls, columns: int) -> "Layout":
        """All columns as one term."""
        return cls(*np.array([[0], [columns], [0]]))

    def dustless(self) -> "Layout":
        """That of the terms that are left without dust."""
        some = self.orders == 0
        return Layout(self.starts[some], self.ranks[some], self.orders[some])


def lasting(moments: int) -> list[int]:
    """Numbers of those of so many moments that are there without dust."""
    return [0, *range(MOMENTS, moments, FURTHER)]


def layout_of(terms: Sequence[Term], ranks: Sequence[Ranks]) -> Layout:
    """The layout of all groups' terms.

    Arguments:
        terms: of a part.
        ranks: of each group of populations.
    """
    rows, first = [], 0
    for of_group in ranks:
        for orders in of_group.values():
            rows += [(first, orders[term.moment], term.order) for term in terms]
            first += orders[0]
    return Layout(*np.array(rows).T.copy())
