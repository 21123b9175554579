"""The columns of theta that are known of each object beside its spectrum, and not inferred.

A history whose first stars formed with the Universe has an age that follows from the redshift:
spectra depend on it, and whoever infers the other columns has to know it.
"""

from collections.abc import Mapping

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.column import Column
from hpcsbi.simulator.cosmology import age_of_universe, redshift_at_age

__all__ = ["Given"]

ROUNDING = 1e-6  # Gyr: what the age is off by at a redshift that float32 has rounded, at most


class Given:
    """The given columns of a prior, in its coordinates, which are theta's own for them.

    Arguments:
        columns: those of the prior, in the order of theta.

    Attributes:
        names: of the given columns, in order.
        inferred: True for the columns that are not given, shape (n_theta,).

    Raises:
        BadInput: two columns hold one and the same number.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.names = tuple(name for name, column in columns.items() if column.given is not None)
        self.inferred = np.array([name not in self.names for name in columns], dtype=bool)
        self.low = np.array([columns[name].low for name in self.names], dtype=float)
        self.high = np.array([columns[name].high for name in self.names], dtype=float)
        if len(self.names) > 1:
            raise BadInput(
                f"prior: {' and '.join(self.names)} are both given as "
                f"{columns[self.names[0]].given}: give one of them, and infer the others."
            )

    def __len__(self) -> int:
        return len(self.names)

    def at(self, zred: np.ndarray | float | None) -> np.ndarray:
        """The given columns of objects at redshifts, shape (..., given); NaN for no redshift.

        Arguments:
            zred: shape (...); None will do where no column is given.

        Raises:
            BadInput: a column is given and no redshift is.
        """
        if not self:
            return np.empty((*np.shape(zred), 0))
        if zred is None:
            raise BadInput(
                f"{self.names[0]} is given by the redshift of each object, and there is none: give "
                "the redshifts of the spectra (zred), or a prior that infers it."
            )
        age = age_of_universe(zred)[..., None]
        inside = age.clip(self.low, self.high)
        return np.where(np.abs(age - inside) < ROUNDING, inside, age)

    def covers(self, zred: np.ndarray | float | None) -> np.ndarray:
        """True where the given columns lie in their ranges at redshifts, bool, shape (...).

        Elsewhere there is no simulation to learn from.
        """
        values = self.at(zred)
        return ((values >= self.low) & (values <= self.high)).all(-1)

    def redshift(self, theta: np.ndarray) -> np.ndarray | None:
        """Redshifts at which theta's given columns are what they are, float64, shape (n,).

        Arguments:
            theta: own units, shape (n, n_theta).

        Returns:
            None where no column is given.
        """
        if not self:
            return None
        return redshift_at_age(np.asarray(theta, dtype=float)[:, np.argmin(self.inferred)])

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
