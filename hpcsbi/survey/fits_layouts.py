"""Layouts of survey files in FITS: how each is known, and what its headers must say."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.column_files import COLUMNS, check_ids
from hpcsbi.survey.compressed import open_contents
from hpcsbi.survey.spectra import PER_ANGSTROM, USUAL, factor, per_angstrom

__all__ = [
    "SURVEYS",
    "best",
    "cameras",
    "coadd",
    "look",
    "names_of",
    "open_fits",
    "redshifts",
    "table_unit",
    "tables",
    "unit_of",
]

TABLE = ("ID", "Z", "WAVE", "FLUX", "IVAR")
COADD = {"FLUX", "LOGLAM", "IVAR"}
MANGA = ("WAVE", "FLUX", "IVAR", "MASK", "Z")
# Tables of redshifts in files of the SDSS family, the best fit before others.
BEST = ("SPECOBJ", "SPALL", "SPZBEST", "ZBEST")
LAYOUTS = {
    "sdss": "a table with flux loglam ivar, and one with Z in a single row (SPECOBJ, SPALL)",
    "desi": "FIBERMAP, and X_WAVELENGTH X_FLUX X_IVAR of a camera X (B, R or Z)",
    "manga": " ".join(MANGA),
    "table": f"a table of {' '.join(TABLE)}",
    "redrock": "REDSHIFTS (or ZBEST) with TARGETID and Z",
}
SURVEYS = ("sdss", "desi", "manga", "table")


def open_fits(file: Any) -> fits.HDUList:
    """All HDUs of a file; text as bytes, so that one odd byte costs no column."""
    with warnings.catch_warnings():  # a cut file is refused by `look`, with its size
        warnings.simplefilter("ignore")
        hdus = fits.open(file, character_as_bytes=True)
        len(hdus)  # reads all headers
    return hdus


def look(path: Path, layout: str, air: bool) -> tuple[int, list[str]]:
    """Number of rows, and what of the file is not read, from its headers.

    Raises:
        ValueError: another layout, cut short, shapes or units that do not fit.
        OSError, EOFError: damaged.
    """
    with open_contents(path) as file, open_fits(file) as hdus:
        ends = [info["datLoc"] + info["datSpan"] for info in (hdu.fileinfo() for hdu in hdus)]
        size = file.seek(0, 2)  # reads a compressed file to its end
        if not HAS[layout](hdus):
            _refuse_layout(hdus, layout)
        if max(ends) > size:
            raise BadInput(f"cut short, {size} of {max(ends)} bytes: fetch it again")
        if layout != "redrock":
            _check_wave(hdus, layout, air)
            unit_of(layout, hdus)
        return CHECKS[layout](hdus)


def _refuse_layout(hdus: fits.HDUList, layout: str) -> None:
    names = " ".join(hdu.name or "(no name)" for hdu in hdus)
    other = [name for name in SURVEYS if HAS[name](hdus)]
    mend = f"it looks like survey={other[0]}" if other else "choose another survey"
    raise BadInput(f"found HDUs {names}, but {layout} needs {LAYOUTS[layout]}: {mend}")


def names_of(hdu: Any) -> list[str]:
    """Names of the columns of a table, upper case; none for an image."""
    table = isinstance(hdu, fits.BinTableHDU)
    return [name.upper() for name in hdu.columns.names] if table else []


def _columns(hdu: Any) -> set[str]:
    return set(names_of(hdu))


def tables(hdus: fits.HDUList) -> list[fits.BinTableHDU]:
    """All tables of a user's spectra."""
    return [hdu for hdu in hdus if set(TABLE) <= _columns(hdu)]


