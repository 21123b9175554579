"""The families of star-formation histories; theta's columns tell which of them it has."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.continuity import Continuity
from hpcsbi.simulator.galaxy.delayed_tau import DelayedTau
from hpcsbi.simulator.galaxy.delayed_tau_burst import DelayedTauBurst
from hpcsbi.simulator.galaxy.delayed_tau_truncated import DelayedTauTruncated
from hpcsbi.simulator.galaxy.dirichlet import Dirichlet
from hpcsbi.simulator.galaxy.post_starburst import PostStarburst
from hpcsbi.simulator.theta.column import Column

__all__ = ["HISTORIES", "History", "family_of"]


class History(Protocol):
    """How much mass of each age a galaxy has formed; a new one is a class, and named in HISTORIES.

    Made from a prior's columns, over whose ranges it has to hold.

    Arguments:
        names: its columns of theta.
        further: columns that it may have beside them; one of a number takes those before it.
        example: values of them that make a spectrum, to try FSPS with.
        templates: of Prospector's TemplateLibrary.
        source: of `prospect.sources`, which makes the spectra.
        curved: those of its columns that a chain does not walk in as they are.
    """

    names: ClassVar[tuple[str, ...]]
    further: ClassVar[tuple[str, ...]]
    example: ClassVar[Mapping[str, float]]
    templates: ClassVar[tuple[str, ...]]
    source: ClassVar[str]
    curved: ClassVar[tuple[str, ...]]

    def __init__(self, columns: Mapping[str, Column]) -> None: ...

    def weights(self, log_age: np.ndarray, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """Mass formed in each SSP, which sums to one, float64, shape (n, ages).

        Arguments:
            log_age: log10 of the SSPs' ages in years, ascending, shape (ages,).
            column: values of each name, shape (n,).
        """

    def components(self, log_age: np.ndarray) -> np.ndarray:
        """Histories of which all others are mixed, as `weights`, shape (components, ages)."""

    def mixture(self, log_age: np.ndarray, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """How each history is mixed; differentiable, NaN for what is not a history.

        Arguments:
            log_age: that of `components`.
            column: values of each name, shape (n,).

        Returns:
            numbers of components, int32, and their shares, shapes (n, m), m a multiple of four.
        """

    @staticmethod
    def younger(age: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """Share of the mass that formed in the last `age` Gyr, shape (n,).

        Arguments:
            age: Gyr, positive, one or of each history.
            column: values of each name, shape (n,).
        """

    @staticmethod
    def lookback(share: np.ndarray | float, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """Gyr before the observation by which this share of the mass had formed, shape (n,).

        Arguments:
            share: between 0 and 1, one or of each history.
            column: see `younger`.
        """

    @staticmethod
    def mean_age(column: Mapping[str, np.ndarray]) -> np.ndarray:
        """Mean age of the mass formed, Gyr, shape (n,); `column` as in `younger`."""

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float | np.ndarray]:
        """What Prospector calls its columns, with their values for one solar mass."""

    @staticmethod
    def straight(theta: np.ndarray) -> np.ndarray:
        """Coordinates for a chain, of the curved columns in their own units, (n, curved)."""

    @staticmethod
    def theta(straight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inverse of `straight`, and ln |d theta / d straight|, shapes (n, curved) and (n,)."""


HISTORIES: dict[str, type[History]] = {
    "delayed_tau": DelayedTau,
    "delayed_tau_burst": DelayedTauBurst,
    "delayed_tau_truncated": DelayedTauTruncated,
    "continuity": Continuity,
    "post_starburst": PostStarburst,
    "dirichlet": Dirichlet,
}


def family_of(names: Sequence[str]) -> type[History]:
    """The family of histories whose columns theta has; of several that with most of them.

    Arguments:
        names: theta's columns.

    Raises:
        BadInput: columns of all families are missing.
    """
    fitting = [family for family in HISTORIES.values() if {*family.names} <= {*names}]
    if not fitting:
        likely = max(HISTORIES, key=lambda kind: len({*HISTORIES[kind].names} & {*names}))
        missing = [name for name in HISTORIES[likely].names if name not in names]
        raise BadInput(
            f"theta has the columns {', '.join(names)}; a spectrum also needs "
            f"{', '.join(missing)} for its star-formation history {likely} (there are "
            f"{', '.join(HISTORIES)}): add them in conf/prior."
        )
    return max(fitting, key=lambda family: len({*family.names, *family.further} & {*names}))
