"""Star formation that is constant in bins of age: what FSPS makes of it, exactly.

Between two of FSPS's ages a population is linear in the logarithm of age, so that all stars formed
at a constant rate until any age are a sum of three spectra: those formed until the SSP below that
age, that SSP, and the one above. Rates that change at edges are a sum of such sums, one an edge,
wherever the edges are.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from itertools import count, takewhile
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from hpcsbi.errors import BadInput
from hpcsbi.kernels.edges import formed_until
from hpcsbi.simulator.galaxy.interpolation import interval
from hpcsbi.simulator.theta.column import Column

__all__ = ["BinnedHistory", "Bins", "constant_rates", "log_rates", "names_of", "numbered"]

GYR = 1e9  # years
LN10 = float(np.log(10))


def constant_rates(log_age: np.ndarray) -> np.ndarray:
    """Of which all histories in bins are sums, shape (2 ages, ages).

    First the mass of each age of stars formed at a constant rate until each of the ages, then the
    SSPs themselves; each sums to one.

    Arguments:
        log_age: log10 of the SSPs' ages in years, ascending, shape (ages,).
    """
    age = 10.0**log_age
    ratio, span = np.diff(age) / age[:-1], np.diff(age)
    older = (age[1:] * np.log1p(ratio) - span) / np.log1p(ratio)  # what the older SSP is given
    formed = np.zeros((len(age), len(age)))
    formed[0, 0] = age[0]  # what is younger than the first belongs to it
    for i in range(1, len(age)):
        formed[i] = formed[i - 1]
        formed[i, i - 1] += span[i - 1] - older[i - 1]
        formed[i, i] += older[i - 1]
    return np.concatenate([formed / age[:, None], np.eye(len(age))])


class Bins:
    """Masses in bins of some galaxies, in torch and differentiable, or read as numpy arrays.

    Arguments:
        edges: older end of each bin, Gyr, ascending, shape (n, bins); the first begins now.
        log_mass: ln of the mass formed in each, in any unit, shape (n, bins).
    """

    def __init__(self, edges: Tensor, log_mass: Tensor) -> None:
        self.edges = edges
        self.width = torch.cat([edges[:, :1], edges.diff(dim=1)], 1)
        self.share = log_mass.softmax(1)

    @classmethod
    def of_rates(cls, edges: Tensor, log_rate: Tensor) -> "Bins":
        """Of ln of the rates, in any unit, in place of the masses."""
        widths = torch.cat([edges[:, :1], edges.diff(dim=1)], 1)
        return cls(edges, log_rate + widths.log())

    def mixture(self, log_age: np.ndarray) -> tuple[Tensor, Tensor]:
        """See `histories.History`; the components are `constant_rates`."""
        rate = self.share / self.width
        drop = rate - torch.cat([rate[:, 1:], torch.zeros_like(rate[:, :1])], 1)
        age = torch.as_tensor(10.0 ** (log_age - 9), dtype=rate.dtype, device=rate.device)
        if not rate.requires_grad and rate.dtype == torch.float32 and rate.device.type == "cpu":
            return _compiled(self.edges, drop, age)
        edges, nodes = self.edges, age.log()
        left, right = (x.unflatten(0, rate.shape) for x in interval(nodes, edges.log().flatten()))
        span = nodes[left + 1] - nodes[left]
        beyond = right * span
        growth = beyond.expm1()
        # Integrals over what is beyond the age below: of the older SSP's share, and of it all.
        older = age[left] * ((1 + growth) * beyond - growth) / span
        parts = age[left], age[left] * growth - older, older
        shares = torch.stack([drop * part for part in parts], 2).flatten(1)
        numbers = torch.stack([left, left + len(age), left + len(age) + 1], 2).flatten(1)
        fill = (0, -shares.shape[1] % 4)
        return pad(numbers, fill).int(), pad(shares, fill) + 0 * shares[:, :1]

    def weights(self, log_age: np.ndarray) -> np.ndarray:
        """See `histories.History`."""
        numbers, shares = self.mixture(log_age)
        components = constant_rates(log_age)
        mixed = np.zeros((len(shares), len(components)))
        np.add.at(mixed, (np.arange(len(mixed))[:, None], numbers.numpy()), shares.numpy())
        return mixed @ components

    def younger(self, age: np.ndarray | float) -> np.ndarray:
        """See `histories.History`."""
        begin = self.edges - self.width
        inside = (_column(age) - begin).clamp_min(0).minimum(self.width) / self.width
        return (self.share * inside).sum(1).numpy()

    def lookback(self, share: np.ndarray | float) -> np.ndarray:
        """See `histories.History`."""
        rest = (1 - _column(share)).expand(len(self.share), 1)  # younger than that time
        total = self.share.cumsum(1)
        bin = (total < rest).sum(1, keepdim=True).clamp_max(total.shape[1] - 1)
        before = total.gather(1, bin) - self.share.gather(1, bin)
        part = ((rest - before) / self.share.gather(1, bin).clamp_min(1e-300)).clamp(0, 1)
        width, edge = self.width.gather(1, bin), self.edges.gather(1, bin)
        return (edge - width * (1 - part))[:, 0].numpy()

    def mean_age(self) -> np.ndarray:
        """See `histories.History`."""
        return (self.share * (self.edges - self.width / 2)).sum(1).numpy()

    def prospector(self) -> np.ndarray:
        """Prospector's `agebins` of the first galaxy: ends in log10 yr, shape (bins, 2)."""
        edges = np.concatenate([[1e-9], self.edges[0].numpy()]) * GYR  # a year stands for now
        return np.log10(np.stack([edges[:-1], edges[1:]], axis=1))


