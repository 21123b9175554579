"""Blocks of rows of survey files in FITS, as records. Masked pixels leave with ivar 0."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey import fits_layouts
from hpcsbi.survey.column_files import COLUMNS, from_columns
from hpcsbi.survey.spectra import Spectra, Vectors, text

__all__ = ["READERS", "Reading"]


class Reading(Protocol):
    """How a survey's files are read; see `survey.Survey`."""

    bad_bits: Sequence[int]
    classes: Sequence[str]
    good_fibers: Sequence[int]
    ebv_factor: float


Reader = Callable[[Reading, str, fits.HDUList, fits.HDUList | None, slice], Iterator[Spectra]]


def _read_sdss(
    survey: Reading, stem: str, hdus: fits.HDUList, beside: None, rows: slice
) -> Iterator[Spectra]:
    """One spectrum a file; or_mask is not used: it marks what a single exposure missed."""
    pixels, best = fits_layouts.coadd(hdus), fits_layouts.best(hdus)
    known, object_ = set(fits_layouts.names_of(best)), best.data
    masked = "AND_MASK" in fits_layouts.names_of(pixels)
    pixels = pixels.data
    ivar = pixels["ivar"].astype(float)
    if masked:
        ivar[_is_bad(pixels["and_mask"], survey.bad_bits)] = 0.0
    yield Spectra(
        wave=10.0 ** pixels["loglam"].astype(float),
        flux=pixels["flux"].astype(float)[None],
        ivar=ivar[None],
        zred=object_["Z"].astype(float),
        id=[_sdss_name({name: object_[name][0] for name in known}) or stem],
        unit=fits_layouts.unit_of("sdss", hdus),
        zwarn=_column(object_, "ZWARNING", 0) != 0,
        other_class="CLASS" in known and _not_in(object_["CLASS"], survey.classes),
        no_status=np.array([not masked or not known >= {"ZWARNING", "CLASS"}]),
    )


def _sdss_name(row: dict[str, Any]) -> str:
    """Plate-MJD-fibre, or field-MJD-catalogue number (SDSS-V); "" for neither."""
    if row.keys() >= {"PLATE", "MJD", "FIBERID"}:
        return f"{int(row['PLATE']):04d}-{int(row['MJD'])}-{int(row['FIBERID']):04d}"
    if row.keys() >= {"FIELD", "MJD", "CATALOGID"}:
        return f"{int(row['FIELD']):06d}-{int(row['MJD'])}-{int(row['CATALOGID'])}"
    return ""


def _read_desi(
    survey: Reading, stem: str, hdus: fits.HDUList, beside: fits.HDUList, rows: slice
) -> Iterator[Spectra]:
    """Cameras merged by ivar on their common grid; the resolution matrix is never touched."""
    fibers, table = hdus["FIBERMAP"].data[rows], fits_layouts.redshifts(beside).data
    wave, flux, ivar = _merged(hdus, survey, rows)
    match, listed, twice = _join(np.asarray(fibers["TARGETID"]), table)
    has, told = set(fibers.names), set(table.names)
    status = next((n for n in ("COADD_FIBERSTATUS", "FIBERSTATUS") if n in has), "")
    bad_fiber = ~np.isin(_column(fibers, status, survey.good_fibers[0]), survey.good_fibers)
    sky = _not_in(_column(fibers, "OBJTYPE", "TGT"), ["TGT"])
    other = _not_in(_column(table, "SPECTYPE", survey.classes[0])[match], survey.classes)
    masks = all(f"{camera}_MASK" in hdus for camera in fits_layouts.cameras(hdus))
    known = masks and bool(status) and "OBJTYPE" in has and told >= {"ZWARN", "SPECTYPE"}
    reason = np.where(listed, "", "its TARGETID is not in the redrock file")
    reason = np.where(twice, "its TARGETID stands for different redshifts in redrock", reason)
    yield Spectra(
        wave=wave,
        flux=flux,
        ivar=np.where(bad_fiber[:, None], 0.0, ivar),
        zred=np.where(listed & ~twice, table["Z"][match], np.nan),
        id=[str(target) for target in fibers["TARGETID"]],
        unit=fits_layouts.unit_of("desi", hdus),
        ebv=survey.ebv_factor * _column(fibers, "EBV", np.nan),
        zwarn=~listed | twice | (_column(table, "ZWARN", 0)[match] != 0),
        other_class=sky | (listed & other),
        bad_fiber=bad_fiber,
        no_status=np.full(len(fibers), not known),
        reason=reason,
    )


