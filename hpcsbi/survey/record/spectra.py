"""The record that every survey's files become, and the unit of its flux."""

import re
import string
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from astropy import units

from hpcsbi.errors import BadInput
from hpcsbi.survey.record.identity import Identity

__all__ = [
    "PER_ANGSTROM",
    "USUAL",
    "Spectra",
    "Vectors",
    "factor",
    "per_angstrom",
    "per_hertz",
    "text",
    "unread_spectra",
]

Vectors = np.ndarray | Sequence[np.ndarray | None]

PER_HERTZ = units.erg / units.s / units.cm**2 / units.Hz
PER_ANGSTROM = units.erg / units.s / units.cm**2 / units.AA
USUAL = "1e-17 erg/s/cm2/Angstrom"
ANGSTROM = re.compile(r"(?<![a-z])ang(stroms?)?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Spectra:
    """Spectra as a reader found them; `geometry.groups` checks the vectors.

    Arguments:
        wave: pixel centres, Angstrom, shape (pixel,), (rows, pixel), or a list with an array for
            each row, None where the file has none.
        flux, ivar: shape (rows, pixel) or a list as above, in `unit` and `unit`^-2; ivar 0 is the
            mask.
        zred: redshift, NaN where there is none, shape (rows,).
        id: name of each object.
        unit: erg/s/cm2/A of one unit of flux.
        ebv: Galactic E(B-V) as it is to be used, NaN where unknown, shape (rows,).
        distance: luminosity distance, Mpc, NaN where not given, shape (rows,).
        dispersion: what the instrument adds at each pixel, km/s, not positive or NaN where that is
            not known, shape of `flux`; None where the file does not tell.
        survey_class: what the survey's redshift fit calls a row, see `classes`, "" where not known.
        air: wavelengths are in air; None where the file does not say: as the survey's are.
        zwarn, other_class, bad_fiber: what the survey says against a row, bool, shape (rows,).
        no_status: the file lacks a column that says so, bool, shape (rows,).
        reason: why a row could not be read, "" where it was; why it has no redshift.
        at_rest: wavelengths are at rest already: a row takes a distance, never a redshift.
        identity: who the rows are beyond their ids, which are their keys where it is None.
    """

    wave: Vectors
    flux: Vectors
    ivar: Vectors
    zred: np.ndarray
    id: Sequence[str]
    unit: float
    ebv: np.ndarray | None = None
    distance: np.ndarray | None = None
    dispersion: Vectors | None = None
    survey_class: Sequence[str] | None = None
    air: bool | None = None
    zwarn: np.ndarray | None = None
    other_class: np.ndarray | None = None
    bad_fiber: np.ndarray | None = None
    no_status: np.ndarray | None = None
    reason: Sequence[str] | None = None
    at_rest: np.ndarray | None = None
    identity: Identity | None = None

    def __post_init__(self) -> None:
        fills = {"ebv": np.nan, "distance": np.nan, "survey_class": "", "reason": ""}
        for name in (*fills, "zwarn", "other_class", "bad_fiber", "no_status", "at_rest"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.id), fills.get(name, False)))
        if self.identity is None:
            object.__setattr__(self, "identity", Identity(self.id))


def unread_spectra(names: Sequence[str], reason: str) -> Spectra:
    """Rows of which nothing could be read."""
    nothing = [None] * len(names)
    none = np.full(len(names), np.nan)
    reasons = [reason] * len(names)
    return Spectra(nothing, nothing, nothing, none, list(names), 1.0, reason=reasons)


def text(value: Any) -> str:
    """A name as text; bytes that are no text stay visible as \\xNN."""
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    return str(value).strip(string.whitespace + "\0")


@lru_cache
def per_angstrom(unit: str, where: str) -> float:
    """Erg/s/cm2/A of one unit, e.g. 1e-17 for "1e-17 erg/s/cm2/Angstrom".

    Raises:
        ValueError: no unit, or not a flux density per wavelength.
    """
    mend = f'write it as "{USUAL}" (Angstrom, not A, which is ampere)'
    try:
        return _unit(unit).to(PER_ANGSTROM)
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{where} is {unit!r}, not a flux density per Angstrom: {mend}; F_nu must be "
            "multiplied by c / wave^2 first"
        ) from error


@lru_cache
def per_hertz(unit: str, where: str) -> float:
    """Erg/s/cm2/Hz of one unit, e.g. 1e-29 for "uJy".

    Raises:
        ValueError: no unit, or not a flux density per frequency.
    """
    try:
        return _unit(unit).to(PER_HERTZ)
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{where} is {unit!r}, not a flux density per frequency: write it as Jy, uJy or nJy"
        ) from error


@lru_cache
def factor(name: str, unit: units.UnitBase) -> float:
    """How many `unit` one of the named unit is, NaN where it is something else."""
    try:
        named = _unit(name)
    except (ValueError, TypeError):
        return np.nan
    return named.to(unit) if named.is_equivalent(unit) else np.nan


def _unit(name: str) -> units.UnitBase:
    if not str(name or "").strip():
        raise BadInput("no unit")
    with warnings.catch_warnings():  # several slashes are discouraged, and common
        warnings.simplefilter("ignore", units.UnitsWarning)
        return units.Unit(ANGSTROM.sub("Angstrom", str(name).strip()))
