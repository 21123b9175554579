"""The star-formation history t exp(-t / tau) since tage, and its coordinates for chains."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.special import expi, gammainc, gammaincc, gammaincinv
from torch import Tensor

from hpcsbi.simulator.galaxy.interpolation import Plane, axis_over
from hpcsbi.simulator.theta.column import Column

__all__ = ["DelayedTau", "delayed_tau_weights", "mean_share"]

TAGE_MIN = 1e-6  # Gyr; FSPS reads 0 as "all ages", and makes nothing below a year
SOFTENING = 3e-4  # Gyr; spectra do not change below it
STEP_AGE, STEP_TAU = 0.027, 0.155  # of ln(tage + softening) and of ln tau
MEDIAN = 1.7  # of the gamma distribution of shape 2
STEEPEST = 1e4  # tau over the time that stars form in; what is above it makes the same history
FARTHEST = 20.0  # of a logarithm: outside of every prior


class DelayedTau:
    """See `histories.History`.

    Its components are histories on a grid of ln(tage + softening) and ln tau; a cubic lies between.

    References:
        The paper's history; `parametric_sfh` of Prospector, sfh = 4 of FSPS.
    """

    names: ClassVar[tuple[str, ...]] = ("tage", "tau")
    further: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, float]] = {"tage": 1.0, "tau": 1.0}
    templates: ClassVar[tuple[str, ...]] = ("parametric_sfh",)
    source: ClassVar[str] = "CSPSpecBasis"
    curved: ClassVar[tuple[str, ...]] = names

    def __init__(self, columns: Mapping[str, Column]) -> None:
        age, tau = columns["tage"], columns["tau"]
        low, high = max(age.low, TAGE_MIN) + SOFTENING, age.high + SOFTENING
        self.grid = Plane(axis_over(low, high, STEP_AGE), axis_over(tau.low, tau.high, STEP_TAU))

    def weights(self, log_age: np.ndarray, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        return delayed_tau_weights(log_age, column["tage"], column["tau"])

    def components(self, log_age: np.ndarray) -> np.ndarray:
        """See `History`."""
        softened, tau = self.grid.nodes
        return delayed_tau_weights(log_age, np.maximum(softened - SOFTENING, TAGE_MIN), tau)

    def mixture(self, log_age: np.ndarray, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `History`."""
        softened = column["tage"].clamp_min(TAGE_MIN) + SOFTENING
        return self.grid.around(softened, column["tau"])

    @staticmethod
    def younger(age: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`: P(2, x) is what has formed by t = x tau, but for a factor."""
        tage, tau = np.maximum(column["tage"], TAGE_MIN), np.asarray(column["tau"])
        now, then = tage / tau, np.maximum(tage - age, 0) / tau
        rise, fall = gammainc(2, now) - gammainc(2, then), gammaincc(2, then) - gammaincc(2, now)
        return np.where(now < MEDIAN, rise, fall) / gammainc(2, now)  # neither loses its digits

    @staticmethod
    def lookback(share: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        tage, tau = np.maximum(column["tage"], TAGE_MIN), np.asarray(column["tau"])
        return tage - tau * gammaincinv(2, share * gammainc(2, tage / tau))

    @staticmethod
    def mean_age(column: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `History`."""
        tage = np.maximum(column["tage"], TAGE_MIN)
        return tage * mean_share(tage / np.asarray(column["tau"]))

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float]:
        """See `History`."""
        return {"tage": max(row["tage"], TAGE_MIN), "tau": row["tau"]}

    @staticmethod
    def straight(theta: np.ndarray) -> np.ndarray:
        """See `History`: ln of the mean age of the mass, Gyr, and ln of tage / tau.

        The mean age is tage - tau gamma(3, x) / gamma(2, x), x = tage / tau.
        """
        tage, tau = np.asarray(theta, dtype=float).T
        return np.stack([np.log(tage * mean_share(tage / tau)), np.log(tage / tau)], axis=1)

    @staticmethod
    def theta(straight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `History`; between the logarithms of both pairs the determinant is one."""
        straight = straight.clip(-FARTHEST, FARTHEST)
        x = np.exp(straight[:, 1])
        tage = np.exp(straight[:, 0]) / mean_share(x)
        theta = np.stack([tage, tage / x], axis=1)
        return theta, np.log(theta).sum(1)


def delayed_tau_weights(
    log_age: np.ndarray, tage: np.ndarray, tau: np.ndarray, quiet: np.ndarray | float = 0.0
) -> np.ndarray:
    """Mass that a delayed-tau history puts into each SSP, as FSPS does it.

    The history is t exp(-t / tau) from 0 to tage, or until it stops, normalised to one solar mass
    formed. SSPs are linear in log age between their ages; what is younger than the first belongs
    to it.

    Arguments:
        log_age: log10 of the SSPs' ages in years, ascending, shape (ages,).
        tage, tau: Gyr, shape (n,).
        quiet: time since star formation stopped, less than tage, Gyr, shape (n,).

    Returns:
        Weights that sum to one, float64, shape (n, ages).

    References:
        Conroy, Gunn & White 2009, arXiv:0809.4261, equation 1; the integrals are elementary but
        for the exponential integral Ei.
    """
    tage = np.maximum(np.asarray(tage, dtype=float), TAGE_MIN)[:, None] * 1e9
    tau = np.asarray(tau, dtype=float)[:, None] * 1e9
    quiet = np.atleast_1d(quiet).astype(float)[:, None] * 1e9
    # Beyond this the history is t to 1e-4, and the closed form loses all its digits.
    tau = np.minimum(tau, STEEPEST * (tage - quiet))
    nodes = np.concatenate([[0.0], log_age])  # 1 yr stands for no age at all
    log_t = np.clip(nodes, np.log10(np.maximum(quiet, 1.0)), np.log10(tage))
    t = 10**log_t
    # Everything is scaled by exp(-tage / tau), or tau of 0.1 Gyr overflows at 70 Gyr.
    grow = np.exp((t - tage) / tau)
    ei = np.exp(-tage / tau) * expi(t / tau)
    slope = (t - tage - tau) * grow  # of the primitive in log t
    offset = ((tage + tau) * ei - tau * grow) * math.log10(math.e)
    young, old = slice(None, -1), slice(1, None)
    width = np.diff(nodes)
    rise = np.diff(offset, axis=1)

    def between(reference: np.ndarray) -> np.ndarray:
        upper = slope[:, old] * (log_t[:, old] - reference)
        return upper - slope[:, young] * (log_t[:, young] - reference) + rise

    weights = np.zeros((len(tage), len(nodes)))
    weights[:, young] += between(nodes[old]) / width
    weights[:, old] -= between(nodes[young]) / width
    weights[:, 1] += weights[:, 0]
    weights = weights[:, 1:]
    return weights / weights.sum(1, keepdims=True)


def mean_share(x: np.ndarray) -> np.ndarray:
    """Mean age of the mass over tage, from 1/3 for constantly rising to 1 for a burst.

    Arguments:
        x: tage / tau, shape (n,).
    """
    few = x < 0.01  # 0 / 0, by its series
    y = np.where(few, 1.0, x)
    return np.where(few, 1 / 3 + x / 18, 1 - 2 * gammainc(3, y) / gammainc(2, y) / y)
