"""Kinematics: velocity dispersions of stars and of lines, in which spectra are polynomials.

A spectrum smoothed to any dispersion is that at a few of them, mixed: Chebyshev polynomials in the
logarithm of the dispersion. The table holds their coefficients as further moments, see `terms`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.grid import NARROW, Grid
from hpcsbi.simulator.galaxy.terms import FURTHER, Ranks, Term
from hpcsbi.simulator.theta.column import Column

__all__ = ["STARS", "TOLERANCE", "Dispersions", "Kinematics"]

STARS, LINES = "sigma_smooth", "eline_sigma"
PER_UNIT = (3.0, 2.0)  # polynomials for each unit of ln dispersion, in narrow and in wide pixels
FEWER = 0.75  # of a rank, over the degree: 99 % of the errors stay where full ranks have them
TOLERANCE = 1e-6  # of a range


@dataclass(frozen=True)
class Dispersions:
    """Chebyshev polynomials in ln(dispersion) between two dispersions.

    Arguments:
        low, high: km/s; the same where there is but one dispersion.
        degrees: how many polynomials, and nodes; one of one dispersion.
    """

    low: float
    high: float
    degrees: int

    @property
    def nodes(self) -> np.ndarray:
        """Dispersions at which spectra tell the coefficients, km/s, descending, (degrees,)."""
        return np.exp(self._middle + self._half * _roots(self.degrees))

    def moments(self, at_nodes: np.ndarray) -> np.ndarray:
        """Moments of a table: of all polynomials, from those of dust at each node.

        Arguments:
            at_nodes: shape (degrees, ..., 3, pixels).

        Returns:
            shape (..., moments, pixels), see `terms.Term`.
        """
        k = np.arange(self.degrees)[:, None]
        onto = np.cos(k * np.arccos(_roots(self.degrees))) * 2 / self.degrees
        onto[0] /= 2
        first, *further = np.tensordot(onto, at_nodes, 1)
        return np.concatenate([first, *(of[..., :FURTHER, :] for of in further)], axis=-2)

    def place(self, dispersion: Tensor) -> Tensor:
        """Where polynomials are taken, -1 to 1; differentiable, shape of `dispersion`, km/s."""
        return ((torch.log(dispersion) - self._middle) / self._half).clamp(-1, 1)

    def polynomials(self, dispersion: Tensor) -> Tensor:
        """Values of all polynomials; differentiable, shape (degrees, ...).

        Beyond the range its ends are taken.

        Arguments:
            dispersion: km/s, any shape; of NaN the values are NaN, but for the first, which is 1.
        """
        if self.degrees == 1:
            return torch.ones_like(dispersion)[None]
        x = self.place(dispersion)
        values = [torch.ones_like(x), x]
        while len(values) < self.degrees:
            values.append(2 * x * values[-1] - values[-2])
        return torch.stack(values[: self.degrees])

    @classmethod
    def through(cls, nodes: np.ndarray) -> "Dispersions":
        """Those of these nodes."""
        logs, root = np.log(nodes), _roots(len(nodes))[0]
        middle, half = (logs[0] + logs[-1]) / 2, (logs[0] - logs[-1]) / 2 / root
        return cls(float(np.exp(middle - half)), float(np.exp(middle + half)), len(nodes))

    @property
    def _middle(self) -> float:
        return math.log(self.low * self.high) / 2

    @property
    def _half(self) -> float:
        return math.log(self.high / self.low) / 2


class Kinematics:
    """Dispersions that are free: of stars, and of lines where they have their own.

    Without its column the table is smoothed to that of the physics, and nothing is done here.

    Arguments:
        columns: of the prior.
        nodes: of the table's `Dispersions`, shape (degrees,); None where nothing is free.

    Raises:
        BadInput: the prior reaches beyond the table, or one of them has no dispersions.
    """

    names: ClassVar[tuple[str, ...]] = (STARS,)
    further: ClassVar[tuple[str, ...]] = (LINES,)
    arrays: ClassVar[tuple[str, ...]] = ("sigma_nodes",)  # of the table

    def __init__(self, columns: Mapping[str, Column], nodes: np.ndarray | None = None) -> None:
        self.dispersions = None if nodes is None else Dispersions.through(nodes)
        low, high = self.range(columns) or (0.0, 0.0)
        if (nodes is None) != (high == 0):
            raise BadInput(
                f"table: {'no' if nodes is None else 'free'} dispersions, and the prior has "
                f"{'a' if high else 'no'} column {STARS}: take the table of that prior."
            )
        table = self.dispersions
        if table and (low < table.low * (1 - TOLERANCE) or high > table.high * (1 + TOLERANCE)):
            raise BadInput(
                f"prior of {STARS} and {LINES} spans {low} to {high} km/s, the table "
                f"{table.low:.0f} to {table.high:.0f}: narrow the prior, or make the table again "
                "with jobs/tabulate.py."
            )

    @property
    def degrees(self) -> int:
        """Number of polynomials."""
        return self.dispersions.degrees if self.dispersions else 1

    def terms(self, of_dust: Sequence[Term]) -> tuple[Term, ...]:
        """Terms of each part, degree by degree, from those of dust."""
        return tuple(
            replace(term, degree=degree)
            for degree in range(self.degrees)
            for term in of_dust
            if not degree or term.order < FURTHER
        )

    def ranks(self, of_dust: Ranks) -> Ranks:
        """Ranks of all moments of a group, from those of dust."""
        return {
            part: (
                *ranks,
                *(_share(ranks[m], k) for k in range(1, self.degrees) for m in range(FURTHER)),
            )
            for part, ranks in of_dust.items()
        }

    def factors(
        self,
        of_dust: Tensor,
        terms: Sequence[Term],
        column: Mapping[str, Tensor],
        lines: bool,
        by_pixel: bool = False,
    ) -> Tensor:
        """Factors of terms; differentiable, shape (groups, terms, n).

        Arguments:
            of_dust: factors of the terms of the first degree, shape (groups, some terms, n).
            terms: of all degrees.
            column: values of each name, shape (n,).
            lines: whether they are of lines, or of stars and the continuum of gas.
            by_pixel: leave the polynomials out, which differ from pixel to pixel, see `places`.
        """
        if self.dispersions is None:
            return of_dust
        values = [1.0] * self.degrees
        if not by_pixel:
            values = self.dispersions.polynomials(column[_name(column, lines)])
        first = sum(not term.degree for term in terms)
        orders = [term.order for term in terms[:first]]
        further = of_dust[:, [i for i in range(len(orders)) if orders[i] < FURTHER]]
        return torch.cat([of_dust, *(further * value for value in values[1:])], 1)

    def places(self, column: Mapping[str, Tensor], added: Tensor) -> tuple[Tensor, Tensor]:
        """Where the polynomials of each pixel are taken; differentiable, shapes (n, pixels).

        Arguments:
            column: values of each name, shape (n,).
            added: square of what the instrument adds, (km/s)^2, shape (n, pixels).

        Returns:
            Those of stars and the continuum of gas, and those of lines: the same object where lines
            have no dispersion of their own.
        """
        others = self.dispersions.place(_total(column[STARS], added))
        if LINES not in column:
            return others, others
        return others, self.dispersions.place(_total(column[LINES], added))

    def of_dust(
        self,
        moments: np.ndarray,
        column: Mapping[str, Tensor],
        lines: bool,
        added: Tensor | None = None,
    ) -> np.ndarray:
        """Dust moments of spectra of their dispersion, from all moments of the table.

        Arguments:
            moments: shape (n, moments, pixels).
            column, lines: see `factors`.
            added: see `places`; None for no instrument.

        Returns:
            shape (n, 3, pixels).
        """
        if self.degrees == 1:
            return moments
        own = column[_name(column, lines)]
        total = own[:, None] if added is None else _total(own, added)
        values = self.dispersions.polynomials(total).numpy()
        sums = moments[:, : -FURTHER * (self.degrees - 1)].copy()
        for degree, value in enumerate(values[1:]):
            first = sums.shape[1] + degree * FURTHER
            sums[:, :FURTHER] += value[:, None] * moments[:, first : first + FURTHER]
        return sums

    @staticmethod
    def range(columns: Mapping[str, Column]) -> tuple[float, float] | None:
        """Least and greatest dispersion of a prior, km/s; None where none is free."""
        some = [columns[name] for name in (STARS, LINES) if name in columns]
        if STARS not in columns:
            return None
        return min(each.low for each in some), max(each.high for each in some)

    @classmethod
    def table(
        cls, columns: Mapping[str, Column], grid: Grid, widest: float = 0.0
    ) -> Dispersions | None:
        """What a table for a prior and a grid has to hold; None where no dispersion is free.

        Arguments:
            columns: of the prior.
            grid: pixels.
            widest: that instruments add at most, km/s.
        """
        if (span := cls.range(columns)) is None:
            return None
        span = span[0], math.hypot(span[1], widest)
        if span[0] == span[1]:
            return Dispersions(*span, 1)
        rate = PER_UNIT[bool(grid.widths.max() > NARROW)]
        return Dispersions(*span, 2 + math.ceil(rate * math.log(span[1] / span[0])))

    @staticmethod
    def prospector(row: Mapping[str, float], fixed: float) -> dict[str, float]:
        """What Prospector calls the dispersion of stars and the continuum of gas.

        Arguments:
            row: values of theta's columns.
            fixed: the dispersion where none is free, km/s.
        """
        return {STARS: row.get(STARS, fixed)}

    @staticmethod
    def of_lines(row: Mapping[str, float]) -> Mapping[str, float]:
        """The row of theta that smooths as lines are; the same where they have no own."""
        return row if LINES not in row else {**row, STARS: row[LINES]}

    @staticmethod
    def widest_lines(columns: Mapping[str, Column], fixed: float) -> float:
        """Greatest dispersion of lines, km/s; `fixed` is that where none is free."""
        of_lines = columns.get(LINES, columns.get(STARS))
        return of_lines.high if of_lines and STARS in columns else fixed


def _name(column: Mapping[str, Tensor], lines: bool) -> str:
    """Of the column that tells the dispersion of lines, or of everything else."""
    return LINES if lines and LINES in column else STARS


def _total(dispersion: Tensor, added: Tensor) -> Tensor:
    """Dispersion of each pixel, km/s, shape (n, pixels)."""
    return (dispersion[:, None] ** 2 + added).sqrt()


def _share(rank: int, degree: int) -> int:
    """Rank of the moments of a further degree, whose spectra are fainter."""
    return max(1, round(FEWER * rank / degree))


def _roots(degrees: int) -> np.ndarray:
    """Of the polynomial of a degree, from 1 to -1."""
    return np.cos(np.pi * (np.arange(degrees) + 0.5) / degrees)
