"""One column of the prior: its range, its scale, and how it is distributed there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcsbi.errors import BadInput
from hpcsbi.simulator.parameters import parameter

__all__ = ["Column", "check_column"]


@dataclass(frozen=True)
class Column:
    """One parameter: flat on [low, high], or with a distribution, in log10 when `log` is true.

    Arguments:
        low, high: bounds in the parameter's own unit (also when `log` is true).
        log: flat, or distributed, in log10.
        nuisance: inferred like the others, but not a property of the galaxy.
        distribution: {"kind": one of `distributions.KINDS`} with its numbers, which are those of
            log10 when `log` is true; it is cut to the bounds. None: flat.
    """

    low: float
    high: float
    log: bool = False
    nuisance: bool = False
    distribution: Mapping[str, Any] | None = field(default=None, hash=False)


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
