"""What gas emits, in an engine: a family by theta's columns, each a class.

Gas that is tied shines as FSPS draws it around each population, so that its light is that of the
table's populations and lines. Gas that is free has an ionisation, and maybe a metallicity, of
theta's: a mixture tells its photons (`free_gas`), and what they make stands beside the stars.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.galaxy.free_gas import FreeGas, GasNodes, is_free
from hpcsbi.simulator.galaxy.interpolation import interval
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.galaxy.terms import Layout, Ranks, Term
from hpcsbi.simulator.table.row_mixture import Mixture
from hpcsbi.simulator.table.ssp_basis import gas_composites

__all__ = ["GAS_RANKS", "FreeNebular", "Nebular", "nebular_of"]

GAS_RANKS: Ranks = {"gas_continuum": (8, 4, 2), "gas_lines": (20, 10, 6)}

# From moments of a part, (n, moments, pixels), and whether it is lines, to those that dust leaves.
OfDust = Callable[[np.ndarray, bool], np.ndarray]


class Nebular(torch.nn.Module):
    """Gas that is tied to the stars. Other families change what they must.

    Arguments:
        logzsol: metallicities of the table, ascending, shape (logzsol,).
        inside: numbers of those that the engine takes.
        arrays: of the table by name.

    Attributes:
        tables: of each part of what populations shine, see `composites`.
    """

    continua: ClassVar[int] = 1  # parts of a group before its lines
    # Arguments of `DerivedQuantities` and the table's arrays that they are.
    derived: ClassVar[dict[str, str]] = {
        "surviving_mass": "surviving_mass", "bands": "bands", "line_luminosity": "line_luminosity"
    }  # fmt: skip

    def __init__(
        self, logzsol: np.ndarray, inside: np.ndarray, arrays: Mapping[str, np.ndarray]
    ) -> None:
        super().__init__()
        self.logzsol, self.inside = np.asarray(logzsol, float), inside
        self.tables = self._tables(arrays)

    def _tables(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: arrays[name][self.inside] for name in ("continuum", "lines")}

    def ranks(self, of_stars: Sequence[Ranks], kinematics: Kinematics) -> list[Ranks]:
        """Ranks of all parts of each group, from those of stars with gas that is tied."""
        return list(of_stars)

    def beside(
        self,
        bases: list[Tensor],
        coefficients: Tensor,
        components: np.ndarray,
        groups: np.ndarray,
        terms: Sequence[Term],
        ranks: Sequence[Ranks],
    ) -> tuple[list[Tensor], Tensor]:
        """Bases and coefficients of `tables`, and beside them what gas takes, see `composites`."""
        return bases, coefficients

    def weighted(
        self,
        mixture: Mixture,
        coefficients: Tensor,
        column: Mapping[str, Tensor],
        factors: Tensor,
        layout: Layout,
    ) -> Tensor:
        """Coefficients of the basis times the factors of their terms, shape (n, sum of ranks).

        Arguments:
            mixture: of the rows of `coefficients`, which `beside` gave.
            column: values of each of theta's columns, shape (n,).
            factors: of all terms, shape (terms, n).
            layout: of the terms.
        """
        if mixture.is_compiled(column["logzsol"]):
            return mixture.weighted(coefficients, column, factors, layout)
        return layout.weighted(mixture(coefficients, column), factors)

    def exact(
        self, masses: np.ndarray, column: Mapping[str, Tensor], of_dust: OfDust
    ) -> np.ndarray | float:
        """Moments of what gas adds to `tables`, float64, without a basis.

        Arguments:
            masses: in each SSP, shape (n, ages).
            column: see `weighted`.
            of_dust: see OfDust.

        Returns:
            shape (n, moments, pixels), or 0.
        """
        return 0.0

    def rows(self, light: Tensor, components: np.ndarray, groups: np.ndarray) -> Tensor:
        """Rows of light as `Mixture` counts them, with what gas takes beside it."""
        return light

    def lit(
        self, mixed: Tensor, of_gas: GasNodes | None, column: Mapping[str, Tensor], groups: int
    ) -> Tensor:
        """Mixed rows of light: what does not shine first, then what each group does.

        Arguments:
            mixed: of `rows`.
            of_gas: the light of a photon where gas is free.
            column: see `weighted`.
            groups: how many there are.
        """
        return mixed


class FreeNebular(Nebular):
    """Gas whose ionisation, and maybe metallicity, are columns of theta."""

    continua: ClassVar[int] = 2
    derived: ClassVar[dict[str, str]] = {
        "surviving_mass": "surviving_mass", "bands": "star_bands",
        "gas_luminosity": "gas_luminosity", "gas_bands": "gas_bands",
    }  # fmt: skip

    def __init__(
        self, logzsol: np.ndarray, inside: np.ndarray, arrays: Mapping[str, np.ndarray]
    ) -> None:
        super().__init__(logzsol, inside, arrays)
        self.gas = FreeGas(logzsol, arrays["ionising"], arrays["age_onto"])
        self.emission = {name: arrays[name] for name in GAS_RANKS}

    def _tables(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"continuum": arrays["stars"][self.inside]}

    def ranks(self, of_stars: Sequence[Ranks], kinematics: Kinematics) -> list[Ranks]:
        """See `Nebular.ranks`."""
        of_gas = kinematics.ranks(GAS_RANKS)
        return [{"continuum": of_group["continuum"]} | of_gas for of_group in of_stars]

    def beside(
        self,
        bases: list[Tensor],
        coefficients: Tensor,
        components: np.ndarray,
        groups: np.ndarray,
        terms: Sequence[Term],
        ranks: Sequence[Ranks],
    ) -> tuple[list[Tensor], Tensor]:
        """See `Nebular.beside`; the basis of gas is best beside stars of a middle metallicity."""
        photons, middle = self._photons(components, groups), len(self.inside) // 2
        stars = torch.tensor(components @ self.tables["continuum"][middle, :, 0].astype(float))
        of_all = photons.unflatten(1, (len(groups), -1)).sum(1)
        of_middle = of_all[middle * len(components) :][: len(components)]
        basis, values = gas_composites(of_middle, stars, self.emission, terms, ranks[0])
        self.nodes = GasNodes(self.logzsol, values)
        self.of_stars = [of_group["continuum"][0] for of_group in ranks]
        bases = [torch.cat([of_group, basis]) for of_group in bases]
        return bases, torch.cat([coefficients, photons], 1)

    def weighted(
        self,
        mixture: Mixture,
        coefficients: Tensor,
        column: Mapping[str, Tensor],
        factors: Tensor,
        layout: Layout,
    ) -> Tensor:
        """See `Nebular.weighted`."""
        groups = len(self.of_stars)
        sizes = [*self.of_stars, *[self.gas.dimensions] * groups]
        parts = mixture(coefficients, column).split(sizes, 1)
        pairs = zip(parts[:groups], parts[groups:], strict=True)
        whole = [part for stars, photons in pairs for part in (stars, self.nodes(photons, column))]
        return layout.weighted(torch.cat(whole, 1), factors)

    def exact(
        self, masses: np.ndarray, column: Mapping[str, Tensor], of_dust: OfDust
    ) -> np.ndarray | float:
        """See `Nebular.exact`."""
        cell, right = interval(torch.from_numpy(self.logzsol[self.inside]), column["logzsol"])
        onto = torch.tensor(self.gas.onto[self.inside])
        by_age = onto[cell] * (1 - right)[:, None, None] + onto[cell + 1] * right[:, None, None]
        photons = torch.einsum("na,nak->nk", torch.tensor(masses[:, : onto.shape[1]]), by_age)
        strength = column.get("line_strength", torch.ones(len(photons))).numpy()[:, None, None]
        total = 0.0
        for name, factor in (("gas_continuum", 1.0), ("gas_lines", strength)):
            emission = self.emission[name]
            nodes = GasNodes(self.logzsol, emission.reshape(*emission.shape[:3], -1)).double()
            of_part = nodes(photons, column).unflatten(1, emission.shape[3:]).numpy()
            total = total + factor * of_dust(of_part, name == "gas_lines")
        return total

    def rows(self, light: Tensor, components: np.ndarray, groups: np.ndarray) -> Tensor:
        """See `Nebular.rows`."""
        return torch.cat([light, self._photons(components, groups)], 1)

    def lit(
        self, mixed: Tensor, of_gas: GasNodes | None, column: Mapping[str, Tensor], groups: int
    ) -> Tensor:
        """See `Nebular.lit`."""
        photons = groups * self.gas.dimensions
        light, photons = mixed.split([mixed.shape[1] - photons, photons], 1)
        emitted = [of_gas(of_group, column) for of_group in photons.chunk(groups, 1)]
        return torch.cat([light[:, :1], light[:, 1:] + torch.cat(emitted, 1)], 1)

    def _photons(self, components: np.ndarray, groups: np.ndarray) -> Tensor:
        return self.gas.photons(components, groups, self.inside)


def nebular_of(names: Sequence[str]) -> type[Nebular]:
    """The family of theta's columns."""
    return FreeNebular if is_free(tuple(names)) else Nebular
