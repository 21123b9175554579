"""What the formats in FITS share: HDUs, columns, shapes, units, masks."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.record.spectra import USUAL, factor, per_angstrom, text

__all__ = [
    "agreed",
    "bad_pixels",
    "check_shape",
    "check_wavelengths",
    "column_or",
    "flux_unit",
    "linear_axis",
    "names_of",
    "not_among",
    "number_of",
    "open_fits",
    "vector_length",
    "wave_unit",
]


# Keywords that tell the medium of wavelengths, {} for the column: a part of a value, lower case.
MEDIA = {
    "AIRORVAC": {"air": "air", "vac": "vacuum"},
    "VACUUM": {"false": "air", "true": "vacuum"},
    "TUCD{}": {"obs.atmos": "air"},
    "CTYPE1": {"awav": "air"},
}


def open_fits(file: Any) -> fits.HDUList:
    """All HDUs of a file; text as bytes, so that one odd byte costs no column.

    Raises:
        BadInput: an HDU of which astropy reads nothing.
    """
    with warnings.catch_warnings():  # a cut file is refused by its size
        warnings.simplefilter("ignore")
        hdus = fits.open(file, character_as_bytes=True)
        len(hdus)  # reads all headers
    for k, hdu in enumerate(hdus):
        if not hasattr(hdu, "fileinfo"):
            hdus.close()
            raise BadInput(f"the header of HDU {k} is damaged: fetch the file again")
    return hdus


def names_of(hdu: Any) -> list[str]:
    """Names of the columns of a table, upper case; none for an image."""
    table = isinstance(hdu, fits.BinTableHDU)
    return [(name or "").upper() for name in hdu.columns.names] if table else []


def vector_length(form: str) -> int | None:
    """Values in each row of a column, by its format; None where it varies.

    Example:
        >>> vector_length("2154E"), vector_length("D"), vector_length("PE(2154)")
        (2154, 1, None)
    """
    if "P" in form or "Q" in form:
        return None
    return int(form[:-1] or 1) if form[:-1].isdigit() or len(form) == 1 else None


def check_shape(hdus: fits.HDUList, name: str, shape: tuple, by: str) -> None:
    """Refuse an image of another shape.

    Raises:
        ValueError: with both shapes.
    """
    if hdus[name].shape != shape:
        raise BadInput(f"{name} has shape {hdus[name].shape}, but {by} ask for {shape}")


def check_wavelengths(hdus: Sequence[Any], air: bool) -> None:
    """Refuse wavelengths in another unit, or in air where the survey says vacuum, or reversed, or
    in both.

    Arguments:
        hdus: the first of the file, then those whose headers speak of the wavelengths (an image
            of them by its BUNIT).
        air: what the survey says.

    Raises:
        ValueError: with the mend.
    """
    said = {}
    for hdu in hdus:
        header = hdu.header
        unit = header.get("BUNIT") if hdu.is_image and hdu is not hdus[0] else None
        if unit and not np.isclose(factor(unit, units.AA), 1, rtol=1e-6):
            raise BadInput(f"BUNIT of {hdu.name} is {unit!r}: write wavelengths in Angstrom")
        place = names_of(hdu).index("WAVE") + 1 if "WAVE" in names_of(hdu) else 0
        for key, values in MEDIA.items():
            value = str(header.get(key.format(place), "")).strip().lower()
            medium = next((name for part, name in values.items() if part in value), None)
            said |= {f"{key.format(place)} of HDU {hdu.name}": medium} if medium else {}
    medium = agreed(said)
    if medium and (medium == "air") != air:
        raise BadInput(
            f"{next(iter(said))} says that wavelengths are in {medium}: set "
            f"survey.air={str(medium == 'air').lower()}"
        )


def flux_unit(hdus: Iterable[Any]) -> float:
    """Unit of flux, erg/s/cm2/A; the surveys fix theirs, a header that says otherwise is refused.

    Arguments:
        hdus: those whose BUNIT, if they have one, is that of the flux.

    Raises:
        ValueError: several units, or not a flux density per wavelength.
    """
    said = [hdu.header["BUNIT"] for hdu in hdus if "BUNIT" in hdu.header]
    distinct = {f"{per_angstrom(name, 'BUNIT'):.6e}" for name in said or [USUAL]}
    if len(distinct) > 1:
        raise BadInput(f"different units of flux in one file: {', '.join(map(str, said))}")
    return per_angstrom((said or [USUAL])[0], "BUNIT")


def agreed(said: Mapping[str, Any]) -> Any:
    """The one value that keywords say, None where there are none.

    Arguments:
        said: value by where it is said.

    Raises:
        BadInput: they contradict each other.
    """
    if len(set(said.values())) > 1:
        told = ", ".join(f"{place} says {value}" for place, value in said.items())
        raise BadInput(f"contradicts itself: {told}: mend the headers")
    return next(iter(said.values()), None)


def linear_axis(header: fits.Header, pixels: int) -> np.ndarray:
    """Values along the first axis of an image by its CRVAL1, CDELT1 and CRPIX1."""
    place = np.arange(1, pixels + 1) - float(header.get("CRPIX1", 1))
    return number_of(header, "CRVAL1") + number_of(header, "CDELT1") * place


def wave_unit(name: str, unit: str | None) -> float:
    """Angstrom of one unit of a column of wavelengths, by its TUNIT.

    Raises:
        ValueError: none, or no length.
    """
    size = factor(unit or "", units.AA)
    if not size > 0:
        raise BadInput(f"TUNIT of {name} is {unit!r}: write Angstrom, nm or um")
    return round(size, 9)  # of nm 10, to the last digit


def bad_pixels(mask: np.ndarray, bits: Sequence[int]) -> np.ndarray:
    """True where a mask has one of some bits, or any bit if there are none in the list."""
    return (mask.astype(np.int64) & (sum(1 << bit for bit in bits) or -1)) != 0


def not_among(values: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """True for texts that are none of some names, shape (rows,)."""
    return ~np.isin([text(value) for value in values], names)


def number_of(header: fits.Header, name: str) -> float:
    """A number of a header, NaN where it has none of that name."""
    value = header.get(name)
    return float(value) if isinstance(value, int | float) else np.nan


def column_or(table: fits.FITS_rec, name: str, fill: Any) -> np.ndarray:
    """A column, or a constant where the table has none, shape (rows,)."""
    return np.asarray(table[name]) if name in table.names else np.full(len(table), fill)
