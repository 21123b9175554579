"""Star formation in bins of age whose fractions of the rate are a Dirichlet draw."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.galaxy.agebins import AgeBinnedHistory, columns_of, edges_since
from hpcsbi.simulator.galaxy.bins import Bins, numbered, tensors

__all__ = ["Dirichlet"]

LEAST = 1e-12  # of the rate of all bins together, in one


class Dirichlet(AgeBinnedHistory):
    """See `histories.History`.

    Bins are those of `Continuity`, see `agebins.edges_since`. What the rate of a bin is of the sum
    of all rates comes by broken sticks: the youngest has 1 - z_fraction_1, the next z_fraction_1
    (1 - z_fraction_2), the oldest the product of all. Where z_fraction_i is beta distributed with
    a = alpha (bins - i) and b = alpha, the fractions are Dirichlet distributed with concentration
    alpha: a prior that is conditional in the fractions is one of independent columns.

    References:
        Leja et al. 2017, arXiv:1609.09073, section 3.1; Betancourt 2010, arXiv:1010.3436;
        `dirichlet_sfh` and `zfrac_to_masses` of Prospector.
    """

    stem: ClassVar[str] = "z_fraction"
    names, further = columns_of(stem)
    example: ClassVar[Mapping[str, float]] = {"tage": 1.0} | dict.fromkeys(names[1:], 0.6)
    templates: ClassVar[tuple[str, ...]] = ("dirichlet_sfh",)

    @staticmethod
    def bins_of(column: Mapping[str, Tensor]) -> Bins:
        """See `BinnedHistory`."""
        left = numbered(column, Dirichlet.stem)
        rest = left.cumprod(1)
        before = torch.cat([torch.ones_like(rest[:, :1]), rest[:, :-1]], 1)
        share = torch.cat([before * (1 - left), rest[:, -1:]], 1)
        edges = edges_since(column, share.shape[1])
        return Bins.of_rates(edges, share.clamp_min(LEAST).log())

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float | np.ndarray]:
        """See `History`."""
        column = tensors(row)
        fractions = numbered(column, Dirichlet.stem)[0].numpy()
        agebins = Dirichlet.bins_of(column).prospector()
        return {"total_mass": 1.0, "agebins": agebins, "z_fraction": fractions}
