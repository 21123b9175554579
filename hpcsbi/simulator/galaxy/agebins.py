"""Bins of age since the galaxy began: those of Leja et al. 2019, or where columns of theta say."""

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.bins import BinnedHistory, names_of
from hpcsbi.simulator.theta.column import Column

__all__ = ["AgeBinnedHistory", "check_edges", "columns_of", "edges_since"]

FEWEST, MOST = 4, 14  # bins
YOUNG = (0.03, 0.1)  # Gyr, older ends of the youngest bins
OLDEST = 0.85  # of tage, where the oldest bin begins
YOUNGEST_GALAXY = 0.2  # Gyr; of a younger one not all bins ascend
# What a prior may say of them.
STEM, OLDEST_FRACTION = "agebin_edge", "oldest_agebin_fraction"
EDGES = (*(f"{STEM}_{i}" for i in range(1, MOST)), OLDEST_FRACTION)

Number = TypeVar("Number", float, Tensor)


def columns_of(stem: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of theta that a history in such bins has, and those that it may have.

    Arguments:
        stem: of the columns that say what forms in the bins, one less than there are bins.
    """
    numbered = [f"{stem}_{i}" for i in range(1, MOST)]
    return ("tage", *numbered[: FEWEST - 1]), (*numbered[FEWEST - 1 :], *EDGES)


class AgeBinnedHistory(BinnedHistory):
    """A history in bins whose edges are `edges_since`, see `histories.History`.

    A subclass names its columns by `columns_of(stem)`.
    """

    stem: ClassVar[str]

    def __init__(self, columns: Mapping[str, Column]) -> None:
        super().__init__(columns)
        check_edges(columns, 1 + len(names_of(self.stem, columns)))

    @staticmethod
    def youngest_galaxy(columns: Mapping[str, Column]) -> float:
        """See `BinnedHistory`."""
        return YOUNGEST_GALAXY


def edges_since(column: Mapping[str, Tensor], bins: int) -> Tensor:
    """Older ends of so many bins, Gyr, shape (n, bins).

    The youngest end at agebin_edge_1 and so on, or at 30 and 100 Myr; the next are equal in the
    logarithm up to oldest_agebin_fraction of tage, or .85 of it, and the oldest ends with tage.
    One edge less than there are bins leaves none to be equal.

    Arguments:
        column: values of tage and of those of EDGES that theta has, shape (n,); for a tage of which
            the bins do not ascend the next one is taken.
        bins: at least FEWEST.

    References:
        Leja et al. 2019, arXiv:1811.03637, section 2.2.3 and 4.1; `adjust_continuity_agebins` of
        Prospector.
    """
    tage = column["tage"].clamp_min(YOUNGEST_GALAXY)
    young = [column[name] for name in names_of(STEM, column)]
    young = young or [torch.full_like(tage, edge) for edge in YOUNG]
    edge, steps = young[-1], bins - len(young) - 1
    if not steps:
        return torch.stack([*young, torch.maximum(tage, _next(edge))], 1)
    fraction = column.get(OLDEST_FRACTION, torch.full_like(tage, OLDEST))
    tage = torch.maximum(tage, _next(edge) / fraction)
    last = (fraction * tage / edge).log()
    middle = [edge * (last * i / steps).exp() for i in range(1, steps + 1)]
    return torch.stack([*young, *middle, tage], 1)


def check_edges(columns: Mapping[str, Column], bins: int) -> None:
    """Refuse what a prior says of edges where it does not make so many bins that ascend.

    Raises:
        BadInput: names the columns and the mend.
    """
    young = names_of(STEM, columns)
    last = young[-1] if young else OLDEST_FRACTION
    steps = bins - len(young or YOUNG) - 1
    if steps < 0:
        raise BadInput(
            f"prior has {last}, and {bins} bins of age have {bins - 1} edges before tage, where "
            "the oldest ends: take it out, or add the columns of more bins in conf/prior."
        )
    if not steps and OLDEST_FRACTION in columns:
        raise BadInput(
            f"prior has {OLDEST_FRACTION}, and {last} is where the oldest of {bins} bins of age "
            "begins: take one of them out of conf/prior."
        )
    for before, name in pairwise(young):
        least = _next(columns[before].high)
        if columns[name].low < least:
            raise BadInput(
                f"prior of {name} begins at {columns[name].low:g} Gyr, that of {before} ends at "
                f"{columns[before].high:g}: edges of bins of age ascend by a hundredth and a "
                f"million years; let it be {least:g} Gyr or more in conf/prior."
            )
    edge, tage = columns[young[-1]].high if young else YOUNG[-1], columns["tage"].low
    fraction = columns[OLDEST_FRACTION].low if OLDEST_FRACTION in columns else OLDEST
    begin = fraction * tage if steps else tage
    if begin < edge * (_next(edge) / edge) ** max(steps, 1):
        more = f"begins at {begin:g} Gyr, after {steps} more" if steps else "ends"
        raise BadInput(
            f"prior of {last}: bins of age are given until {edge:g} Gyr, and where tage is "
            f"{tage:g} the oldest {more}: they do not ascend; change it, or let tage begin later, "
            "in conf/prior."
        )


def _next(edge: Number) -> Number:
    """Least edge after one; Prospector refuses bins of less than a million years."""
    return 1.01 * edge + 0.001
