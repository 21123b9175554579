"""Spectra of AAOmega as 2dfdr reduces and Marz reads them: images with a fibre a row."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import FileFormat, Options
from hpcsbi.survey.readers.fits_files import (
    agreed,
    check_shape,
    flux_unit,
    linear_axis,
    names_of,
    not_among,
    wave_unit,
)
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.ids import names_or, row_names
from hpcsbi.survey.record.spectra import Spectra, per_angstrom

__all__ = ["Aaomega"]

HELIOCENTRIC = {"HELIOCEN", "BARYCENT"}
TO_COME = "heliocentric correction (up to 30 km/s) is still to be made, and is not"
NO_REDSHIFT = "no redshift in its file: give it in ingest.redshifts"


class Aaomega(FileFormat):
    """See `FileFormat`: the first image is the flux, VARIANCE beside it, FIBRES tells the objects.

    Counts have no unit: `Survey.flux_unit` is what one is, and must be given. Wavelengths are those
    of WAVELENGTH, or else of the first header; in air unless VACUUM, AIRORVAC or CTYPE1 say other.

    References:
        2dfdr of the AAO; Hinton et al. 2016, Astronomy and Computing 15, 61 (Marz): DO_HELIO asks
        for a heliocentric correction that is not made yet.
    """

    name = "aaomega"
    contents = "an image of flux in the first HDU, VARIANCE, and FIBRES with NAME"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        fibres = names_of(hdus["FIBRES"]) if "FIBRES" in hdus else []
        return "VARIANCE" in hdus and "NAME" in fibres and hdus[0].header["NAXIS"] in (1, 2)

    def look(self, hdus: fits.HDUList, air: bool) -> tuple[int, list[str]]:
        """See `Layout.look`; each file says itself if its wavelengths are in air.

        Raises:
            ValueError: headers that contradict each other, no wavelengths.
        """
        _in_air(hdus)
        _wave_factor(hdus)
        self.unit(hdus)
        rows, notes = self.count(hdus)
        return rows, notes + _frame_notes(hdus)

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return [hdus["WAVELENGTH"]] if "WAVELENGTH" in hdus else []

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`: NaN where the file does not say."""
        return flux_unit(hdus[:1]) if "BUNIT" in hdus[0].header else np.nan

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        shape = hdus[0].shape
        rows = 1 if len(shape) == 1 else shape[0]
        check_shape(hdus, "VARIANCE", shape, "the first image")
        if (named := hdus["FIBRES"].header["NAXIS2"]) != rows:
            raise BadInput(f"FIBRES has {named} rows for {rows} spectra")
        if "WAVELENGTH" in hdus:
            if hdus["WAVELENGTH"].shape not in (shape, shape[-1:]):
                check_shape(hdus, "WAVELENGTH", shape[-1:], "the first image")
        elif {"CRVAL1", "CDELT1"} - set(hdus[0].header):
            raise BadInput("no wavelengths: neither WAVELENGTH nor CRVAL1 and CDELT1")
        return rows, []

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`: NAME."""
        return names_or(hdus["FIBRES"].data["NAME"][rows], row_names(stem, rows))

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: places are in radians; an object comes in several files."""
        table = hdus["FIBRES"]
        place = (
            np.degrees(table.data[name][rows]) if name in names_of(table) else np.nan
            for name in ("RA", "DEC")
        )
        return Identity(row_names(stem, rows), "", "", *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`; fibres on the sky, or on nothing, are no galaxies."""
        flux, variance = (np.atleast_2d(hdu.data)[rows] for hdu in (hdus[0], hdus["VARIANCE"]))
        ivar = np.zeros(flux.shape)
        good = np.isfinite(flux) & (variance > 0) & (variance < np.inf)
        ivar[good] = 1 / variance[good].astype(float)
        fibres = hdus["FIBRES"].data[rows]
        known = "TYPE" in names_of(hdus["FIBRES"])
        unit = self.unit(hdus)
        yield Spectra(
            wave=_wave(hdus, flux.shape[1], rows) * _wave_factor(hdus),
            flux=flux.astype(float),
            ivar=ivar,
            zred=np.full(len(flux), np.nan),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=per_angstrom(options.flux_unit, "survey.flux_unit") if np.isnan(unit) else unit,
            air=_in_air(hdus),
            zwarn=np.ones(len(flux), dtype=bool),
            other_class=not_among(fibres["TYPE"], ["P"]) if known else None,
            no_status=np.full(len(flux), not known),
            reason=[NO_REDSHIFT] * len(flux),
        )


def _wave(hdus: fits.HDUList, pixels: int, rows: slice) -> np.ndarray:
    if "WAVELENGTH" not in hdus:
        return linear_axis(hdus[0].header, pixels)
    wave = hdus["WAVELENGTH"].data.astype(float)
    return wave if wave.ndim == 1 else wave[rows]


def _wave_factor(hdus: fits.HDUList) -> float:
    """Angstrom of one unit of the wavelengths."""
    if "WAVELENGTH" in hdus and "BUNIT" in hdus["WAVELENGTH"].header:
        return wave_unit("WAVELENGTH", hdus["WAVELENGTH"].header["BUNIT"])
    return wave_unit("CUNIT1", hdus[0].header.get("CUNIT1", "Angstrom"))


def _in_air(hdus: fits.HDUList) -> bool | None:
    """Whether wavelengths are in air, None where the file does not say.

    Raises:
        BadInput: keywords contradict each other.
    """
    said = {}
    for hdu in (hdus[0], *([hdus["WAVELENGTH"]] if "WAVELENGTH" in hdus else [])):
        head, where = hdu.header, hdu.name or "the first header"
        if isinstance(head.get("VACUUM"), bool):
            said[f"VACUUM of {where}"] = "vacuum" if head["VACUUM"] else "air"
        if medium := str(head.get("AIRORVAC", "")).strip().lower():
            said[f"AIRORVAC of {where}"] = "air" if medium == "air" else "vacuum"
        if str(head.get("CTYPE1", "")).strip().upper() in ("AWAV", "WAVE"):
            said[f"CTYPE1 of {where}"] = "air" if head["CTYPE1"].startswith("A") else "vacuum"
    medium = agreed(said)
    return None if medium is None else medium == "air"


def _frame_notes(hdus: fits.HDUList) -> list[str]:
    """What is to be known of the frame of the wavelengths.

    Raises:
        BadInput: keywords contradict each other.
    """
    head = hdus[0].header
    frame, to_come = str(head.get("SPECSYS", "")).strip().upper(), head.get("DO_HELIO") is True
    if frame in HELIOCENTRIC and to_come:
        raise BadInput(
            f"contradicts itself: SPECSYS says {frame}, and DO_HELIO that the heliocentric "
            "correction is still to be made: mend the header"
        )
    return (
        [] if frame in HELIOCENTRIC else [f"{'DO_HELIO' if to_come else 'no SPECSYS'}: {TO_COME}"]
    )
