"""Star formation in bins of age with ratios between neighbours: the continuity prior's history."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.bins import BinnedHistory, Bins, log_rates, numbered, tensors

__all__ = ["FEWEST", "MOST", "YOUNGEST_GALAXY", "Continuity", "edges_since"]

YOUNG = (0.03, 0.1)  # Gyr, older ends of the two youngest bins
OLDEST = 0.85  # of tage, where the oldest bin begins
FEWEST, MOST = 4, 14  # bins
YOUNGEST_GALAXY = 0.2  # Gyr; below it the bins do not ascend


class Continuity(BinnedHistory):
    """See `histories.History`.

    The rate is constant in bins that begin with the galaxy, `tage` ago: 0 to 30 Myr, to 100 Myr,
    then equal ones in the logarithm up to .85 of tage, and the oldest. logsfr_ratio_1 is log10 of
    the rate in the youngest over that in the next, and so on; as many as there are make one bin
    more. With tage given as the age of the Universe and Student's t for the ratios it is the
    continuity prior.

    References:
        Leja et al. 2019, arXiv:1811.03637, section 2.2.3 and 4.1; `continuity_sfh` and
        `adjust_continuity_agebins` of Prospector.
    """

    names: ClassVar[tuple[str, ...]] = (
        "tage", *(f"logsfr_ratio_{i}" for i in range(1, FEWEST)),
    )  # fmt: skip
    further: ClassVar[tuple[str, ...]] = tuple(f"logsfr_ratio_{i}" for i in range(FEWEST, MOST))
    example: ClassVar[Mapping[str, float]] = {"tage": 1.0} | dict.fromkeys(names[1:], 0.0)
    templates: ClassVar[tuple[str, ...]] = ("continuity_sfh",)
    youngest_galaxy: ClassVar[float] = YOUNGEST_GALAXY

    @staticmethod
    def bins_of(column: Mapping[str, Tensor]) -> Bins:
        """See `BinnedHistory`."""
        log_rate = log_rates(numbered(column, "logsfr_ratio"))
        return Bins.of_rates(edges_since(column["tage"], log_rate.shape[1]), log_rate)

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float | np.ndarray]:
        """See `History`."""
        column = tensors(row)
        ratios = numbered(column, "logsfr_ratio")[0].numpy()
        agebins = Continuity.bins_of(column).prospector()
        return {"logmass": 0.0, "agebins": agebins, "logsfr_ratios": ratios}


def edges_since(tage: Tensor, bins: int) -> Tensor:
    """Older ends of so many bins, Gyr, shape (n, bins); see `Continuity`.

    Arguments:
        tage: Gyr, shape (n,).
        bins: at least FEWEST.
    """
    tage = tage.clamp_min(YOUNGEST_GALAXY)
    young = [torch.full_like(tage, edge) for edge in YOUNG]
    last = (OLDEST * tage / YOUNG[-1]).log()
    steps = bins - len(young) - 1
    middle = [YOUNG[-1] * (last * i / steps).exp() for i in range(1, steps + 1)]
    return torch.stack([*young, *middle, tage], 1)
