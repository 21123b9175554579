"""One column of the prior: its range, its scale, and how it is distributed there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.parameters import parameter

__all__ = ["GIVEN", "Column", "check_column", "inner_bounds"]

GIVEN = ("age_of_universe",)
YOUNGEST = 0.181  # Gyr: the Universe at redshift 20, beyond which nothing is inferred


@dataclass(frozen=True)
class Column:
    """One parameter: flat on [low, high], or with a distribution, in log10 when `log` is true.

    Arguments:
        low, high: bounds in the parameter's own unit (also when `log` is true).
        log: flat, or distributed, in log10.
        nuisance: inferred like the others, but not a property of the galaxy.
        distribution: {"kind": one of `distributions.KINDS`} with its numbers, which are those of
            log10 when `log` is true; it is cut to the bounds. None: flat.
        given: one of GIVEN, which the column is at the redshift of each object: it is known and
            not inferred, and flat between the bounds in simulations, which cover no other. None:
            inferred.
    """

    low: float
    high: float
    log: bool = False
    nuisance: bool = False
    distribution: Mapping[str, Any] | None = field(default=None, hash=False)
    given: str | None = None


def check_column(name: str, column: Column) -> None:
    """Refuse a range that is none, or that FSPS cannot make.

    Raises:
        BadInput: names the column, the bound and the mend.
    """
    known = parameter(name)
    if not all(isinstance(bound, int | float) for bound in (column.low, column.high)):
        raise BadInput(
            f"prior of {name}: low {column.low!r} and high {column.high!r} must be numbers."
        )
    if not column.low < column.high:
        raise BadInput(f"prior of {name}: low {column.low} is not below high {column.high}.")
    if column.low < known.low or column.high > known.high:
        raise BadInput(
            f"prior of {name} spans {column.low} to {column.high} ({known.unit}); "
            f"FSPS makes spectra for {known.low} to {known.high}: narrow it in conf/prior."
        )
    if column.log and not known.log_label:
        raise BadInput(f"prior of {name} is in log, but it is a logarithm: leave log out.")
    if column.log and column.low <= 0:
        raise BadInput(f"prior of {name} is in log, but low is {column.low}: it must be > 0.")
    if column.given is not None:
        _check_given(name, column)


def _check_given(name: str, column: Column) -> None:
    """Refuse what cannot be given, or is not of a column that is."""
    if column.given not in GIVEN:
        raise BadInput(
            f"prior of {name}: given is {column.given!r}: choose from {', '.join(GIVEN)}, or leave "
            f"it out to infer {name}."
        )
    if not parameter(name).age:
        raise BadInput(
            f"prior of {name}: given={column.given}, and {name} ({parameter(name).unit}) is no age."
        )
    more = {"log": column.log, "nuisance": column.nuisance, "distribution": column.distribution}
    if words := [word for word, value in more.items() if value]:
        raise BadInput(
            f"prior of {name} is given, not inferred: it has low and high; leave out "
            f"{', '.join(words)}."
        )
    if column.low < YOUNGEST:
        raise BadInput(
            f"prior of {name}: low is {column.low}, and the Universe is {YOUNGEST} Gyr old at "
            "redshift 20, beyond which nothing is inferred: raise it."
        )


def inner_bounds(
    bounds: tuple[np.ndarray, np.ndarray], kind: type[np.floating]
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest numbers of a kind that lie inside the bounds of columns, (n_theta,)."""
    low, high = (bound.astype(kind) for bound in bounds)
    below, above = low < bounds[0], high > bounds[1]
    low[below] = np.nextafter(low[below], kind(np.inf))
    high[above] = np.nextafter(high[above], kind(-np.inf))
    return low, high
