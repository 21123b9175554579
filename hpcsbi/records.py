"""The record that every survey's files become, and the unit of its flux."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy import units

from hpcsbi.errors import BadInput

__all__ = ["PER_ANGSTROM", "USUAL", "Spectra", "factor", "per_angstrom"]

PER_ANGSTROM = units.erg / units.s / units.cm**2 / units.AA
USUAL = "1e-17 erg/s/cm2/Angstrom"


@dataclass(frozen=True)
class Spectra:
    """Spectra as observed.

    Arguments:
        wave: pixel centres, Angstrom, shape (pixel,) or (rows, pixel).
        flux, ivar: shape (rows, pixel), in `unit` and `unit`^-2; ivar 0 is the mask.
        zred: redshift, NaN where there is none, shape (rows,).
        id: name of each object.
        unit: erg/s/cm2/A of one unit of flux.
        ebv: Galactic E(B-V) as it is to be used, NaN where unknown, shape (rows,).
        distance: luminosity distance, Mpc, NaN where not given, shape (rows,).
        zwarn, other_class, bad_fiber: what the survey says against a row, bool, shape (rows,).
    """

    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    zred: np.ndarray
    id: Sequence[str]
    unit: float
    ebv: np.ndarray | None = None
    distance: np.ndarray | None = None
    zwarn: np.ndarray | None = None
    other_class: np.ndarray | None = None
    bad_fiber: np.ndarray | None = None

    def __post_init__(self) -> None:
        fills = {"ebv": np.nan, "distance": np.nan}
        for name in ("ebv", "distance", "zwarn", "other_class", "bad_fiber"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.id), fills.get(name, False)))

    def row(self, row: int) -> "Spectra":
        """One row, as a record of its own."""
        one = slice(row, row + 1)
        return Spectra(**{k: v if k == "unit" else v[one] for k, v in vars(self).items()})


def per_angstrom(text: str, where: str) -> float:
    """Erg/s/cm2/A of one unit, e.g. 1e-17 for "1e-17 erg/s/cm2/Angstrom".

    Raises:
        ValueError: no unit, or not a flux density per wavelength.
    """
    mend = f'write it as "{USUAL}" (Angstrom, not A, which is ampere)'
    try:
        return _unit(text).to(PER_ANGSTROM)
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{where} is {text!r}, not a flux density per Angstrom: {mend}; F_nu must be "
            "multiplied by c / wave^2 first"
        ) from error


def factor(text: str, unit: units.UnitBase) -> float:
    """How many `unit` one of the named unit is, NaN where it is something else."""
    named = _unit(text)
    return named.to(unit) if named.is_equivalent(unit) else np.nan


def _unit(text: str) -> units.UnitBase:
    if not str(text or "").strip():
        raise BadInput("no unit")
    with warnings.catch_warnings():  # several slashes are discouraged, and common
        warnings.simplefilter("ignore", units.UnitsWarning)
        return units.Unit(
            str(text).strip().replace("/Ang", "/Angstrom").replace("stromstrom", "strom")
        )
