"""Star formation in bins whose edges move: the history of post-starburst galaxies."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.bins import BinnedHistory, Bins, log_rates, numbered, tensors
from hpcsbi.simulator.theta.column import Column

__all__ = ["PostStarburst"]

FLEXIBLE_AGE = 2.0  # Gyr, older end of the flexible bins
LEAST_FLEXIBLE, LEAST_FIXED = 0.1, 0.5  # Gyr, of the flexible bins together, and of the fixed ones
ROUNDING = 1e-9  # Gyr
NARROWEST = 1e-3  # Gyr, of a flexible bin; Prospector makes no narrower ones
LN10 = float(np.log(10))


class PostStarburst(BinnedHistory):
    """See `histories.History`.

    The youngest bin ends `tlast` ago. Between tlast and `tflex` (2 Gyr without that column) lie
    flexible bins that form equal masses, so that their edges gather where the rate is high;
    logsfr_ratio_1 and on are log10 of the rate in one over that in the next older. Three bins of
    equal width reach from there to the beginning, `tage` ago. logsfr_ratio_young is the youngest
    bin's rate over that of the first flexible one, logsfr_ratio_old_1 that of the last flexible one
    over the next, and so on.

    References:
        Suess et al. 2022, arXiv:2111.14878, section 3; `continuity_psb_sfh` of Prospector.
    """

    names: ClassVar[tuple[str, ...]] = (
        "tage", "tlast", "logsfr_ratio_young", "logsfr_ratio_1", "logsfr_ratio_2",
        "logsfr_ratio_3", "logsfr_ratio_4", "logsfr_ratio_old_1", "logsfr_ratio_old_2",
        "logsfr_ratio_old_3",
    )  # fmt: skip
    further: ClassVar[tuple[str, ...]] = ("tflex",)
    example: ClassVar[Mapping[str, float]] = dict.fromkeys(names, 0.0) | {
        "tage": 5.0, "tlast": 0.2,
    }  # fmt: skip
    templates: ClassVar[tuple[str, ...]] = ("continuity_psb_sfh",)

    def __init__(self, columns: Mapping[str, Column]) -> None:
        super().__init__(columns)
        tlast = columns["tlast"].high
        tflex = columns["tflex"].low if "tflex" in columns else FLEXIBLE_AGE
        if tlast > tflex - LEAST_FLEXIBLE + ROUNDING:
            raise BadInput(
                f"prior of tlast reaches {tlast:g} Gyr, and the flexible bins of age end at "
                f"{tflex:g} (tflex): let it reach {tflex - LEAST_FLEXIBLE:g} in conf/prior."
            )

    @staticmethod
    def youngest_galaxy(columns: Mapping[str, Column]) -> float:
        """See `BinnedHistory`: three bins fit in before the flexible ones."""
        return (columns["tflex"].high if "tflex" in columns else FLEXIBLE_AGE) + LEAST_FIXED

    @staticmethod
    def bins_of(column: Mapping[str, Tensor]) -> Bins:
        """See `BinnedHistory`."""
        tflex = column.get("tflex", torch.full_like(column["tage"], FLEXIBLE_AGE))
        tage = torch.maximum(column["tage"], tflex + LEAST_FIXED)
        tlast = torch.minimum(column["tlast"], tflex - LEAST_FLEXIBLE)
        # They form equal masses: where the rate is higher they are shorter.
        log_width = -log_rates(numbered(column, "logsfr_ratio"))
        width = (log_width.softmax(1) * (tflex - tlast)[:, None]).clamp_min(NARROWEST)
        width = width * ((tflex - tlast) / width.sum(1))[:, None]
        flexible, log_width = tlast[:, None] + width.cumsum(1), width.log()
        old = numbered(column, "logsfr_ratio_old")
        steps = torch.arange(1, old.shape[1] + 1, dtype=tage.dtype, device=tage.device)
        fixed = tflex[:, None] + (tage - tflex)[:, None] * steps / old.shape[1]
        edges = torch.cat([tlast[:, None], flexible, fixed], 1)
        log_rate = -log_width
        young = log_rate[:, :1] + LN10 * column["logsfr_ratio_young"][:, None]
        before = log_rate[:, -1:] + log_rates(old)[:, 1:]
        return Bins.of_rates(edges, torch.cat([young, log_rate, before], 1))

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float | np.ndarray]:
        """See `History`."""
        column = tensors(row)
        ratios, old = (
            numbered(column, stem)[0].numpy() for stem in ("logsfr_ratio", "logsfr_ratio_old")
        )
        return {
            "logmass": 0.0,
            "agebins": PostStarburst.bins_of(column).prospector(),
            "tlast": row["tlast"],
            "tflex": row.get("tflex", FLEXIBLE_AGE),
            "nflex": len(ratios) + 1,
            "nfixed": len(old),
            "logsfr_ratio_young": row["logsfr_ratio_young"],
            "logsfr_ratios": ratios,
            "logsfr_ratio_old": old,
        }
