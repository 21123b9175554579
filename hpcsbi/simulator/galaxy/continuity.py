"""Star formation in bins of age with ratios between neighbours: the continuity prior's history."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from hpcsbi.simulator.galaxy.agebins import AgeBinnedHistory, columns_of, edges_since
from hpcsbi.simulator.galaxy.bins import Bins, log_rates, numbered, tensors

__all__ = ["Continuity"]


class Continuity(AgeBinnedHistory):
    """See `histories.History`.

    The rate is constant in bins that begin with the galaxy, `tage` ago, see `agebins.edges_since`.
    logsfr_ratio_1 is log10 of the rate in the youngest over that in the next, and so on; as many as
    there are make one bin more. With tage given as the age of the Universe and Student's t for the
    ratios it is the continuity prior.

    References:
        Leja et al. 2019, arXiv:1811.03637, section 2.2.3 and 4.1; `continuity_sfh` of Prospector.
    """

    stem: ClassVar[str] = "logsfr_ratio"
    names, further = columns_of(stem)
    example: ClassVar[Mapping[str, float]] = {"tage": 1.0} | dict.fromkeys(names[1:], 0.0)
    templates: ClassVar[tuple[str, ...]] = ("continuity_sfh",)

    @staticmethod
    def bins_of(column: Mapping[str, Tensor]) -> Bins:
        """See `BinnedHistory`."""
        log_rate = log_rates(numbered(column, Continuity.stem))
        return Bins.of_rates(edges_since(column, log_rate.shape[1]), log_rate)

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float | np.ndarray]:
        """See `History`."""
        column = tensors(row)
        ratios = numbered(column, Continuity.stem)[0].numpy()
        agebins = Continuity.bins_of(column).prospector()
        return {"logmass": 0.0, "agebins": agebins, "logsfr_ratios": ratios}
