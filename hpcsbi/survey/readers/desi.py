"""DESI's coadds (or spectra), which come with the files of their redshifts (redrock)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import FileFormat, Layout, Options
from hpcsbi.survey.readers.fits_files import (
    bad_pixels,
    check_shape,
    column_or,
    flux_unit,
    names_of,
    not_among,
)
from hpcsbi.survey.record.classes import class_names
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.ids import check_ids
from hpcsbi.survey.record.source import Source, stem_of
from hpcsbi.survey.record.spectra import Spectra, text

__all__ = ["Desi", "Redrock"]

# What files of spectra are called, and those of their redshifts.
SPECTRA, REDROCKS = ("coadd", "spectra"), ("redrock", "zbest")
Merged = tuple[np.ndarray, np.ndarray, np.ndarray]


class Redrock(Layout):
    """See `Layout`: a table of redshifts."""

    name = "redrock"
    contents = "REDSHIFTS (or ZBEST) with TARGETID and Z"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return {"TARGETID", "Z"} <= set(names_of(_redshifts(hdus)))

    def look(self, hdus: fits.HDUList, air: bool) -> tuple[int, list[str]]:
        """See `Layout.look`."""
        table = _redshifts(hdus)
        _check_targets(table)
        if not table.header["NAXIS2"]:
            raise BadInput(f"{table.name} has no rows")
        lacking = {"ZWARN", "SPECTYPE"} - set(names_of(table))
        notes = [f"no column {name}" for name in sorted(lacking)]
        return table.header["NAXIS2"], notes


class Desi(FileFormat):
    """See `FileFormat`: images of up to three cameras, the objects in a table."""

    name = "desi"
    contents = "FIBERMAP, and X_WAVELENGTH X_FLUX X_IVAR of a camera X (B, R or Z)"
    beside = Redrock()

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """See `FileFormat.sources`: coadds with redrock files."""
        redrocks: dict[str, list[Path]] = {}
        for path in paths:
            if path.name.startswith(REDROCKS):
                redrocks.setdefault(stem_of(path), []).append(path)
        pairs = [
            Source(str(path), str(_redrock_of(path, redrocks)))
            for path in paths
            if stem_of(path) not in redrocks
        ]
        spare = {str(path) for same in redrocks.values() for path in same}
        spare -= {pair.beside for pair in pairs}
        if spare:
            raise BadInput(f"{', '.join(sorted(spare))}: no coadd of that name is among the files.")
        return pairs

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return "FIBERMAP" in hdus and bool(_cameras(hdus))

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return [hdus[f"{camera}_WAVELENGTH"] for camera in _cameras(hdus)]

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`."""
        return flux_unit(hdus[f"{camera}_FLUX"] for camera in _cameras(hdus))

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        rows, notes = hdus["FIBERMAP"].header["NAXIS2"], []
        _check_targets(hdus["FIBERMAP"])
        for camera in _cameras(hdus):
            shape = (rows, *hdus[f"{camera}_WAVELENGTH"].shape)
            for name in ("FLUX", "IVAR", "MASK"):
                if f"{camera}_{name}" in hdus:
                    check_shape(hdus, f"{camera}_{name}", shape, "FIBERMAP and wavelengths")
                else:
                    notes.append(f"camera {camera} has no {camera}_{name}")
        spare = sorted(set(_with_wavelengths(hdus)) - set(_cameras(hdus)))
        notes += [f"camera {camera} lacks flux or ivar and is not read" for camera in spare]
        if "EXPID" in names_of(hdus["FIBERMAP"]):
            notes.append("spectra of single exposures stay apart: coadd-*.fits has their means")
        return rows, notes

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`."""
        return [str(target) for target in hdus["FIBERMAP"].data["TARGETID"][rows]]

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: keys name what was coadded and its target."""
        fibers, first = hdus["FIBERMAP"].data[rows], hdus[0].header
        heads = (first, hdus["FIBERMAP"].header)
        survey, program = (
            next((text(head[name]) for head in heads if name in head), "")
            for name in ("SURVEY", "PROGRAM")
        )
        if "TILEID" in first:
            group = f"{first['TILEID']}-{first.get('SPGRP', '')}{first.get('SPGRPVAL', '')}"
        elif "HPXPIXEL" in first:
            group = f"{survey}-{program}"
        else:
            group = stem.partition("-")[2]
        keys = [f"{group}-{target}" for target in self.ids(stem, hdus, rows)]
        if "EXPID" in fibers.names:  # spectra of single exposures
            keys = [
                f"{key}-{exposure}" for key, exposure in zip(keys, fibers["EXPID"], strict=True)
            ]
        place = (column_or(fibers, name, np.nan) for name in ("TARGET_RA", "TARGET_DEC"))
        return Identity(keys, survey, program, *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: fits.HDUList, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`: cameras merged; the resolution matrix is never touched."""
        fibers, table = hdus["FIBERMAP"].data[rows], _redshifts(beside).data
        wave, flux, ivar = _merged(hdus, options.bad_bits, rows)
        match, listed, twice = _join(np.asarray(fibers["TARGETID"]), table)
        has, told = set(fibers.names), set(table.names)
        status = next((n for n in ("COADD_FIBERSTATUS", "FIBERSTATUS") if n in has), "")
        good = options.good_fibers
        bad_fiber = ~np.isin(column_or(fibers, status, good[0]), good)
        sky = not_among(column_or(fibers, "OBJTYPE", "TGT"), ["TGT"])
        kinds = column_or(table, "SPECTYPE", options.classes[0])[match]
        columns = (column_or(table, name, "")[match] for name in ("SPECTYPE", "SUBTYPE"))
        classes = np.where(listed & ~twice, class_names(*columns), "")
        masks = all(f"{camera}_MASK" in hdus for camera in _cameras(hdus))
        known = masks and bool(status) and "OBJTYPE" in has and told >= {"ZWARN", "SPECTYPE"}
        reason = np.where(listed, "", "its TARGETID is not in the redrock file")
        reason = np.where(twice, "its TARGETID stands for different redshifts in redrock", reason)
        yield Spectra(
            wave=wave,
            flux=flux,
            ivar=np.where(bad_fiber[:, None], 0.0, ivar),
            zred=np.where(listed & ~twice, table["Z"][match], np.nan),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=self.unit(hdus),
            ebv=options.ebv_factor * column_or(fibers, "EBV", np.nan),
            survey_class=classes.tolist(),
            zwarn=~listed | twice | (column_or(table, "ZWARN", 0)[match] != 0),
            other_class=sky | (listed & not_among(kinds, options.classes)),
            bad_fiber=bad_fiber,
            no_status=np.full(len(fibers), not known),
            reason=reason,
        )


def _redrock_of(coadd: Path, redrocks: Mapping[str, Sequence[Path]]) -> Path:
    """The redshifts of a coadd: of its own folder if they are there, listed or not.

    Two productions use the same names and the same TARGETIDs: a file that lies beside another
    coadd of its name belongs to that one.
    """
    stem = stem_of(coadd)
    begin = next((name for name in SPECTRA if stem.startswith(name)), None)
    stems = [stem.replace(begin, redrock, 1) for redrock in REDROCKS] if begin else []
    elsewhere = [path for name in stems for path in redrocks.get(name, ())]
    beside = [path for path in elsewhere if path.parent == coadd.parent]
    # spectra-*.fits.gz may come with redrock-*.fits.
    beside += [coadd.with_name(f"{name}{end}") for name in stems for end in (".fits", ".fits.gz")]
    if neighbour := next((path for path in beside if path.exists()), None):
        return neighbour
    free = [path for path in elsewhere if not _lies_in(path.parent, stem)]
    if len(free) == 1:
        return free[0]
    told = f" (not those of other folders: {', '.join(map(str, elsewhere))})" if elsewhere else ""
    raise BadInput(
        f"{coadd}: no redshifts: expected {(stems or ['redrock-*'])[0]}.fits beside it or among "
        f"the files{told} (DESI coadds are named coadd-*.fits and come with redrock-*.fits)."
    )


def _lies_in(folder: Path, stem: str) -> bool:
    """True if a file of spectra of this name, compressed or not, lies in a folder."""
    return any((folder / f"{stem}{end}").exists() for end in (".fits", ".fits.gz"))


def _with_wavelengths(hdus: fits.HDUList) -> list[str]:
    return [hdu.name.removesuffix("_WAVELENGTH") for hdu in hdus if "_WAVELENGTH" in hdu.name]


def _cameras(hdus: fits.HDUList) -> list[str]:
    """Those that have wavelengths, flux and ivar."""
    names = {hdu.name for hdu in hdus}
    return [c for c in _with_wavelengths(hdus) if {f"{c}_FLUX", f"{c}_IVAR"} <= names]


def _redshifts(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    wanted = ("REDSHIFTS", "ZBEST")
    return next((hdu for name in wanted for hdu in hdus if hdu.name == name), None)


def _check_targets(table: fits.BinTableHDU) -> None:
    """Refuse a table whose rows cannot be joined."""
    if "TARGETID" not in names_of(table):
        raise BadInput(f"{table.name} has no TARGETID")
    form = table.columns["TARGETID"].format.strip()
    check_ids("f" if form[-1] in "ED" else "", f"TARGETID of {table.name}")


def _join(targets: np.ndarray, table: fits.FITS_rec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of each target in the table of redshifts, if it is there, and if with several values."""
    ids, zred = np.asarray(table["TARGETID"]), np.asarray(table["Z"], dtype=float)
    order = np.lexsort((zred, ids))
    first = np.searchsorted(ids, targets, sorter=order)
    last = np.searchsorted(ids, targets, sorter=order, side="right") - 1
    first, last = (order[at.clip(0, len(order) - 1)] for at in (first, last))
    listed = ids[first] == targets
    return first, listed, listed & (zred[first] != zred[last])