class BinnedHistory(ABC):
    """What histories in bins have in common; see `histories.History`.

    A subclass says where the bins are and what forms in them, and what Prospector calls it.

    Raises:
        BadInput: the prior has galaxies whose bins do not ascend.
    """

    names: ClassVar[tuple[str, ...]]
    source: ClassVar[str] = "FastStepBasis"
    curved: ClassVar[tuple[str, ...]] = ()

    def __init__(self, columns: Mapping[str, Column]) -> None:
        low, youngest = columns["tage"].low, self.youngest_galaxy(columns)
        if low < youngest:
            raise BadInput(
                f"prior of tage begins at {low} Gyr; with {', '.join(self.names[1:])} it is the "
                f"older end of bins of age, which ascend from {youngest:g} Gyr on: let it begin "
                "there in conf/prior."
            )

    @staticmethod
    @abstractmethod
    def youngest_galaxy(columns: Mapping[str, Column]) -> float:
        """Gyr, below which the bins of a prior do not ascend."""

    @staticmethod
    @abstractmethod
    def bins_of(column: Mapping[str, Tensor]) -> Bins:
        """Edges and masses of the bins."""

    @classmethod
    def weights(cls, log_age: np.ndarray, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        return cls.bins_of(tensors(column)).weights(log_age)

    @staticmethod
    def components(log_age: np.ndarray) -> np.ndarray:
        """See `History`."""
        return constant_rates(log_age)

    @classmethod
    def mixture(cls, log_age: np.ndarray, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `History`."""
        return cls.bins_of(column).mixture(log_age)

    @classmethod
    def younger(cls, age: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        return cls.bins_of(tensors(column)).younger(age)

    @classmethod
    def lookback(cls, share: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        return cls.bins_of(tensors(column)).lookback(share)

    @classmethod
    def mean_age(cls, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        return cls.bins_of(tensors(column)).mean_age()

    @staticmethod
    def straight(theta: np.ndarray) -> np.ndarray:
        """See `History`: a chain walks in the columns as they are."""
        return theta

    @staticmethod
    def theta(straight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `History`."""
        return straight, np.zeros(len(straight))


def _compiled(edges: Tensor, drop: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
    """`Bins.mixture` in one pass."""
    components = 3 * edges.shape[1]
    shape = len(edges), components + -components % 4
    index, share = np.empty(shape, np.int32), np.empty(shape, np.float32)
    formed_until(*(x.contiguous().numpy() for x in (edges, drop, age)), index, share)
    return torch.from_numpy(index), torch.from_numpy(share)


def tensors(column: Mapping[str, np.ndarray | float]) -> dict[str, Tensor]:
    """Columns in float64, shape (n,) each."""
    return {
        name: torch.atleast_1d(torch.as_tensor(np.asarray(values, dtype=float)))
        for name, values in column.items()
    }


def names_of(stem: str, names: Collection[str]) -> list[str]:
    """stem_1, stem_2 ... as far as there are any among some names."""
    numbers = takewhile(lambda i: f"{stem}_{i}" in names, count(1))
    return [f"{stem}_{i}" for i in numbers]


def numbered(column: Mapping[str, Tensor], stem: str) -> Tensor:
    """Columns stem_1, stem_2 ... as far as there are any, shape (n, columns)."""
    return torch.stack([column[name] for name in names_of(stem, column)], 1)


def log_rates(ratios: Tensor) -> Tensor:
    """ln of the star formation rate of each bin over that of the youngest, shape (n, bins).

    Arguments:
        ratios: log10 of each bin's rate over that of the next older, shape (n, bins - 1).
    """
    return torch.cat([torch.zeros_like(ratios[:, :1]), -LN10 * ratios.cumsum(1)], 1)


def _column(values: np.ndarray | float) -> Tensor:
    return torch.atleast_1d(torch.as_tensor(np.asarray(values, dtype=float)))[:, None]
