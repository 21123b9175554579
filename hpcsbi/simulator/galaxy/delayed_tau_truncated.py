"""The history t exp(-t / tau) since tage that stops at once, as FSPS truncates it."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from hpcsbi.simulator.galaxy.delayed_tau import (
    FARTHEST,
    STEEPEST,
    TAGE_MIN,
    DelayedTau,
    delayed_tau_weights,
    mean_share,
)
from hpcsbi.simulator.galaxy.interpolation import Plane, axis_over, interval
from hpcsbi.simulator.theta.column import Column

__all__ = ["DelayedTauTruncated"]

LATEST = 1e-9  # Gyr; a year stands for no time at all, as in FSPS
YOUNGEST = 1e-3  # Gyr; all histories below it are alike
STEP_AGE, STEP_TAU = 0.3, 1.0  # of ln tage and of ln tau, of the histories that do not stop
LN10 = math.log(10)
# Places between 0 and 1, and what they count, in the mean over a cell of the SSPs' ages: five are
# good to 1e-4 of the flux where tau is a tenth of the cell, and to 1e-12 in the median.
GAUSS = [((x + 1) / 2, weight / 2) for x, weight in zip(*map(list, leggauss(5)), strict=True)]


class DelayedTauTruncated:
    """See `histories.History`.

    A galaxy that was quenched at once. When is told by the time since then as a fraction of tage,
    so that the prior stays a box; FSPS's sf_trunc is the rest of tage.

    Its components are the SSPs themselves, of which a history takes those that its stars have the
    ages of: a grid in three numbers would be thousands of times larger. Some histories that do not
    stop stand behind them, for the table's basis to be one of histories too: no mixture has them.

    References:
        `parametric_sfh` of Prospector, sfh = 4 of FSPS with sf_trunc.
    """

    names: ClassVar[tuple[str, ...]] = ("tage", "tau", "truncation_age_fraction")
    further: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, float]] = {
        "tage": 1.0, "tau": 1.0, "truncation_age_fraction": 0.1,
    }  # fmt: skip
    templates: ClassVar[tuple[str, ...]] = ("parametric_sfh",)
    source: ClassVar[str] = "CSPSpecBasis"
    curved: ClassVar[tuple[str, ...]] = names

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.fraction = columns["truncation_age_fraction"]
        age, tau = columns["tage"], columns["tau"]
        ages = axis_over(max(age.low, YOUNGEST), age.high, STEP_AGE)
        self.whole = Plane(ages, axis_over(tau.low, tau.high, STEP_TAU))

    def weights(self, log_age: np.ndarray, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        tage = np.maximum(column["tage"], TAGE_MIN)
        return delayed_tau_weights(
            log_age, tage, column["tau"], tage * column["truncation_age_fraction"]
        )

    def components(self, log_age: np.ndarray) -> np.ndarray:
        """See `History`."""
        return np.concatenate(
            [np.eye(len(log_age)), delayed_tau_weights(log_age, *self.whole.nodes)]
        )

    def mixture(self, log_age: np.ndarray, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `History`.

        The mass in an SSP is the mean of the mass older than t, over the cell of log t below it,
        less that over the cell above it. In float64, as the mass of a short history is a
        difference.
        """
        low, high = self.fraction.low, self.fraction.high
        tage, tau = column["tage"].double().clamp_min(TAGE_MIN), column["tau"].double()
        quiet = tage * column["truncation_age_fraction"].double().clamp(low, high)
        first, last = (torch.log10(t.clamp_min(LATEST))[:, None] + 9 for t in (quiet, tage))
        nodes, size = self._window(log_age)
        nodes, end = torch.as_tensor(nodes, device=tage.device), len(log_age) - 1
        start = interval(nodes, first[:, 0])[0].clamp_max(end)[:, None]
        index = start + torch.arange(size, device=tage.device)
        edges = nodes[torch.cat([index, index[:, -1:] + 1], 1)]
        inside = torch.minimum(torch.maximum(edges, first), last)
        younger, width = inside[:, :-1], inside.diff(dim=1)
        duration = (tage - quiet)[:, None]
        rate = 1 / torch.minimum(tau[:, None], STEEPEST * duration)
        log_younger, log_width = LN10 * (younger - 9), LN10 * width
        rest = torch.zeros_like(width)  # formed after each age, of all that would be without an end
        for place, part in GAUSS:
            age = torch.exp(torch.add(log_younger, log_width, alpha=place))
            x = (tage[:, None] - age) * rate
            rest = torch.add(rest, torch.exp(-x) * (1 + x), alpha=part)
        x = duration * rate
        older = width * (1 - rest) / (1 - torch.exp(-x) * (1 + x))
        # All mass is older than what is younger than the end of formation.
        older = (older + torch.minimum(edges, first).diff(dim=1)) / edges.diff(dim=1)
        share = torch.cat([torch.ones_like(older[:, :1]), older[:, :-1]], 1) - older
        return index.clamp_max(end).int(), share.to(column["tage"].dtype)

    def _window(self, log_age: np.ndarray) -> tuple[np.ndarray, int]:
        """Nodes, some more behind the last, and how many of them a history can lie among."""
        span = -math.log10(max(self.fraction.low, 1e-30))
        last = np.searchsorted(log_age, log_age[1:] + span)
        most = (last - np.arange(len(last))).max() + 1
        size = 4 * math.ceil(min(most, len(log_age)) / 4)
        behind = (log_age[-1] - log_age[-2]) * np.arange(1, size + 1)
        return np.concatenate([log_age, log_age[-1] + behind]), size

    @staticmethod
    def younger(age: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`: nothing since formation stopped."""
        quiet, before = _until_then(column)
        return DelayedTau.younger(np.maximum(age - quiet, 0), before)

    @staticmethod
    def lookback(share: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        quiet, before = _until_then(column)
        return quiet + DelayedTau.lookback(share, before)

    @staticmethod
    def mean_age(column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        quiet, before = _until_then(column)
        return quiet + DelayedTau.mean_age(before)

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float]:
        """See `History`."""
        plain = DelayedTau.prospector(row)
        return plain | {"sf_trunc": plain["tage"] * (1 - row["truncation_age_fraction"])}

    @staticmethod
    def straight(theta: np.ndarray) -> np.ndarray:
        """See `History`: ln of the mean age of the mass, Gyr, of duration / tau, quiet / duration.

        The duration is the time in which stars form, quiet that since then; the mean age at the
        end of it is that of `DelayedTau`.
        """
        tage, tau, fraction = np.asarray(theta, dtype=float).T
        duration, quiet = tage * (1 - fraction), tage * fraction
        mean = quiet + duration * mean_share(duration / tau)
        return np.log(np.stack([mean, duration / tau, quiet / duration], axis=1))

    @staticmethod
    def theta(straight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `History`; ln of the mean age has the slope of ln of the duration."""
        mean, x, ratio = np.exp(straight.clip(-FARTHEST, FARTHEST)).T
        duration = mean / (ratio + mean_share(x))
        fraction = ratio / (1 + ratio)
        theta = np.stack([duration * (1 + ratio), duration / x, fraction], axis=1)
        return theta, np.log(theta).sum(1) - np.log1p(ratio)


def _until_then(column: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Gyr since formation stopped, and the delayed tau that had formed until then."""
    tage = np.maximum(column["tage"], TAGE_MIN)
    quiet = tage * column["truncation_age_fraction"]
    return quiet, {"tage": tage - quiet, "tau": column["tau"]}
