"""Spectra whose dispersion changes from pixel to pixel, as that of an instrument does.

A spectrum is a sum over polynomials in the dispersion. Where all pixels have the same, the values
of the polynomials are factors of theta; where not, spectra of each degree are added by pixel.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.kinematics import STARS, TOLERANCE, Kinematics
from hpcsbi.simulator.galaxy.terms import Ranks, Term
from hpcsbi.simulator.observation.instruments import WIDEST, Observing
from hpcsbi.simulator.theta.column import Column
from hpcsbi.survey.record.line_spread import between_knots

__all__ = ["PixelDispersions", "check_instrument", "sum_by_pixel"]


class PixelDispersions(torch.nn.Module):
    """Sums of a table's terms where an instrument adds to the dispersion, by wavelength.

    Arguments:
        kinematics: of the prior.
        terms: of each part of each group, degree by degree.
        ranks: of each group of populations.
        wave: pixel centres, Angstrom, shape (pixels,).
    """

    def __init__(
        self,
        kinematics: Kinematics,
        terms: Sequence[Term],
        ranks: Sequence[Ranks],
        wave: np.ndarray,
    ) -> None:
        super().__init__()
        self.kinematics = kinematics
        self.columns = [_columns(terms, of_group) for of_group in ranks]
        weights = torch.from_numpy(between_knots(wave)).float()
        self.register_buffer("between_knots", weights, persistent=False)

    def added(self, instrument: Tensor) -> Tensor:
        """Square of what an instrument adds, (km/s)^2, shape (n, pixels).

        Arguments:
            instrument: km/s at the knots, see `survey.line_spread`, shape (n, KNOTS).

        Raises:
            BadInput: the dispersion is not free.
        """
        if self.kinematics.dispersions is None:
            raise BadInput(
                f"an instrument's line spread adds to {STARS}, and the prior has no such column: "
                "take prior=kinematics, or leave the instrument out."
            )
        return instrument.to(self.between_knots.dtype) ** 2 @ self.between_knots

    def spectra(
        self,
        weighted: Sequence[Tensor],
        bases: Sequence[Tensor],
        column: Mapping[str, Tensor],
        instrument: Tensor | None = None,
    ) -> list[Tensor]:
        """Those of each group; differentiable, shape (n, pixels) each.

        Arguments:
            weighted: coefficients times factors, which hold polynomials where there is no
                instrument, shape (n, columns) each.
            bases: shape (columns, pixels) each.
            column: values of each of theta's names, shape (n,).
            instrument: see `added`; None: all pixels have the dispersions of theta.
        """
        if instrument is None:
            return [of_group @ basis for of_group, basis in zip(weighted, bases, strict=True)]
        others, lines = self.kinematics.places(column, self.added(instrument))
        spectra = []
        for (of_others, of_lines), *group in zip(self.columns, weighted, bases, strict=True):
            if others is lines:
                both = [a + b for a, b in zip(of_others, of_lines, strict=True)]
                spectra.append(sum_by_pixel(*group, both, others))
            else:
                first = sum_by_pixel(*group, of_others, others)
                spectra.append(first + sum_by_pixel(*group, of_lines, lines))
        return spectra


def sum_by_pixel(
    weighted: Tensor, basis: Tensor, columns: Sequence[Sequence[slice]], x: Tensor
) -> Tensor:
    """Chebyshev sums in which every pixel has its x; differentiable, shape (n, pixels).

    Arguments:
        weighted: coefficients, shape (n, columns).
        basis: shape (columns, pixels).
        columns: those of each degree, two degrees or more.
        x: shape (n, pixels).

    References:
        Clenshaw's recurrence: Press et al., Numerical Recipes, 3rd edition, section 5.8.
    """
    twice, latest, before = 2 * x, None, None
    for degree in reversed(range(len(columns))):
        total = before
        for some in columns[degree]:
            part = weighted[:, some], basis[some]
            total = (
                part[0] @ part[1]
                if total is None
                else torch.addmm(total, *part, beta=-1 if total is before else 1)
            )
        if latest is not None:
            total = torch.addcmul(total, twice if degree else x, latest)
        latest, before = total, latest
    return latest


def check_instrument(
    noise: Observing, columns: Mapping[str, Column], kinematics: Kinematics | None = None
) -> None:
    """Refuse noise with instruments where they have no dispersion to widen, or no table for it.

    Arguments:
        noise: the noise model.
        columns: of the prior.
        kinematics: of the table, where there is one.

    Raises:
        BadInput: in one line, with the mend.
    """
    if not noise.instrument:
        return
    if STARS not in columns:
        raise BadInput(
            f"noise.instrument=true adds to {STARS}, and the prior has no such column: take "
            "prior=kinematics, or noise.instrument=false."
        )
    high = Kinematics.range(columns)[1]
    wide = math.hypot(high, WIDEST)
    if kinematics and wide > kinematics.dispersions.high * (1 + TOLERANCE):
        raise BadInput(
            f"noise.instrument=true makes the prior's {high:.0f} km/s up to {wide:.0f} wide, and "
            f"the table ends at {kinematics.dispersions.high:.0f}: make it again with "
            "jobs/tabulate.py and this noise, or lower the prior."
        )


def _columns(terms: Sequence[Term], ranks: Ranks) -> tuple[list[list[slice]], list[list[slice]]]:
    """Columns of each degree, of the light of stars and continuum of gas, and of lines."""
    degrees = 1 + max(term.degree for term in terms)
    others, lines = ([[] for _ in range(degrees)] for _ in range(2))
    at = 0
    for part, of_part in ranks.items():
        kind = lines if part.endswith("lines") else others
        for degree in range(degrees):
            width = sum(of_part[term.moment] for term in terms if term.degree == degree)
            kind[degree].append(slice(at, at + width))
            at += width
    return others, lines