def _merged(hdus: fits.HDUList, bad_bits: Sequence[int], rows: slice) -> Merged:
    """Wavelengths, flux, ivar of all cameras of a file, weighted by ivar on their common grid."""
    names = _cameras(hdus)
    waves = {name: hdus[f"{name}_WAVELENGTH"].data.astype(float) for name in names}
    first = min(wave[0] for wave in waves.values())
    step = (waves[names[0]][-1] - waves[names[0]][0]) / (len(waves[names[0]]) - 1)
    places = {name: (wave - first) / step for name, wave in waves.items()}
    pixels = 1 + round(max(place[-1] for place in places.values()))
    weighted, ivar = np.zeros((2, rows.stop - rows.start, pixels))
    for name, place in places.items():
        start = round(place[0])
        if not np.abs(place - start - np.arange(len(place))).max() < 1e-2:
            raise BadInput(f"camera {name} is not on the grid of camera {names[0]}")
        camera = slice(start, start + len(place))
        weight, values = (hdus[f"{name}_{q}"].section[rows].astype(float) for q in ("IVAR", "FLUX"))
        bad = ~np.isfinite(values) | ~(weight > 0)
        if f"{name}_MASK" in hdus:
            bad |= bad_pixels(hdus[f"{name}_MASK"].section[rows], bad_bits)
        weight[bad] = 0.0
        weighted[:, camera] += weight * np.where(weight > 0, values, 0.0)
        ivar[:, camera] += weight
    flux = np.divide(weighted, ivar, out=np.zeros(ivar.shape), where=ivar > 0)
    return first + step * np.arange(pixels), flux, ivar
