"""One-dimensional spectra of ESO's archive (VANDELS, LEGA-C, VIPERS, 4MOST), one a file."""

import re
from collections.abc import Iterable, Iterator, Sequence
from math import isclose
from typing import Any

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import FileFormat, Options
from hpcsbi.survey.readers.fits_files import (
    agreed,
    bad_pixels,
    names_of,
    number_of,
    vector_length,
    wave_unit,
)
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.line_spread import FWHM, LIGHT
from hpcsbi.survey.record.spectra import Spectra, per_angstrom, text

__all__ = ["Eso"]

# What a column is: its usual name, and its type in the spectrum data model of the Virtual
# Observatory, which ESO's files give as TUTYP of the main columns.
ROLES = {
    "wave": ("WAVE", "SpectralAxis.Value"),
    "flux": ("FLUX", "FluxAxis.Value"),
    "error": ("ERR", "FluxAxis.Accuracy.StatError"),
    "quality": ("QUAL", "FluxAxis.Accuracy.QualityStatus"),
}
MODEL = re.compile(r"(spec:|spectrum\.)data\.", re.IGNORECASE)
# Frames that differ by less than 30 km/s from the one that redshifts are of.
FRAMES = {"BARYCENT": 0, "HELIOCEN": 0, "GEOCENTR": 30, "TOPOCENT": 30}
REDSHIFT = ("REDSHIFT", "DER_Z")  # of the target, or of the spectrum itself
NO_REDSHIFT = "no redshift in its header: give it in ingest.redshifts"