def _join(targets: np.ndarray, table: fits.FITS_rec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of each target in the table of redshifts, if it is there, and if with several values."""
    ids, zred = np.asarray(table["TARGETID"]), np.asarray(table["Z"], dtype=float)
    order = np.lexsort((zred, ids))
    first = np.searchsorted(ids, targets, sorter=order)
    last = np.searchsorted(ids, targets, sorter=order, side="right") - 1
    first, last = (order[at.clip(0, len(order) - 1)] for at in (first, last))
    listed = ids[first] == targets
    return first, listed, listed & (zred[first] != zred[last])


def _merged(
    hdus: fits.HDUList, survey: Reading, rows: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths, flux, ivar of all cameras of a file, the cameras weighted by ivar."""
    names = fits_layouts.cameras(hdus)
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
            bad |= _is_bad(hdus[f"{name}_MASK"].section[rows], survey.bad_bits)
        weight[bad] = 0.0
        weighted[:, camera] += weight * np.where(weight > 0, values, 0.0)
        ivar[:, camera] += weight
    flux = np.divide(weighted, ivar, out=np.zeros(ivar.shape), where=ivar > 0)
    return first + step * np.arange(pixels), flux, ivar


def _read_manga(
    survey: Reading, stem: str, hdus: fits.HDUList, beside: None, rows: slice
) -> Iterator[Spectra]:
    """Spectra as images with one row each, named after the file and the row."""
    bad = _is_bad(hdus["MASK"].section[rows], survey.bad_bits)
    wave = hdus["WAVE"]
    yield Spectra(
        wave=(wave.data if len(wave.shape) == 1 else wave.section[rows]).astype(float),
        flux=hdus["FLUX"].section[rows].astype(float),
        ivar=np.where(bad, 0.0, hdus["IVAR"].section[rows]),
        zred=hdus["Z"].data[rows].astype(float),
        id=[f"{stem}-{row}" for row in range(rows.start, rows.stop)],
        unit=fits_layouts.unit_of("manga", hdus),
    )


def _read_table(
    survey: Reading, stem: str, hdus: fits.HDUList, beside: None, rows: slice
) -> Iterator[Spectra]:
    """FITS tables with vectors in each row, one behind the other."""
    before = 0
    for hdu in fits_layouts.tables(hdus):
        length = hdu.header["NAXIS2"]
        first, last = max(rows.start - before, 0), min(rows.stop - before, length)
        if first < last:
            table = hdu.data[first:last]
            names = {name.lower(): name for name in table.names}
            columns = {key: table[name] for key, name in names.items() if key in COLUMNS}
            columns["zred"] = table[names["z"]]
            columns |= {name: _vectors(columns[name]) for name in ("wave", "flux", "ivar")}
            spare = [f"{stem}-{before + row}" for row in range(first, last)]
            yield from_columns(columns, fits_layouts.table_unit(hdu), spare)
        before += length


def _vectors(values: np.ndarray) -> Vectors:
    """A column of vectors; a list where their lengths vary."""
    if values.dtype == object:
        return [np.asarray(value) for value in values]
    return np.asarray(values).astype(float, copy=False)


READERS: dict[str, Reader] = {
    "sdss": _read_sdss,
    "desi": _read_desi,
    "manga": _read_manga,
    "table": _read_table,
}


def _is_bad(mask: np.ndarray, bits: Sequence[int]) -> np.ndarray:
    return (mask.astype(np.int64) & (sum(1 << bit for bit in bits) or -1)) != 0


def _not_in(values: Sequence[Any], classes: Sequence[str]) -> np.ndarray:
    return ~np.isin([text(value) for value in values], classes)


def _column(table: fits.FITS_rec, name: str, fill: Any) -> np.ndarray:
    """A column, or a constant where the table has none."""
    return np.asarray(table[name]) if name in table.names else np.full(len(table), fill)