def coadd(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    """The first table with a spectrum; single exposures come behind it."""
    return next((hdu for hdu in hdus if _columns(hdu) >= COADD), None)


def best(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    """The table with the redshift of the coadd, in one row."""
    candidates = [hdu for hdu in hdus if "Z" in _columns(hdu) and hdu.header["NAXIS2"] == 1]
    named = [hdu for name in BEST for hdu in candidates if hdu.name == name]
    return (named + candidates or [None])[0]


def cameras(hdus: fits.HDUList) -> list[str]:
    """Cameras of a DESI file, those that have wavelengths, flux and ivar."""
    names = {hdu.name for hdu in hdus}
    cameras = [hdu.name.removesuffix("_WAVELENGTH") for hdu in hdus if "_WAVELENGTH" in hdu.name]
    return [camera for camera in cameras if {f"{camera}_FLUX", f"{camera}_IVAR"} <= names]


def redshifts(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    wanted = ("REDSHIFTS", "ZBEST")
    return next((hdu for name in wanted for hdu in hdus if hdu.name == name), None)


HAS = {
    "sdss": lambda hdus: coadd(hdus) is not None and best(hdus) is not None,
    "desi": lambda hdus: "FIBERMAP" in hdus and bool(cameras(hdus)),
    "manga": lambda hdus: {hdu.name for hdu in hdus} >= set(MANGA),
    "table": lambda hdus: bool(tables(hdus)),
    "redrock": lambda hdus: {"TARGETID", "Z"} <= _columns(redshifts(hdus)),
}


def _check_sdss(hdus: fits.HDUList) -> tuple[int, list[str]]:
    return 1, []


def _check_desi(hdus: fits.HDUList) -> tuple[int, list[str]]:
    rows, notes = hdus["FIBERMAP"].header["NAXIS2"], []
    _check_targets(hdus["FIBERMAP"])
    for camera in cameras(hdus):
        pixels = hdus[f"{camera}_WAVELENGTH"].shape
        for name in ("FLUX", "IVAR", "MASK"):
            if f"{camera}_{name}" in hdus:
                _check_shape(hdus, f"{camera}_{name}", (rows, *pixels), "FIBERMAP and wavelengths")
            else:
                notes.append(f"camera {camera} has no {camera}_{name}")
    named = {hdu.name.removesuffix("_WAVELENGTH") for hdu in hdus if "_WAVELENGTH" in hdu.name}
    notes += [
        f"camera {camera} lacks flux or ivar and is not read"
        for camera in sorted(named - set(cameras(hdus)))
    ]
    return rows, notes


def _check_manga(hdus: fits.HDUList) -> tuple[int, list[str]]:
    shape = hdus["FLUX"].shape
    if len(shape) != 2:
        raise BadInput(f"FLUX has shape {shape}: it takes one row a spectrum")
    for name in ("IVAR", "MASK"):
        _check_shape(hdus, name, shape, "FLUX")
    _check_shape(hdus, "Z", shape[:1], "FLUX")
    if hdus["WAVE"].shape not in (shape, shape[1:]):
        _check_shape(hdus, "WAVE", shape[1:], "FLUX")
    return shape[0], []


def _check_targets(table: fits.BinTableHDU) -> None:
    """Refuse a table whose rows cannot be joined."""
    if "TARGETID" not in _columns(table):
        raise BadInput(f"{table.name} has no TARGETID")
    form = table.columns["TARGETID"].format.strip()
    check_ids("f" if form[-1] in "ED" else "", f"TARGETID of {table.name}")


def _check_shape(hdus: fits.HDUList, name: str, shape: tuple, by: str) -> None:
    if hdus[name].shape != shape:
        raise BadInput(f"{name} has shape {hdus[name].shape}, but {by} ask for {shape}")


def _check_table(hdus: fits.HDUList) -> tuple[int, list[str]]:
    notes = [f"HDU {k} ({hdu.name or 'no name'}) is not read" for k, hdu in enumerate(hdus) if k]
    for k, hdu in enumerate(hdus):
        if hdu not in tables(hdus):
            continue
        notes.remove(f"HDU {k} ({hdu.name or 'no name'}) is not read")
        formats = {column.name.upper(): column.format.strip() for column in hdu.columns}
        check_ids("f" if formats["ID"][-1] in "ED" else "", "ID")
        sizes = {name: _repeat(formats[name]) for name in ("WAVE", "FLUX", "IVAR")}
        if len({size for size in sizes.values() if size is not None}) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise BadInput(f"vectors of different lengths in each row: {told}")
        if 1 in sizes.values():
            raise BadInput("one value a row in place of a vector: it takes one spectrum a row")
        for name in {"Z", "EBV", "DISTANCE"} & set(formats):
            if _repeat(formats[name]) != 1 or formats[name][-1] not in "EDBIJK":
                raise BadInput(f"{name} has format {formats[name]!r}: it takes one number a row")
        known = {name.upper() for name in COLUMNS} | {"Z"}
        if spare := sorted(set(formats) - known):
            notes.append(f"columns {', '.join(spare)} are not read")
    return sum(hdu.header["NAXIS2"] for hdu in tables(hdus)), notes


def _repeat(form: str) -> int | None:
    """Values in each row of a column; None where it varies."""
    if "P" in form or "Q" in form:
        return None
    return int(form[:-1] or 1) if form[:-1].isdigit() or len(form) == 1 else None


def _check_redrock(hdus: fits.HDUList) -> tuple[int, list[str]]:
    table = redshifts(hdus)
    _check_targets(table)
    if not table.header["NAXIS2"]:
        raise BadInput(f"{table.name} has no rows")
    lacking = {"ZWARN", "SPECTYPE"} - _columns(table)
    notes = [f"no column {name}" for name in sorted(lacking)]
    return table.header["NAXIS2"], notes


CHECKS = {
    "sdss": _check_sdss,
    "desi": _check_desi,
    "manga": _check_manga,
    "table": _check_table,
    "redrock": _check_redrock,
}


def _of_flux(hdus: fits.HDUList, layout: str) -> list:
    """HDUs whose headers speak of the flux."""
    if layout == "sdss":
        return [hdus[0], coadd(hdus)]
    return [hdus[f"{camera}_FLUX"] for camera in cameras(hdus)] or [hdus["FLUX"]]


def _of_wave(hdus: fits.HDUList, layout: str) -> list:
    """HDUs whose headers speak of the wavelengths."""
    if layout in ("sdss", "table"):
        return [hdus[0], *([coadd(hdus)] if layout == "sdss" else tables(hdus))]
    holders = [hdus[f"{camera}_WAVELENGTH"] for camera in cameras(hdus)]
    return [hdus[0], *(holders or [hdus["WAVE"]])]


def _check_wave(hdus: fits.HDUList, layout: str, air: bool) -> None:
    """Refuse wavelengths in another unit, or in air where the survey says vacuum, or reversed."""
    for hdu in _of_wave(hdus, layout):
        header = hdu.header
        unit = header.get("BUNIT") if layout in ("desi", "manga") and hdu is not hdus[0] else None
        if unit and not np.isclose(factor(unit, units.AA), 1, rtol=1e-6):
            raise BadInput(f"BUNIT of {hdu.name} is {unit!r}: write wavelengths in Angstrom")
        said = str(header.get("AIRORVAC", "")).lower()
        place = names_of(hdu).index("WAVE") + 1 if "WAVE" in names_of(hdu) else 0
        in_air = said == "air" or "obs.atmos" in str(header.get(f"TUCD{place}", ""))
        in_air |= header.get("VACUUM") is False or header.get("CTYPE1") == "AWAV"
        in_vacuum = said.startswith("vac") or header.get("VACUUM") is True
        if in_air != in_vacuum and in_air != air:
            raise BadInput(
                f"the header of HDU {hdu.name} says that wavelengths are in "
                f"{'air' if in_air else 'vacuum'}: set survey.air={str(in_air).lower()}"
            )


def unit_of(layout: str, hdus: fits.HDUList) -> float:
    """Unit of flux; the surveys fix theirs, a header that says otherwise is refused."""
    if layout == "table":
        return table_unit(tables(hdus)[0])
    said = [hdu.header["BUNIT"] for hdu in _of_flux(hdus, layout) if "BUNIT" in hdu.header]
    distinct = {f"{per_angstrom(name, 'BUNIT'):.6e}" for name in said or [USUAL]}
    if len(distinct) > 1:
        raise BadInput(f"different units of flux in one file: {', '.join(map(str, said))}")
    return per_angstrom((said or [USUAL])[0], "BUNIT")


def table_unit(table: fits.BinTableHDU) -> float:
    """Unit of flux of a user's table, whose other units must fit."""
    said = {column.name.upper(): column.unit for column in table.columns}
    unit = per_angstrom(said["FLUX"], "TUNIT of FLUX")
    per_unit = units.Unit(1 / (unit * PER_ANGSTROM) ** 2)
    for name, right in {"WAVE": units.AA, "DISTANCE": units.Mpc, "IVAR": per_unit}.items():
        unit_name = said.get(name)
        if unit_name and not np.isclose(factor(unit_name, right), 1, rtol=1e-6):
            raise BadInput(f"TUNIT of {name} is {unit_name!r}: write it in {right}")
    return unit
