"""Spectra of Subaru's Prime Focus Spectrograph (pfsObject, pfsSingle), one a file."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from scipy.constants import speed_of_light

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import FileFormat, Options
from hpcsbi.survey.readers.fits_files import (
    bad_pixels,
    check_shape,
    linear_axis,
    names_of,
    number_of,
    wave_unit,
)
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.spectra import USUAL, Spectra, per_angstrom, per_hertz

__all__ = ["Pfs"]

IMAGES = {"FLUX", "MASK", "COVAR"}
TABLES = ("FLUX_TABLE", "FLUXTBL")
COLUMNS = {"WAVELENGTH", "FLUX", "ERROR", "MASK"}
NANOJANSKY, NANOMETRE = "nJy", "nm"
# Mask planes of which no flux is to be had; each file says by MP_NAME which bit is which.
PLANES = ("BAD", "SAT", "CR", "EDGE", "NO_DATA", "BAD_FLAT", "BAD_FLUXCAL", "BAD_SKY")
LAST = 3000.0  # nm: the spectrograph ends at 1260, so larger numbers are Angstrom
LIGHT = speed_of_light * 1e10  # Angstrom/s
NO_REDSHIFT = "no redshift in its file: give it in ingest.redshifts"


class Pfs(FileFormat):
    """See `FileFormat`: images of one spectrum on even wavelengths, or else its table of fluxes.

    Flux is F_nu, nJy; wavelengths are in nm, vacuum and the barycentre. The table, at nearly the
    native sampling, is read where there are no images.

    References:
        Subaru-PFS/datamodel, PfsFiberArray and FluxTable: FLUX MASK COVAR (its first row is the
        variance) TARGET, wavelengths by WAVELENGTH or the header of FLUX.
    """

    name = "pfs"
    contents = f"TARGET, and {' '.join(sorted(IMAGES))} or {TABLES[0]}"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        target = hdus["TARGET"].header if "TARGET" in hdus else {}
        return "OBJID" in target and (_has_images(hdus) or _table(hdus) is not None)

    def look(self, hdus: fits.HDUList, air: bool) -> tuple[int, list[str]]:
        """See `Layout.look`; wavelengths are in vacuum, in nm where no unit is said."""
        _wave_unit(hdus)
        _per_hertz(hdus)
        return self.count(hdus)

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return [_spectrum(hdus)]

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`: that of flux per wavelength, into which `read` turns it."""
        return per_angstrom(USUAL, "unit")

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        if not _has_images(hdus):
            return 1, []
        shape = hdus["FLUX"].shape
        if len(shape) != 1:
            raise BadInput(
                f"FLUX has shape {shape}: it takes one spectrum a file, pfsObject or pfsSingle"
            )
        check_shape(hdus, "MASK", shape, "FLUX")
        check_shape(hdus, "COVAR", (3, *shape), "FLUX")
        if "WAVELENGTH" in hdus:
            check_shape(hdus, "WAVELENGTH", shape, "FLUX")
        elif {"CRVAL1", "CDELT1"} - set(hdus["FLUX"].header):
            raise BadInput("no wavelengths: neither WAVELENGTH nor CRVAL1 and CDELT1 of FLUX")
        table = _table(hdus)
        return 1, [] if table is None else [f"{table.name} is not read, FLUX is"]

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`: catalogue and object, which several files may hold."""
        head = hdus["TARGET"].header
        return [f"{head.get('CATID', '')}-{head['OBJID']}"]

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: the file's name tells the visits."""
        head = hdus["TARGET"].header
        place = (number_of(head, name) for name in ("RA", "DEC"))
        return Identity([stem], "", "", *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`."""
        wave, flux, variance, mask = _vectors(hdus)
        if np.nanmax(wave) > LAST:
            raise BadInput(f"wavelengths up to {np.nanmax(wave):.6g} nm: say their unit, Angstrom?")
        wave = wave * wave_unit("WAVELENGTH", "nm")
        # F_lambda = F_nu c / lambda^2
        scale = _per_hertz(hdus) * LIGHT / wave**2 / self.unit(hdus)
        ivar = np.zeros(len(flux))
        good = np.isfinite(flux) & (variance > 0) & (variance < np.inf)
        good &= ~bad_pixels(mask, _bits(hdus, options.bad_bits))
        ivar[good] = 1 / (variance[good] * scale[good] ** 2)
        yield Spectra(
            wave=wave,
            flux=(flux * scale)[None],
            ivar=ivar[None],
            zred=np.array([np.nan]),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=self.unit(hdus),
            air=False,
            zwarn=np.array([True]),
            reason=[NO_REDSHIFT],
        )


def _has_images(hdus: fits.HDUList) -> bool:
    return {hdu.name for hdu in hdus if hdu.is_image} >= IMAGES


def _table(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    return next((h for h in hdus if h.name in TABLES and set(names_of(h)) >= COLUMNS), None)


def _spectrum(hdus: fits.HDUList) -> Any:
    """The HDU with the flux that is read."""
    return hdus["FLUX"] if _has_images(hdus) else _table(hdus)


def _per_hertz(hdus: fits.HDUList) -> float:
    hdu = _spectrum(hdus)
    said = hdu.header.get("BUNIT") if hdu.is_image else _unit_of(hdu, "FLUX")
    return per_hertz(said or NANOJANSKY, f"unit of {hdu.name}")


def _wave_unit(hdus: fits.HDUList) -> float:
    """Nanometres of one unit of wavelength."""
    hdu = _spectrum(hdus)
    if not hdu.is_image:
        said = _unit_of(hdu, "WAVELENGTH")
    elif "WAVELENGTH" in hdus:
        said = hdus["WAVELENGTH"].header.get("BUNIT")
    else:
        said = hdu.header.get("CUNIT1")
    return wave_unit("WAVELENGTH", said or NANOMETRE) / wave_unit("WAVELENGTH", NANOMETRE)


def _unit_of(table: fits.BinTableHDU, name: str) -> str | None:
    return {(column.name or "").upper(): column.unit for column in table.columns}[name]


def _vectors(hdus: fits.HDUList) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength in nm, flux, its variance, and the mask."""
    if not _has_images(hdus):
        table = _table(hdus).data
        wave, flux, error = (table[name].astype(float) for name in ("wavelength", "flux", "error"))
        return wave * _wave_unit(hdus), flux, error**2 * np.sign(error), table["mask"]
    flux = hdus["FLUX"].data.astype(float)
    if "WAVELENGTH" in hdus:
        wave = hdus["WAVELENGTH"].data.astype(float)
    else:
        wave = linear_axis(hdus["FLUX"].header, len(flux))
    return wave * _wave_unit(hdus), flux, hdus["COVAR"].data[0].astype(float), hdus["MASK"].data


def _bits(hdus: fits.HDUList, usual: Sequence[int]) -> Sequence[int]:
    """Bits of PLANES as the file numbers them, or those of the configuration."""
    head = hdus["MASK"].header if _has_images(hdus) else _table(hdus).header
    return [int(head[f"MP_{name}"]) for name in PLANES if f"MP_{name}" in head] or usual
