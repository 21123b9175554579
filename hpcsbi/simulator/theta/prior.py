"""The prior: named, ordered columns of theta, each with a distribution of its own, or flat."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import exp10

from hpcsbi.simulator.theta.column import Column, check_column, inner_bounds
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.distributions import Distribution, make_distribution
from hpcsbi.simulator.theta.given import Given
from hpcsbi.simulator.theta.parameters import parameter

__all__ = ["Prior"]


@dataclass(frozen=True)
class Prior:
    """Independent columns in a fixed order.

    Its density is that of the inferred columns, whatever the given ones are in their ranges.

    Arguments:
        columns: name -> Column (or its fields); the order is that of theta's columns.
        bound_age: inferred ages end at that of the Universe at the object's redshift.

    Raises:
        ValueError: an unknown name, an empty range, a range that FSPS cannot make, a wrong
            distribution, or a column that cannot be given.

    Example:
        >>> prior = Prior({"logmass": Column(8, 13), "tau": Column(0.1, 1.0, log=True)})
        >>> prior.names
        ('logmass', 'tau')
        >>> prior.support(np.array([[10.0, 0.5], [10.0, 2.0]]))
        array([ True, False])
    """

    columns: Mapping[str, Column] = field(hash=False)
    bound_age: bool = False

    def __post_init__(self) -> None:
        columns = {
            name: column if isinstance(column, Column) else Column(**column)
            for name, column in self.columns.items()
        }
        object.__setattr__(self, "columns", columns)
        for name, column in columns.items():
            check_column(name, column)
        _ = self.distributions, self.given  # wrong ones are told now

    @property
    def names(self) -> tuple[str, ...]:
        """Names of theta's columns, in order."""
        return tuple(self.columns)

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Names of the columns that are inferred but are not properties of the galaxy."""
        return tuple(name for name, column in self.columns.items() if column.nuisance)

    @cached_property
    def given(self) -> Given:
        """The columns that are known of each object."""
        return Given(self.columns, self.bound_age)

    @property
    def inferred(self) -> np.ndarray:
        """True for columns that are inferred, which are those not given, shape (n_theta,)."""
        return self.given.inferred

    @property
    def inferred_names(self) -> tuple[str, ...]:
        """Names of the columns that are inferred, in order."""
        return tuple(name for name in self.names if name not in self.given.names)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column."""
        return {name: parameter(name).unit for name in self.names}

    @cached_property
    def log(self) -> np.ndarray:
        """True for columns whose coordinate is log10, shape (n_theta,)."""
        return np.array([column.log for column in self.columns.values()])

    @cached_property
    def ages(self) -> np.ndarray:
        """True for columns that are ages, shape (n_theta,)."""
        return np.array([parameter(name).age for name in self.columns])

    @cached_property
    def low(self) -> np.ndarray:
        """Lower bounds in coordinates (log10 for log columns), shape (n_theta,)."""
        return self._flat(self.bounds[0])

    @cached_property
    def high(self) -> np.ndarray:
        """Upper bounds in coordinates (log10 for log columns), shape (n_theta,)."""
        return self._flat(self.bounds[1])

    @cached_property
    def distributions(self) -> dict[int, Distribution]:
        """Those of the columns that are not flat, over their coordinates, by the columns' numbers.

        Columns are flat, or distributed, in their coordinates, not in theta's own units.
        """
        return {
            i: make_distribution(
                column.distribution, self.low[i], self.high[i], f"prior.columns.{name}.distribution"
            )
            for i, (name, column) in enumerate(self.columns.items())
            if column.distribution is not None
        }

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """Theta with its log columns in log10; NaN stays NaN.

        Arguments:
            theta: parameters in their own units, shape (..., n_theta); what lies in the box stays
                in it.
        """
        theta = np.asarray(theta, dtype=float)
        flat, (low, high) = self._flat(theta), self.bounds
        inside = (theta >= low) & (theta <= high)
        return np.where(inside, flat.clip(self.low, self.high), flat)

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds in theta's own units, as they were given, shapes (n_theta,)."""
        columns = self.columns.values()
        low, high = zip(*((column.low, column.high) for column in columns), strict=True)
        return np.array(low, dtype=float), np.array(high, dtype=float)

    def theta(self, coordinates: np.ndarray, kind: type[np.floating] = np.float64) -> np.ndarray:
        """Inverse of `coordinates`, shape (..., n_theta); what lies in the box stays in it.

        Arguments:
            coordinates: shape (..., n_theta).
            kind: of the numbers; a bound that it does not have becomes its next one inside.
        """
        coordinates = np.asarray(coordinates, dtype=float)
        theta = coordinates.copy()
        theta[..., self.log] = exp10(coordinates[..., self.log])
        # 10^log10(0.03) is not 0.03, and 0.4 in float32 is above 0.4: digits must not move a bound.
        for end, bound in zip((self.low, self.high), self.bounds, strict=True):
            np.copyto(theta, bound, where=coordinates == end)
        theta = theta.astype(kind, copy=False)
        inside = (coordinates >= self.low) & (coordinates <= self.high)
        return theta.clip(*inner_bounds(self.bounds, kind), out=theta, where=inside)

    def sample(
        self, n: int, rng: np.random.Generator, zred: np.ndarray | float | None = None
    ) -> np.ndarray:
        """Draw n rows of theta, float64, (n, n_theta); `zred` bounds ages, and sets given ones."""
        return self.theta(self.sample_coordinates(n, rng, zred))

    def sample_coordinates(
        self, n: int, rng: np.random.Generator, zred: np.ndarray | float | None = None
    ) -> np.ndarray:
        """Draw the `coordinates` of n rows of theta; see `sample`."""
        unit = rng.random((n, len(self.names)))
        coordinates = self.from_unit(unit, 1 - unit, self.upper(zred))
        if zred is not None:
            coordinates[:, ~self.inferred] = self.given.at(zred)
        return coordinates

    def from_unit(self, below: np.ndarray, above: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Coordinates from a point of the unit cube: the prior is where such points are uniform.

        Arguments:
            below, above: share of each column's prior below and above it, shape (..., n_theta);
                both, though they add up to one, because a number near one has lost its tail.
            upper: where the columns end, see `upper`.
        """
        coordinates = self.low + (upper - self.low) * below
        for i, distribution in self.distributions.items():
            share = distribution.cdf(upper[..., i])
            rest = share * above[..., i] + (1 - share)
            coordinates[..., i] = distribution.quantile(share * below[..., i], rest)
            coordinates[..., i] = np.minimum(coordinates[..., i], upper[..., i])
        return coordinates

    def to_unit(self, coordinates: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Share of each column's prior below coordinates, the inverse of `from_unit`."""
        width = upper - self.low
        unit = (coordinates - self.low) / np.where(width == 0, 1.0, width)  # of a fixed one
        for i, distribution in self.distributions.items():
            unit[..., i] = distribution.cdf(coordinates[..., i]) / distribution.cdf(upper[..., i])
        return unit

    def widened(self, unit: np.ndarray, pad: np.ndarray | float) -> np.ndarray:
        """Coordinates from a point of the unit cube, under a prior that is wider by `pad` at either
        end and inside of its bounds in proportion to this one.

        Arguments:
            unit: shape (..., n_theta).
            pad: in coordinates, shape (n_theta,).
        """
        low, high = self.low - pad, self.high + pad
        coordinates = low + (high - low) * unit
        for i, distribution in self.distributions.items():
            each = np.broadcast_to(pad, self.low.shape)[i]
            coordinates[..., i] = distribution.widened(unit[..., i], each)
        return coordinates

    def inside(self, coordinates: np.ndarray, zred: np.ndarray | float | None = None) -> np.ndarray:
        """True where coordinates lie inside the box, bounds included, bool, shape (...).

        Arguments:
            coordinates: of theta, shape (..., n_theta); NaN lies outside.
            zred: redshifts that broadcast against their leading dimensions.
        """
        coordinates = np.asarray(coordinates)
        return ((coordinates >= self.low) & (coordinates <= self.upper(zred))).all(-1)

    def support(self, theta: np.ndarray, zred: np.ndarray | float | None = None) -> np.ndarray:
        """True where theta, own units, lies inside the box, bounds included, bool, shape (...).

        NaN lies outside. Bounds of float32 numbers are the float32 next to the given ones: 0.2 is
        above 0.2 there, and inside. What is at hand in coordinates asks `inside`.

        Arguments:
            theta: parameters, shape (..., n_theta).
            zred: redshifts that broadcast against theta's leading dimensions.
        """
        theta = np.asarray(theta)
        kind = theta.dtype if theta.dtype.kind == "f" else np.float64
        low, high = self.bounds[0], self.theta(self.upper(zred))
        return ((theta >= low.astype(kind)) & (theta <= high.astype(kind))).all(-1)

    def log_prob(self, theta: np.ndarray, zred: np.ndarray | float | None = None) -> np.ndarray:
        """Log density in theta's own units, -inf outside the support, shape (...)."""
        inside = self.support(theta, zred)
        theta = np.where(inside[..., None], np.asarray(theta, dtype=float), self.bounds[0])
        # Bounds of float32 numbers are a rounding further out.
        coordinates = self.coordinates(theta).clip(self.low, self.upper(zred))
        log_density = self.log_density(coordinates, zred)
        slope = np.log(np.where(self.log, theta * math.log(10), 1.0))  # no given one is in log
        return np.where(inside, log_density - slope.sum(-1), -np.inf)

    def log_density(
        self, coordinates: np.ndarray, zred: np.ndarray | float | None = None
    ) -> np.ndarray:
        """Log density in coordinates, -inf where they are not `inside`, shape (...)."""
        coordinates, upper = np.asarray(coordinates), self.upper(zred)
        inside = ((coordinates >= self.low) & (coordinates <= upper)).all(-1)
        log_density = self.log_shapes(coordinates).sum(-1) - np.log(self.volumes(upper)).sum(-1)
        return np.where(inside, log_density, -np.inf)

    def log_shapes(self, coordinates: np.ndarray) -> np.ndarray:
        """Log density of each column where no Universe ends it, 0 where it is flat, (..., n_theta).

        Divided by its `volumes` it is the density.
        """
        log_shapes = np.zeros(np.shape(coordinates))
        for i, distribution in self.distributions.items():
            log_shapes[..., i] = distribution.log_density(coordinates[..., i])
        return log_shapes

    def volumes(self, upper: np.ndarray) -> np.ndarray:
        """Integral of each column's shape to its end, (..., n_theta): 1 of a given one, 1e-300
        where nothing is left.

        Arguments:
            upper: where the columns end, see `upper`.
        """
        volumes = np.where(self.inferred, upper - self.low, 1.0)
        for i, distribution in self.distributions.items():
            volumes[..., i] = distribution.cdf(upper[..., i])
        return np.maximum(volumes, 1e-300)

    def settings(self) -> dict:
        """Plain numbers and names from which `Prior(**settings)` makes an equal prior."""
        columns = {name: column.settings() for name, column in self.columns.items()}
        return {"columns": columns, "bound_age": self.bound_age}

    def upper(self, zred: np.ndarray | float | None) -> np.ndarray:
        """Upper bounds in coordinates, (..., n_theta), with inferred ages bounded at `zred`."""
        if zred is None or not self.bound_age:
            return self.high
        universe = age_of_universe(zred)[..., None]
        logs = np.log10(np.where(self.log, universe, 1.0))
        high = np.minimum(self.high, np.where(self.log, logs, universe))
        return np.where(self.ages & self.inferred, high, self.high)

    def _flat(self, theta: np.ndarray) -> np.ndarray:
        """`coordinates` to their last digit, which may lie outside the box."""
        flat = theta.copy()
        flat[..., self.log] = np.log10(theta[..., self.log])
        return flat
