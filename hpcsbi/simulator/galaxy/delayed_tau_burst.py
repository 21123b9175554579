"""The history t exp(-t / tau) since tage with an instantaneous burst, as FSPS adds it."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.galaxy.delayed_tau import TAGE_MIN, DelayedTau, delayed_tau_weights
from hpcsbi.simulator.galaxy.interpolation import interval
from hpcsbi.simulator.theta.column import Column

__all__ = ["DelayedTauBurst", "burst_weights"]

TINY = 1e-12  # where all forms in the burst
YOUNGEST = 1e-9  # Gyr; a year stands for no age at all, as in FSPS


class DelayedTauBurst:
    """See `histories.History`.

    `fburst` of the mass forms at once, the rest as in `DelayedTau`. When it does is told by the age
    of the burst as a fraction of tage: no burst is older than the galaxy, the prior stays a box,
    and flat in the logarithm it gives young bursts, which a spectrum shows best, their due.
    Prospector's fage_burst is one less this.

    Its components are those of `DelayedTau` and then the SSPs of every age; a burst is mixed of the
    two SSPs around it, linearly in the logarithm of age, which is what FSPS does.

    References:
        `parametric_sfh` with `burst_sfh` of Prospector, sfh = 4 of FSPS with fburst and tburst.
    """

    names: ClassVar[tuple[str, ...]] = ("tage", "tau", "fburst", "burst_age_fraction")
    further: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, float]] = {
        "tage": 1.0, "tau": 1.0, "fburst": 0.1, "burst_age_fraction": 0.1,
    }  # fmt: skip
    templates: ClassVar[tuple[str, ...]] = ("parametric_sfh", "burst_sfh")
    source: ClassVar[str] = "CSPSpecBasis"
    # Not the burst's age: where the burst is weak it is free to the ends of its range, at which the
    # probit of it has no edges (half the autocorrelation time of that of ln age, NGC 3522).
    curved: ClassVar[tuple[str, ...]] = DelayedTau.curved

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.smooth = DelayedTau(columns)

    def weights(self, log_age: np.ndarray, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        share = np.asarray(column["fburst"], dtype=float)[:, None]
        tage = np.maximum(column["tage"], TAGE_MIN)
        burst = burst_weights(log_age, tage * column["burst_age_fraction"])
        return (1 - share) * delayed_tau_weights(log_age, tage, column["tau"]) + share * burst

    def components(self, log_age: np.ndarray) -> np.ndarray:
        """See `History`."""
        return np.concatenate([self.smooth.components(log_age), np.eye(len(log_age))])

    def mixture(self, log_age: np.ndarray, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `History`."""
        share = column["fburst"].clamp(0, 1)[:, None]
        index, smooth = self.smooth.mixture(log_age, column)
        age = column["tage"].clamp_min(TAGE_MIN) * column["burst_age_fraction"]
        younger, burst = _around(log_age, age)
        # Twice, the second time for nothing: shares come in fours.
        pair = torch.stack([younger, younger + 1, younger, younger + 1], 1).int()
        ssps = torch.cat([share * burst, torch.zeros_like(burst) * share], 1)
        return (
            torch.cat([index, self.smooth.grid.size + pair], 1),
            torch.cat([(1 - share) * smooth, ssps], 1),
        )

    @staticmethod
    def younger(age: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        rest = (1 - column["fburst"]) * DelayedTau.younger(age, column)
        return rest + column["fburst"] * (_burst_age(column) <= age)

    @staticmethod
    def lookback(share: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`; while the burst forms it is its age."""
        burst, age = np.asarray(column["fburst"]), _burst_age(column)
        rest = np.maximum(1 - burst, TINY)
        before = rest * (1 - DelayedTau.younger(age, column))
        smooth = np.where(share < before, share, share - burst) / rest
        time = DelayedTau.lookback(smooth.clip(0, 1), column)
        return np.where((share >= before) & (share <= before + burst), age, time)

    @staticmethod
    def mean_age(column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        rest = (1 - column["fburst"]) * DelayedTau.mean_age(column)
        return rest + column["fburst"] * _burst_age(column)

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float]:
        """See `History`."""
        burst = {"fburst": row["fburst"], "fage_burst": 1 - row["burst_age_fraction"]}
        return DelayedTau.prospector(row) | burst

    straight = staticmethod(DelayedTau.straight)
    theta = staticmethod(DelayedTau.theta)


def burst_weights(log_age: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Mass that a burst puts into each SSP, as FSPS does it: linear in the logarithm of age.

    What is younger than the first SSP belongs to it, what is older than the last to that.

    Arguments:
        log_age: log10 of the SSPs' ages in years, ascending, shape (ages,).
        age: of the burst, Gyr, shape (n,).

    Returns:
        Weights that sum to one, float64, shape (n, ages).

    References:
        `sfh_weight` of FSPS, for its burst and for sfh = 0.
    """
    younger, shares = _around(log_age, torch.as_tensor(age, dtype=torch.float64))
    pair = torch.stack([younger, younger + 1], 1)
    return torch.zeros(len(pair), len(log_age)).double().scatter_(1, pair, shares).numpy()


def _burst_age(column: Mapping[str, np.ndarray]) -> np.ndarray:
    """Gyr, shape (n,)."""
    return np.maximum(column["tage"], TAGE_MIN) * column["burst_age_fraction"]


def _around(log_age: np.ndarray, age: Tensor) -> tuple[Tensor, Tensor]:
    """The younger of the two SSPs around each age and the shares of both, shapes (n,), (n, 2)."""
    nodes = torch.as_tensor(log_age, dtype=age.dtype, device=age.device)
    younger, right = interval(nodes, torch.log10(age.clamp_min(YOUNGEST)) + 9)
    return younger, torch.stack([1 - right, right], 1)
