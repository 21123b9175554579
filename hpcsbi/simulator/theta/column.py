"""One column of the prior: its range, its scale, and how it is distributed there."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.theta.parameters import ZRED, parameter

__all__ = ["AGE", "GIVEN", "Column", "check_column", "inner_bounds"]

AGE, REDSHIFT = GIVEN = ("age_of_universe", "redshift")
MISSING = math.nan
ALWAYS_INFERRED = "logmass"
YOUNGEST = 0.181  # Gyr: the Universe at redshift 20, beyond which nothing is inferred


@dataclass(frozen=True)
class Column:
    """One parameter: flat on [low, high], or with a distribution, in log10 when `log` is true.

    Arguments:
        low, high: bounds in the parameter's own unit (also when `log` is true); left out of a
            column that is fixed, and then both its value.
        log: flat, or distributed, in log10.
        nuisance: inferred like the others, but not a property of the galaxy.
        distribution: {"kind": one of `distributions.KINDS`} with its numbers, which are those of
            log10 when `log` is true; it is cut to the bounds. None: flat.
        given: one of GIVEN, which the column is at the redshift of each object: it is known and
            not inferred, and flat between the bounds in simulations, which cover no other. Or a
            number, which the column is in all of them: it is fixed. None: inferred.
    """

    low: float = MISSING
    high: float = MISSING
    log: bool = False
    nuisance: bool = False
    distribution: Mapping[str, Any] | None = field(default=None, hash=False)
    given: str | float | None = None

    def __post_init__(self) -> None:
        if self.is_fixed and self.low is MISSING and self.high is MISSING:
            object.__setattr__(self, "low", self.given)
            object.__setattr__(self, "high", self.given)

    @property
    def is_fixed(self) -> bool:
        """True where the column is one number in all simulations and objects."""
        return isinstance(self.given, int | float) and not isinstance(self.given, bool)

    def settings(self) -> dict[str, Any]:
        """Plain numbers and names from which `Column(**settings)` makes an equal column."""
        if self.is_fixed:
            return {"given": self.given}
        settings = asdict(self)
        distribution, given = settings.pop("distribution"), settings.pop("given")
        if distribution is not None:  # a flat column has none; its numbers come in any order
            settings["distribution"] = dict(sorted(distribution.items()))
        if given is not None:
            settings["given"] = given
        return settings


def check_column(name: str, column: Column) -> None:
    """Refuse a range that is none, or that FSPS cannot make.

    Raises:
        BadInput: names the column, the bound and the mend.
    """
    known = parameter(name)
    ends = {"low": column.low, "high": column.high}
    if column.is_fixed and name != ZRED:
        _check_fixed(name, column, ends)
    elif column.given is not None or name == ZRED:
        _check_given(name, column)
    if missing := [end for end, bound in ends.items() if bound is MISSING]:
        raise BadInput(
            f"prior of {name} has no {' and no '.join(missing)}: a column has low and high, or is "
            "fixed and has given, a number, in their place."
        )
    if not all(isinstance(bound, int | float) for bound in ends.values()):
        raise BadInput(
            f"prior of {name}: low {column.low!r} and high {column.high!r} must be numbers."
        )
    if not column.is_fixed and not column.low < column.high:
        raise BadInput(f"prior of {name}: low {column.low} is not below high {column.high}.")
    if not known.low <= column.low <= column.high <= known.high:
        raise BadInput(
            f"prior of {name} spans {column.low} to {column.high} ({known.unit}); "
            f"FSPS makes spectra for {known.low} to {known.high}: narrow it in conf/prior."
        )
    if column.log and not known.log_label:
        raise BadInput(f"prior of {name} is in log, but it is a logarithm: leave log out.")
    if column.log and column.low <= 0:
        raise BadInput(f"prior of {name} is in log, but low is {column.low}: it must be > 0.")
    if column.given == AGE and column.low < YOUNGEST:
        raise BadInput(
            f"prior of {name}: low is {column.low}, and the Universe is {YOUNGEST} Gyr old at "
            "redshift 20, beyond which nothing is inferred: raise it."
        )


def _check_fixed(name: str, column: Column, ends: Mapping[str, float]) -> None:
    """Refuse what is not of a column that is fixed, or one that cannot be."""
    if name == ALWAYS_INFERRED:
        raise BadInput(
            f"prior of {name}: given={column.given}, and how bright a spectrum is tells it: infer "
            "it."
        )
    more = {end: bound not in (MISSING, column.given) for end, bound in ends.items()}
    more |= _of_inferred(column)
    if words := [word for word, value in more.items() if value]:
        raise BadInput(
            f"prior of {name} is fixed at {column.given}, not inferred: leave out "
            f"{', '.join(words)}."
        )


def _check_given(name: str, column: Column) -> None:
    """Refuse what cannot be given, or is not of a column that is."""
    if name == ZRED and column.given != REDSHIFT:
        raise BadInput(
            f"prior of {name}: spectra are those of the rest frame, whatever it is; it has given: "
            f"{REDSHIFT}, low and high, or leave it out."
        )
    if column.given not in GIVEN:
        raise BadInput(
            f"prior of {name}: given is {column.given!r}: choose from {', '.join(GIVEN)}, or a "
            f"number, or leave it out to infer {name}."
        )
    if not (parameter(name).age if column.given == AGE else name == ZRED):
        kind = "age" if column.given == AGE else "redshift"
        raise BadInput(
            f"prior of {name}: given={column.given}, and {name} ({parameter(name).unit}) is no "
            f"{kind}."
        )
    if words := [word for word, value in _of_inferred(column).items() if value]:
        raise BadInput(
            f"prior of {name} is given, not inferred: it has low and high; leave out "
            f"{', '.join(words)}."
        )


def _of_inferred(column: Column) -> dict[str, Any]:
    """What only columns that are inferred have."""
    return {"log": column.log, "nuisance": column.nuisance, "distribution": column.distribution}


def inner_bounds(
    bounds: tuple[np.ndarray, np.ndarray], kind: type[np.floating]
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest numbers of a kind that lie inside the bounds of columns, (n_theta,).

    Of a column that is fixed both are the nearest number.
    """
    low, high = (bound.astype(kind) for bound in bounds)
    wide = bounds[0] < bounds[1]
    below, above = wide & (low < bounds[0]), wide & (high > bounds[1])
    low[below] = np.nextafter(low[below], kind(np.inf))
    high[above] = np.nextafter(high[above], kind(-np.inf))
    return low, high
