"""The columns of theta that are known of each object beside its spectrum, and not inferred.

A history whose first stars formed with the Universe has an age that follows from the redshift:
spectra depend on it, and whoever infers the other columns has to know it. A column that is fixed is
one number everywhere: spectra depend on it, and nobody has to be told. The redshift itself is a
column where the noise depends on it.
"""

from collections.abc import Mapping

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.theta.column import AGE, Column
from hpcsbi.simulator.theta.cosmology import age_of_universe, redshift_at_age
from hpcsbi.simulator.theta.parameters import parameter

__all__ = ["Given"]

ROUNDING = (
    1e-6  # Gyr: what the age is off by at a redshift that float32 has rounded, at most; or of
)
#   that redshift itself


class Given:
    """The given columns of a prior, in its coordinates, which are theta's own for them.

    Arguments:
        columns: those of the prior, in the order of theta.
        bound_age: a fixed age is not known of an object whose Universe is younger.

    Attributes:
        names: of the given columns, in order.
        fixed: True for those that are one number everywhere, shape (given,).
        inferred: True for the columns that are not given, shape (n_theta,).

    Raises:
        BadInput: two columns hold one and the same number.
    """

    def __init__(self, columns: Mapping[str, Column], bound_age: bool = False) -> None:
        given = {name: column for name, column in columns.items() if column.given is not None}
        self.names = tuple(given)
        self.fixed = np.array([column.is_fixed for column in given.values()], dtype=bool)
        self.inferred = np.array([name not in given for name in columns], dtype=bool)
        self.low = np.array([column.low for column in given.values()], dtype=float)
        self.high = np.array([column.high for column in given.values()], dtype=float)
        self.of_redshift = np.flatnonzero(~self.inferred)[~self.fixed]  # columns of theta
        told = [name for name, column in given.items() if not column.is_fixed]
        kinds = [columns[name].given for name in told]
        if len(told) > 1:
            words = " and ".join(dict.fromkeys(kinds))
            raise BadInput(
                f"prior: {' and '.join(told)} are both given as {words}: give one of them, "
                "and infer the others, or leave them out."
            )
        self.is_age = kinds == [AGE]
        ages = [given[name].low for name in given if parameter(name).age and name not in told]
        self.oldest = max(ages, default=0.0) if bound_age else 0.0  # Gyr, of fixed ages

    def __len__(self) -> int:
        return len(self.names)

    def at(self, zred: np.ndarray | float | None) -> np.ndarray:
        """The given columns of objects at redshifts, shape (..., given); NaN for no redshift.

        Arguments:
            zred: shape (...); None will do where all columns are fixed, or none is given.

        Raises:
            BadInput: a column is given by the redshift and there is none.
        """
        if self.fixed.all():
            return np.broadcast_to(self.low, (*np.shape(zred), len(self)))
        if zred is None:
            raise BadInput(
                f"{self.names[np.argmin(self.fixed)]} is given by the redshift of each object, and "
                "there is none: give the redshifts of the spectra (zred), or a prior that infers "
                "it."
            )
        told = age_of_universe(zred) if self.is_age else np.asarray(zred, dtype=float)
        inside = told[..., None].clip(self.low, self.high)
        told = np.where(np.abs(told[..., None] - inside) < ROUNDING, inside, told[..., None])
        return np.where(self.fixed, self.low, told)

    def covers(self, zred: np.ndarray | float | None) -> np.ndarray:
        """True where the given columns lie in their ranges at redshifts, bool, shape (...).

        Elsewhere there is no simulation to learn from.
        """
        values = self.at(zred)
        inside = ((values >= self.low) & (values <= self.high)).all(-1)
        return inside & (age_of_universe(zred) >= self.oldest) if self.oldest else inside

    def redshift(self, theta: np.ndarray) -> np.ndarray | None:
        """Redshifts at which theta's given columns are what they are, float64, shape (n,).

        Arguments:
            theta: own units, shape (n, n_theta).

        Returns:
            None where no column is given by the redshift.
        """
        if not len(self.of_redshift):
            return None
        told = np.asarray(theta, dtype=float)[:, self.of_redshift[0]]
        return redshift_at_age(told) if self.is_age else told

    def join(self, inferred: np.ndarray, given: np.ndarray | float) -> np.ndarray:
        """Columns in the order of theta, shape (..., n_theta), of those inferred and those given.

        Arguments:
            inferred: shape (..., inferred columns).
            given: broadcasts to (..., given columns).
        """
        if not self:
            return inferred
        whole = np.empty((*inferred.shape[:-1], len(self.inferred)), inferred.dtype)
        whole[..., self.inferred], whole[..., ~self.inferred] = inferred, given
        return whole
