"""Gas whose ionisation and metallicity are free: what it emits around populations of every age.

FSPS gives each population the light of its ionising photons times that of a grid of Cloudy models,
by age, metallicity and ionisation of the gas, linear between them in the logarithm. So emission is
a sum over ages of (mass x photons of the stars' metallicity) x (emission a photon), in which the
second does not know of the stars. By age it lies close to a space of few dimensions: a dozen
numbers of a mixture of populations tell what its gas emits at any node.

References:
    Byler et al. 2017, arXiv:1611.08305, section 2; `add_nebular` of FSPS.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.kernels.gas import emit
from hpcsbi.simulator.galaxy.interpolation import Pieces, interval

__all__ = ["LOGU", "LOGZ", "OLDEST", "FreeGas", "GasNodes", "age_basis", "is_free"]

# FSPS's own nodes, between which logarithms are linear.
LOGZ = (-1.98, -1.5, -0.98, -0.58, -0.39, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2)
LOGU = Pieces((-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0))
OLDEST = 7.325  # log10 of the age in years up to which FSPS lets gas shine
DIMENSIONS = 12  # by age: 3e-5 of the flux for steady formation, 2e-4 for a single age (99 %)


def is_free(names: tuple[str, ...]) -> bool:
    """True where theta has a column of the gas."""
    return "gas_logu" in names


def age_basis(
    emission: np.ndarray, ionising: np.ndarray, stars: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Few numbers in place of one for each age, best against the light of stars and gas of each.

    Arguments:
        emission: a photon, shape (nodes, ages, pixels).
        ionising: photons of each age, shape (ages,).
        stars: light of each age, shape (ages, pixels).

    Returns:
        What turns (mass x photons) by age into the numbers, shape (ages, dimensions), and emission
        a photon by age into that of the numbers, shape (dimensions, ages).
    """
    light = ionising[:, None] * emission.mean(0)
    part = ionising[:, None] * emission / (stars + light)
    weight = np.sqrt((part**2).mean((0, 2)))  # of each age
    scale = np.sqrt((part**2).mean((0, 1)))  # of each pixel
    rows = emission * weight[:, None]
    typical = np.sqrt((rows**2).mean((0, 1)))
    rows = rows * np.divide(scale, typical, out=np.zeros_like(scale), where=typical > 0)
    flat = rows.swapaxes(0, 1).reshape(len(ionising), -1)
    vectors = np.linalg.eigh(flat @ flat.T)[1][:, ::-1][:, :DIMENSIONS]
    return vectors / weight[:, None], vectors.T * weight


class GasNodes(torch.nn.Module):
    """Values at nodes of the gas's metallicity and ionisation, of each number of an age basis.

    Linear between metallicities, which lie as densely as the stars', and cubic in the ionisation.

    Arguments:
        logzsol: of the nodes, ascending, shape (nodes,).
        values: shape (nodes, LOGU nodes, dimensions, values).
    """

    def __init__(self, logzsol: np.ndarray, values: np.ndarray | Tensor) -> None:
        super().__init__()
        for name, array in (("logzsol", logzsol), ("values", values)):
            self.register_buffer(name, torch.as_tensor(array).float(), persistent=False)

    def forward(self, photons: Tensor, column: Mapping[str, Tensor]) -> Tensor:
        """Values of mixtures of populations; differentiable, shape (n, values).

        Arguments:
            photons: numbers of the age basis, shape (n, dimensions).
            column: gas_logu, and gas_logz or, where the gas has that of the stars, logzsol, (n,).
        """
        logz = column.get("gas_logz", column["logzsol"])
        row, right = interval(self.logzsol, logz.contiguous())
        by_z = torch.stack([1 - right, right], 1)
        first, by_u = LOGU.locate(column["gas_logu"])
        numbers = photons, by_z, by_u
        plain = photons.dtype == torch.float32 and photons.device.type == "cpu"
        if plain and not any(x.requires_grad for x in numbers):
            return self._compiled(photons, row, by_z, first, by_u)
        total = torch.zeros_like(photons[:, :1])
        for a in range(by_z.shape[1]):
            for b in range(by_u.shape[1]):
                weight = (by_z[:, a] * by_u[:, b])[:, None]
                values = self.values[row + a, first + b]
                total = total + weight * torch.einsum("nk,nkv->nv", photons, values)
        return total

    def _compiled(self, *inputs: Tensor) -> Tensor:
        out = np.empty((len(inputs[0]), self.values.shape[-1]), np.float32)
        emit(*(x.detach().contiguous().numpy() for x in inputs), self.values.numpy(), out)
        return torch.from_numpy(out)


class FreeGas:
    """What a table tells of gas whose ionisation is free, and its metallicity, too, if asked for.

    Arguments:
        logzsol: of the table's nodes, which are those of stars and of gas, shape (nodes,).
        ionising: photons of populations, shape (nodes, ages).
        age_onto: see `age_basis`; of the youngest ages, shape (some ages, dimensions).
    """

    names: ClassVar[tuple[str, ...]] = ("gas_logu",)
    further: ClassVar[tuple[str, ...]] = ("gas_logz",)
    # Of the table, beside those of gas that is not free.
    arrays: ClassVar[tuple[str, ...]] = (
        "stars", "star_bands", "ionising", "age_onto", "gas_continuum", "gas_lines",
        "gas_luminosity", "gas_bands",
    )  # fmt: skip
    derived: ClassVar[tuple[str, ...]] = ("star_bands", "gas_luminosity", "gas_bands")

    def __init__(self, logzsol: np.ndarray, ionising: np.ndarray, age_onto: np.ndarray) -> None:
        self.logzsol, self.dimensions = np.asarray(logzsol, float), age_onto.shape[1]
        self.onto = np.asarray(ionising, float)[:, : len(age_onto), None] * age_onto

    def photons(self, components: np.ndarray, groups: np.ndarray, nodes: np.ndarray) -> Tensor:
        """Numbers of the age basis of components, those of a group following each other.

        Arguments:
            components: mass in each SSP, shape (components, ages).
            groups: the SSPs of each, bool, shape (groups, ages).
            nodes: numbers of the stars' metallicities.

        Returns:
            float64, shape (len(nodes) * components, groups * dimensions).
        """
        young = self.onto.shape[1]
        masses = torch.tensor(components[:, :young], dtype=torch.float64)
        of_groups = [
            torch.cat([masses @ torch.tensor(self.onto[i] * group[:young, None]) for i in nodes])
            for group in groups
        ]
        return torch.cat(of_groups, 1)
