"""Flags: one bit for each thing that a reader of the catalogue should know about a row."""

from enum import IntFlag

import numpy as np

__all__ = ["MEANINGS", "NOT_INFERRED", "Flag", "bits", "counts", "legend", "meanings", "names"]


class Flag(IntFlag):
    """Bits of the column `flags`; a number, once given, keeps its meaning for ever."""

    NO_DATA = 1 << 0
    FEW_PIXELS = 1 << 1
    ALL_MASKED = 1 << 2
    NOT_FINITE = 1 << 3
    NEGATIVE_FLUX = 1 << 4
    LOW_SN = 1 << 5
    ZWARN = 1 << 6
    Z_RANGE = 1 << 7
    CLASS = 1 << 8
    COVERAGE = 1 << 9
    NO_EBV = 1 << 10
    UNREADABLE = 1 << 11
    BAD_FIBER = 1 << 12
    NO_STATUS = 1 << 13
    WIDE_PIXELS = 1 << 14
    LUMINOSITY = 1 << 15
    EDGE = 1 << 16
    FLOOR_HIGH = 1 << 17
    PREDICTIVE = 1 << 18
    LOW_ACCEPTANCE = 1 << 19
    NO_POSTERIOR = 1 << 20
    OLDER_THAN_UNIVERSE = 1 << 21
    WEAK_WEIGHTS = 1 << 22
    DUST_RANGE = 1 << 23
    GIVEN_RANGE = 1 << 24
    NO_INSTRUMENT = 1 << 25
    OUTSIDE_TRAINING = 1 << 26
    CORRELATED = 1 << 27
    WINDOW = 1 << 28
    LINES = 1 << 29
    AGN = 1 << 30


# Bits 0 to 15, 23 and 30 are set by ingest, 16 to 22 and 24 to 29 by infer.
MEANINGS = {
    Flag.NO_DATA: "fewer than 20 valid pixels (as large a share of more than 138): nothing is "
    "inferred; see reason in spectra.zarr",
    Flag.FEW_PIXELS: "fewer than twice as many valid pixels, or less than 25 % of the grid",
    Flag.ALL_MASKED: "the survey masks every pixel",
    Flag.NOT_FINITE: "no pixel holds a finite flux",
    Flag.NEGATIVE_FLUX: "the median flux is not above zero",
    Flag.LOW_SN: "median signal to noise below 5 a pixel of 42 Angstrom",
    Flag.ZWARN: "the survey's redshift fit warns, or has no redshift for this object",
    Flag.Z_RANGE: "redshift above 20 or not above 0 (-0.01 with a distance): nothing is inferred; "
    "or below 0.01 without a distance",
    Flag.CLASS: "the survey does not class the object as a galaxy",
    Flag.AGN: "the survey sees an active nucleus, broad lines or a quasar: see survey_class",
    Flag.COVERAGE: "the 4000 Angstrom break is not covered on both sides",
    Flag.NO_EBV: "no Galactic E(B-V) is known: none is corrected",
    Flag.UNREADABLE: "the file or row could not be read: see reason in spectra.zarr",
    Flag.BAD_FIBER: "the survey marks the fibre as bad: every pixel is masked",
    Flag.NO_STATUS: "the file lacks a mask or a status that its survey gives: not known to be good",
    Flag.WIDE_PIXELS: "pixels of the spectrum are wider than the grid's: these are masked",
    Flag.LUMINOSITY: "no galaxy is so bright or faint: is a factor missing in the flux unit? "
    "Nothing is inferred",
    Flag.EDGE: "the posterior piles up at an edge of the prior",
    Flag.FLOOR_HIGH: "the noise floor (with a model error) needed is above 5 % of the flux",
    Flag.PREDICTIVE: "the spectrum is improbable under its own posterior (predictive_p below "
    "0.001), or fits better than its errors allow (above 0.999: are they too large?)",
    Flag.LOW_ACCEPTANCE: "few draws of the flow lie inside the prior",
    Flag.NO_POSTERIOR: "the flow gave no usable draws",
    Flag.OLDER_THAN_UNIVERSE: "draws older than the Universe at this redshift",
    Flag.WEAK_WEIGHTS: "no proposal gave good importance weights: the flow's numbers, unchecked",
    Flag.DUST_RANGE: "Galactic dust is not known below 1000 Angstrom and beyond 3.3 micrometres: "
    "masked there",
    Flag.GIVEN_RANGE: "at this redshift a column that is given leaves the range of the prior: "
    "nothing is inferred",
    Flag.NO_INSTRUMENT: "the flow takes what the instrument adds to dispersions, and neither file "
    "nor survey tells it: nothing is inferred",
    Flag.OUTSIDE_TRAINING: "S/N, redshift, coverage or masks are none that the flow was trained on",
    Flag.CORRELATED: "neighbouring residuals agree more than the posterior's own spectra make them",
    Flag.WINDOW: "a stretch of the spectrum is off as a whole, more than its posterior allows",
    Flag.LINES: "residuals at strong lines are larger than the posterior's own spectra have them",
}

# Nothing is inferred for these.
NOT_INFERRED = Flag.NO_DATA | Flag.UNREADABLE | Flag.LUMINOSITY


def legend() -> dict:
    """Attributes that describe the column to any reader of CF files.

    References:
        CF Conventions 1.11, section 3.5 (flag_masks, flag_meanings).
    """
    return {
        "flag_masks": [int(flag) for flag in MEANINGS],
        "flag_meanings": " ".join(flag.name for flag in MEANINGS),
        "comment": "; ".join(f"{flag.name}: {text}" for flag, text in MEANINGS.items()),
    }


def names(value: int) -> list[str]:
    """Names of the bits set in one value.

    Example:
        >>> names(Flag.LOW_SN | Flag.NO_EBV)
        ['LOW_SN', 'NO_EBV']
    """
    return [flag.name for flag in MEANINGS if int(value) & flag]


def meanings(value: int) -> dict[str, str]:
    """Name and meaning of each bit set in one value.

    Example:
        >>> meanings(Flag.NO_EBV)
        {'NO_EBV': 'no Galactic E(B-V) is known: none is corrected'}
    """
    return {flag.name: text for flag, text in MEANINGS.items() if int(value) & flag}


def bits(**marks: np.ndarray) -> np.ndarray:
    """Flags from one bool array for each name, int32."""
    return sum(mark.astype(np.int32) * int(Flag[name]) for name, mark in marks.items())


def counts(flags: np.ndarray) -> dict[str, int]:
    """Number of rows with each bit, for the bits that are set anywhere.

    Arguments:
        flags: integers, shape (rows,).
    """
    numbers = {flag.name: int(np.count_nonzero(np.asarray(flags) & int(flag))) for flag in MEANINGS}
    return {name: number for name, number in numbers.items() if number}
