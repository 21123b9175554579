"""The families of dust; the type of FSPS's curve and theta's columns tell which of them it is."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.layered_dust import BirthClouds, FreeSlope, TwoPart
from hpcsbi.simulator.galaxy.screen import Screen
from hpcsbi.simulator.galaxy.terms import Ranks, Term
from hpcsbi.simulator.theta.column import Column

__all__ = ["ATTENUATIONS", "Attenuation", "attenuation_of"]


class Attenuation(Protocol):
    """How much light of which stars dust takes; a new one is a class, and named in ATTENUATIONS.

    A module, float64 until it is turned into something else. It may hold several groups of stars
    apart, by their age, that are behind different dust.

    Arguments:
        dust_type: one of `dust_types`.
        columns: of the prior, over whose ranges it has to hold.
        wave: Angstrom, ascending, shape (pixels,).
        pixels: `wave` are the centres of pixels whose means count; otherwise points.

    Attributes:
        dust_types: of FSPS, that it may have.
        names: its columns of theta.
        example: values of them that make a spectrum, to try FSPS with.
        ranks: of each group's terms.
        terms: of each part of each group; they hold what dust does inside of a pixel, where it
            changes with wavelength.
    """

    dust_types: ClassVar[tuple[int, ...]]
    names: ClassVar[tuple[str, ...]]
    example: ClassVar[Mapping[str, float]]
    ranks: ClassVar[tuple[Ranks, ...]]
    terms: tuple[Term, ...]

    def __init__(
        self, dust_type: int, columns: Mapping[str, Column], wave: np.ndarray, pixels: bool = False
    ) -> None: ...

    def groups(self, log_age: np.ndarray) -> np.ndarray:
        """True for the SSPs of each group, the youngest last, bool, shape (groups, ages).

        Arguments:
            log_age: log10 of the SSPs' ages in years, shape (ages,).
        """

    def factors(self, column: Mapping[str, Tensor]) -> Tensor:
        """Of the terms; differentiable, shape (groups, terms, n).

        Arguments:
            column: values of each name, shape (n,).
        """

    def depth(self, column: Mapping[str, Tensor]) -> Tensor:
        """Optical depth before each group; differentiable, shape (groups, n, pixels)."""

    def slope(self, column: Mapping[str, Tensor]) -> Tensor:
        """Its change with that of `dust_curve`; differentiable, shape (groups, n, pixels)."""

    def behind(
        self, spectra: Sequence[Tensor], column: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """All groups' light behind what is not common to them.

        Arguments:
            spectra: of each group, sums of its terms, shape (n, pixels).
            column: see `factors`.

        Returns:
            spectra, shape (n, pixels), and the optical depth at which a screen of `dust_curve`
            still stands before them, shape (n,), or None where there is none.
        """

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float]:
        """What Prospector calls the numbers of dust, all of them: FSPS keeps what it was told."""


ATTENUATIONS: dict[str, type[Attenuation]] = {
    "screen": Screen,
    "birth_clouds": BirthClouds,
    "free_slope": FreeSlope,
    "two_part": TwoPart,
}


def attenuation_of(dust_type: int, names: Sequence[str]) -> type[Attenuation]:
    """The family of dust that a type of curve and theta's columns make together.

    Arguments:
        dust_type: of FSPS.
        names: theta's columns.

    Raises:
        BadInput: there is none; names both.
    """
    families = [each for each in ATTENUATIONS.values() if dust_type in each.dust_types]
    columns = {name for each in ATTENUATIONS.values() for name in each.names} & {*names}
    for family in families:
        if columns == {*family.names}:
            return family
    choices = ", or ".join(" and ".join(family.names) for family in families)
    raise BadInput(
        f"physics.dust_type is {dust_type}, whose dust has the columns {choices}; theta has "
        f"{' and '.join(name for name in names if name in columns) or 'no such column'}: change "
        f"conf/prior, or choose another physics.dust_type{_others(columns, dust_type)}."
    )


def _others(columns: set[str], dust_type: int) -> str:
    """Types of dust that would fit the columns."""
    fitting = [each for each in ATTENUATIONS.values() if {*each.names} == columns]
    types = sorted({number for each in fitting for number in each.dust_types} - {dust_type})
    return f" ({' or '.join(map(str, types))})" if types else ""