class Eso(FileFormat):
    """See `FileFormat`: a table with one row of arrays, told by the keywords of its columns.

    References:
        ESO Science Data Products Standard, section on one-dimensional spectra: TUCD em.wl is in
        vacuum, em.wl;obs.atmos in air. IVOA Spectrum Data Model 1.1 (TUTYP, REDSHIFT, DER_Z).
    """

    name = "eso"
    contents = "a table with one row of arrays WAVE FLUX ERR (by their TUTYP, or name)"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return bool(_spectra(hdus))

    def look(self, hdus: fits.HDUList, air: bool) -> tuple[int, list[str]]:
        """See `Layout.look`; each file says itself if its wavelengths are in air.

        Raises:
            ValueError: more than one spectrum, headers that contradict each other, another frame,
                no flux density.
        """
        if len(tables := _spectra(hdus)) > 1:
            names = ", ".join(table.name or "(no name)" for table in tables)
            raise BadInput(f"{len(tables)} tables with a spectrum ({names}): it takes one a file")
        _in_air(hdus)
        _zred(hdus)
        _resolution(hdus)
        _wave_unit(hdus)
        self.unit(hdus)
        rows, notes = self.count(hdus)
        return rows, notes + _frame_notes(hdus)

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return _spectra(hdus)

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`."""
        if _said(hdus, "CONTNORM") is True:
            raise BadInput("CONTNORM says that the continuum is divided out: no flux is left")
        if str(_said(hdus, "FLUXCAL") or "").strip().upper() == "UNCALIBRATED":
            raise BadInput("FLUXCAL says that the flux is not calibrated: there is no luminosity")
        names, said = _columns_and_units(hdus)
        unit = per_angstrom(said[names["flux"]], f"TUNIT of {names['flux']}")
        error = said[names["error"]]
        if error and not isclose(per_angstrom(error, f"TUNIT of {names['error']}"), unit):
            raise BadInput(
                f"{names['flux']} is in {said[names['flux']]!r}, its error {names['error']} in "
                f"{error!r}: write both in one unit"
            )
        return unit

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        (table,) = _spectra(hdus)
        if table.header["NAXIS2"] != 1:
            raise BadInput(f"{table.header['NAXIS2']} rows: it takes one row of arrays")
        names = set(_columns(table).values())
        forms = {c.name.upper(): c.format.strip() for c in table.columns}
        lengths = {name: vector_length(forms[name]) for name in sorted(names)}
        if len({length for length in lengths.values() if length is not None}) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BadInput(f"arrays of different lengths: {told}")
        spare = sorted(set(forms) - names)
        return 1, [f"columns {', '.join(spare)} are not read"] if spare else []

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`: OBJECT."""
        (table,) = _spectra(hdus)
        values = (text(hdu.header.get("OBJECT", "")) for hdu in (hdus[0], table))
        return [next(filter(None, values), stem)]

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: the key is the name of the file in the archive."""
        head = hdus[0].header
        place = (number_of(head, name) for name in ("RA", "DEC"))
        key = text(head.get("ARCFILE", "")) or stem
        return Identity([key], "", text(head.get("PROG_ID", "")), *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`."""
        (table,) = _spectra(hdus)
        names = _columns(table)
        values = {role: np.asarray(table.data[name][0]) for role, name in names.items()}
        flux, error = (values[role].astype(float) for role in ("flux", "error"))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ivar = np.where(np.isfinite(flux) & (error > 0), error**-2.0, 0.0)
        if "quality" in values:
            ivar[bad_pixels(values["quality"], options.bad_bits)] = 0.0
        zred, resolution = _zred(hdus), _resolution(hdus)
        spread = None if resolution is None else np.full((1, len(flux)), LIGHT / FWHM / resolution)
        yield Spectra(
            wave=values["wave"].astype(float) * _wave_unit(hdus),
            flux=flux[None],
            ivar=ivar[None],
            zred=np.array([zred]),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=self.unit(hdus),
            dispersion=spread,
            air=_in_air(hdus),
            zwarn=np.array([np.isnan(zred)]),
            no_status=np.array(["quality" not in values]),
            reason=[NO_REDSHIFT if np.isnan(zred) else ""],
        )


def _spectra(hdus: fits.HDUList) -> list[fits.BinTableHDU]:
    """Tables with arrays of wavelength, flux and error."""
    return [hdu for hdu in hdus if _is_spectrum(hdu)]


def _is_spectrum(hdu: Any) -> bool:
    names = _columns(hdu)
    if not names.keys() >= {"wave", "flux", "error"}:
        return False
    forms = {(c.name or "").upper(): c.format.strip() for c in hdu.columns}
    return vector_length(forms[names["wave"]]) != 1


def _columns(hdu: Any) -> dict[str, str]:
    """Name of the column of each of ROLES, by its type, or by its name where none has the type."""
    known = names_of(hdu)
    types = {
        name: MODEL.sub("", str(hdu.header.get(f"TUTYP{k}", "")).strip(), count=1)
        for k, name in enumerate(known, start=1)
        if MODEL.match(str(hdu.header.get(f"TUTYP{k}", "")).strip())
    }
    names = {}
    for role, (usual, kind) in ROLES.items():
        typed = [name for name, value in types.items() if value.lower() == kind.lower()]
        if usual in known and (usual in typed or not typed):
            names[role] = usual
        elif len(typed) == 1:
            names[role] = typed[0]
    return names


def _columns_and_units(hdus: fits.HDUList) -> tuple[dict[str, str], dict[str, str | None]]:
    (table,) = _spectra(hdus)
    return _columns(table), {column.name.upper(): column.unit for column in table.columns}


def _wave_unit(hdus: fits.HDUList) -> float:
    """Angstrom of one unit of the wavelengths."""
    names, said = _columns_and_units(hdus)
    return wave_unit(names["wave"], said[names["wave"]])


def _values(hdus: fits.HDUList, *keys: str) -> dict[str, Any]:
    """Values of keywords in the first header and that of the spectrum, by where they stand."""
    heads = (("the first header", hdus[0]), ("that of the table", _spectra(hdus)[0]))
    return {
        f"{key} of {where}": hdu.header[key]
        for where, hdu in heads
        for key in keys
        if key in hdu.header
    }


def _said(hdus: fits.HDUList, *keys: str) -> Any:
    """The value of keywords, None where there are none.

    Raises:
        BadInput: they contradict each other.
    """
    values = _values(hdus, *keys)
    plain = {place: v.strip() if isinstance(v, str) else v for place, v in values.items()}
    return agreed(plain)


def _in_air(hdus: fits.HDUList) -> bool | None:
    """Whether wavelengths are in air, None where the file does not say."""
    (table,) = _spectra(hdus)
    said = {
        place: "air" if value is False else "vacuum"
        for place, value in _values(hdus, "VACUUM").items()
        if isinstance(value, bool)
    }
    for place, value in _values(hdus, "AIRORVAC").items():
        said[place] = "air" if str(value).strip().lower() == "air" else "vacuum"
    place = names_of(table).index(_columns(table)["wave"]) + 1
    words: Sequence[str] = str(table.header.get(f"TUCD{place}", "")).strip().lower().split(";")
    if words[0] == "em.wl":
        said[f"TUCD{place}"] = "air" if "obs.atmos" in words else "vacuum"
    medium = agreed(said)
    return None if medium is None else medium == "air"


def _frame_notes(hdus: fits.HDUList) -> list[str]:
    """What is to be known of the frame of the wavelengths.

    Raises:
        BadInput: it is one in which redshifts would be wrong.
    """
    frame = _said(hdus, "SPECSYS")
    if frame is None:
        return ["no SPECSYS: wavelengths are taken for those of the barycentre"]
    if str(frame).upper() not in FRAMES:
        raise BadInput(
            f"SPECSYS is {frame!r}: it takes wavelengths as observed, in one of the frames "
            f"{', '.join(FRAMES)}"
        )
    apart = FRAMES[str(frame).upper()]
    told = f"SPECSYS {frame}: up to {apart} km/s from the barycentre are not corrected"
    return [told] if apart else []


def _zred(hdus: fits.HDUList) -> float:
    """Redshift of the headers, NaN where they have none."""
    value = _said(hdus, *REDSHIFT)
    if value is None:
        return np.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{' or '.join(REDSHIFT)} is {value!r}, not a number")
    return float(value)


def _resolution(hdus: fits.HDUList) -> float | None:
    """Wavelength over FWHM, None where it is not told."""
    value = _said(hdus, "SPEC_RES")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadInput(f"SPEC_RES is {value!r}: it takes the resolving power, above 0")
    return float(value)
