"""Star formation in bins of age with ratios between neighbours: the continuity prior's history."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from hpcsbi.simulator.agebins import (
    EDGES,
    FEWEST,
    MOST,
    YOUNGEST_GALAXY,
    check_edges,
    edges_since,
)
from hpcsbi.simulator.bins import BinnedHistory, Bins, log_rates, names_of, numbered, tensors
from hpcsbi.simulator.column import Column

__all__ = ["Continuity"]


class Continuity(BinnedHistory):
    """See `histories.History`.

    The rate is constant in bins that begin with the galaxy, `tage` ago, see `agebins.edges_since`.
    logsfr_ratio_1 is log10 of the rate in the youngest over that in the next, and so on; as many as
    there are make one bin more. With tage given as the age of the Universe and Student's t for the
    ratios it is the continuity prior.

    References:
        Leja et al. 2019, arXiv:1811.03637, section 2.2.3 and 4.1; `continuity_sfh` of Prospector.
    """

    names: ClassVar[tuple[str, ...]] = (
        "tage", *(f"logsfr_ratio_{i}" for i in range(1, FEWEST)),
    )  # fmt: skip
    further: ClassVar[tuple[str, ...]] = (
        *(f"logsfr_ratio_{i}" for i in range(FEWEST, MOST)), *EDGES,
    )  # fmt: skip
    example: ClassVar[Mapping[str, float]] = {"tage": 1.0} | dict.fromkeys(names[1:], 0.0)
    templates: ClassVar[tuple[str, ...]] = ("continuity_sfh",)

    def __init__(self, columns: Mapping[str, Column]) -> None:
        super().__init__(columns)
        check_edges(columns, 1 + len(names_of("logsfr_ratio", columns)))

    @staticmethod
    def youngest_galaxy(columns: Mapping[str, Column]) -> float:
        """See `BinnedHistory`."""
        return YOUNGEST_GALAXY

    @staticmethod
    def bins_of(column: Mapping[str, Tensor]) -> Bins:
        """See `BinnedHistory`."""
        log_rate = log_rates(numbered(column, "logsfr_ratio"))
        return Bins.of_rates(edges_since(column, log_rate.shape[1]), log_rate)

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float | np.ndarray]:
        """See `History`."""
        column = tensors(row)
        ratios = numbered(column, "logsfr_ratio")[0].numpy()
        agebins = Continuity.bins_of(column).prospector()
        return {"logmass": 0.0, "agebins": agebins, "logsfr_ratios": ratios}
