"""What a column of the prior may be but flat: scipy's distributions, cut to the column's range."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from hpcsbi.arguments import OneOf, Positive, refuse_wrong
from hpcsbi.errors import BadInput

__all__ = ["KINDS", "Distribution", "make_distribution"]

LEAST_MASS = 1e-6  # of a distribution inside its range; with less, one of the two is a mistake
LARGEST_PAD = 0.5  # of the prior's mass, at either end


def normal(mean: float, sd: Positive) -> Any:
    """The normal distribution."""
    return stats.norm(mean, sd)


def student_t(mean: float, scale: Positive, degrees: Positive) -> Any:
    """Student's t with so many degrees of freedom, for tails that forgive."""
    return stats.t(degrees, mean, scale)


def beta(a: Positive, b: Positive) -> Any:
    """The beta distribution over the whole range."""
    return stats.beta(a, b)


# Functions that make a frozen distribution of scipy, by their names; one on the unit interval is
# stretched over the range. A Rule in their annotations tells which numbers they take.
KINDS: dict[str, Callable[..., Any]] = {
    "normal": normal,
    "student_t": student_t,
    "beta": beta,
}


class Distribution:
    """A distribution that is cut to a range, and has a mass of one there.

    Arguments:
        whole: frozen distribution of scipy.stats; one on [0, 1] is stretched over the range.
        low, high: the range.
    """

    def __init__(self, whole: Any, low: float, high: float) -> None:
        self.low, self.high = float(low), float(high)
        stretched = whole.support() == (0.0, 1.0)
        self._whole = whole
        self._shift, self._unit = (self.low, self.high - self.low) if stretched else (0.0, 1.0)
        low, high = self._scaled(np.array([self.low, self.high]))
        self._below, self._above = whole.cdf(low), whole.sf(high)
        self.mass = float(whole.cdf(high) - self._below)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Share of the mass below x."""
        return ((self._whole.cdf(self._scaled(x)) - self._below) / self.mass).clip(0, 1)

    def quantile(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """The x that has these shares of the mass below and above it.

        Arguments:
            below, above: they add up to one; both, because a number near one has lost its tail.
        """
        lower = self._whole.ppf(self._below + self.mass * np.minimum(below, 0.5))
        upper = self._whole.isf(self._above + self.mass * np.minimum(above, 0.5))
        x = np.where(below < above, lower, upper)
        return (self._shift + self._unit * x).clip(self.low, self.high)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density at x, which lies in the range."""
        return self._whole.logpdf(self._scaled(x)) - np.log(self.mass * self._unit)

    def widened(self, unit: np.ndarray, pad: float) -> np.ndarray:
        """Points of the unit interval as draws of a wider distribution, this one where it is cut.

        Beyond either end its density goes on as it is there, for `pad`, or for as far as that is
        half of the mass, so that most draws are of use.

        Arguments:
            unit: between 0 and 1.
            pad: not negative.
        """
        density = np.exp(self.log_density(np.array([self.low, self.high])))
        share = np.minimum(pad * density, LARGEST_PAD)
        mass = unit * (1 + share.sum()) - share[0]
        x = self.quantile(mass.clip(0, 1), (1 - mass).clip(0, 1))
        slope = np.where(share > 0, density, 1.0)  # where nothing is beyond an end it may be 0
        return x + np.minimum(mass, 0) / slope[0] + np.maximum(mass - 1, 0) / slope[1]

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (np.asarray(x, dtype=float) - self._shift) / self._unit


def make_distribution(
    settings: Mapping[str, Any], low: float, high: float, where: str
) -> Distribution:
    """The distribution that settings describe.

    Arguments:
        settings: {"kind": one of KINDS} and the arguments of its function.
        low, high: the range.
        where: whose they are, for the words.

    Raises:
        BadInput: an unknown kind, wrong arguments, hardly any mass in the range, or a density
            without an end.

    Example:
        >>> bell = make_distribution({"kind": "normal", "mean": 0, "sd": 1}, -1, 1, "dust2")
        >>> float(round(bell.mass, 3))
        0.683
    """
    if not isinstance(settings, Mapping) or "kind" not in settings:
        raise BadInput(f"{where} is {settings!r}: it takes kind, one of {', '.join(KINDS)}.")
    kind, numbers = settings["kind"], {k: v for k, v in settings.items() if k != "kind"}
    if kind not in KINDS:
        raise BadInput(f"{where}.kind is {kind!r}: {OneOf(KINDS).words(kind)}")
    refuse_wrong(KINDS[kind], numbers, where, whole=True)
    distribution = Distribution(KINDS[kind](**numbers), low, high)
    if not distribution.mass > LEAST_MASS:
        raise BadInput(
            f"{where}: of the {kind} distribution only {distribution.mass:.1g} lies between "
            f"{low:.6g} and {high:.6g}: move it, or the range."
        )
    if np.isposinf(distribution.log_density(np.array([low, high]))).any():
        raise BadInput(
            f"{where}: the density of the {kind} distribution is infinite at an end of the range: "
            "take numbers that keep it finite (of beta, a and b from 1 on)."
        )
    return distribution
