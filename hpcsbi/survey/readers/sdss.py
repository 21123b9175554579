"""Spec files of the SDSS family (legacy, BOSS, eBOSS, SDSS-V), one spectrum a file."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from astropy.io import fits

from hpcsbi.survey.readers.file_format import FileFormat, Options
from hpcsbi.survey.readers.fits_files import (
    bad_pixels,
    column_or,
    flux_unit,
    names_of,
    not_among,
    number_of,
)
from hpcsbi.survey.record.classes import class_names
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.line_spread import LIGHT
from hpcsbi.survey.record.spectra import Spectra, text

__all__ = ["Sdss"]

WDISP = 1e-4 * math.log(10) * LIGHT  # km/s: wdisp counts pixels of 1e-4 dex
COADD = {"FLUX", "LOGLAM", "IVAR"}
CLASSES = ("CLASS", "SUBCLASS")
PLACES = (("PLUG_RA", "PLUG_DEC"), ("FIBER_RA", "FIBER_DEC"), ("RACAT", "DECCAT"))
NAMED_BY = {"PLATE", "MJD", "FIBERID", "FIELD", "CATALOGID"}
OF = ("SURVEY", "PROGRAMNAME")
# Tables of redshifts, the best fit before others.
BEST = ("SPECOBJ", "SPALL", "SPZBEST", "ZBEST")


class Sdss(FileFormat):
    """See `FileFormat`: a table with the pixels of the coadd, and one with its redshift."""

    name = "sdss"
    contents = "a table with flux loglam ivar, and one with Z in a single row (SPECOBJ, SPALL)"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return _coadd(hdus) is not None and _best(hdus) is not None

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return [_coadd(hdus)]

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`."""
        return flux_unit([hdus[0], _coadd(hdus)])

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        return 1, []

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`."""
        best = _best(hdus)
        row = best.data[0]
        return [_name({name: row[name] for name in names_of(best) if name in NAMED_BY}) or stem]

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: the place of the fibre, as plugged or of the catalogue."""
        best = _best(hdus)
        known, row = set(names_of(best)), best.data[0]
        place = next((pair for pair in PLACES if known.issuperset(pair)), ())
        ra, dec = [float(row[name]) for name in place] or [
            number_of(hdus[0].header, name) for name in PLACES[0]
        ]
        survey, program = (text(row[name]) if name in known else "" for name in OF)
        return Identity(self.ids(stem, hdus, rows), survey, program, ra, dec)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`; or_mask is not used: it marks what a single exposure missed."""
        pixels, best = _coadd(hdus), _best(hdus)
        known, object_ = set(names_of(best)), best.data
        masked, spread = (name in names_of(pixels) for name in ("AND_MASK", "WDISP"))
        pixels = pixels.data
        ivar = pixels["ivar"].astype(float)
        if masked:
            ivar[bad_pixels(pixels["and_mask"], options.bad_bits)] = 0.0
        yield Spectra(
            wave=10.0 ** pixels["loglam"].astype(float),
            flux=pixels["flux"].astype(float)[None],
            ivar=ivar[None],
            zred=object_["Z"].astype(float),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=self.unit(hdus),
            dispersion=WDISP * pixels["wdisp"].astype(float)[None] if spread else None,
            zwarn=column_or(object_, "ZWARNING", 0) != 0,
            other_class="CLASS" in known and not_among(object_["CLASS"], options.classes),
            survey_class=class_names(*(column_or(object_, name, "") for name in CLASSES)),
            no_status=np.array([not masked or not known >= {"ZWARNING", "CLASS"}]),
        )


def _coadd(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    """The first table with a spectrum; single exposures come behind it."""
    return next((hdu for hdu in hdus if set(names_of(hdu)) >= COADD), None)


def _best(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    """The table with the redshift of the coadd, in one row."""
    candidates = [hdu for hdu in hdus if "Z" in names_of(hdu) and hdu.header["NAXIS2"] == 1]
    named = [hdu for name in BEST for hdu in candidates if hdu.name == name]
    return (named + candidates or [None])[0]


def _name(row: dict[str, Any]) -> str:
    """Plate-MJD-fibre, or field-MJD-catalogue number (SDSS-V); "" for neither."""
    if row.keys() >= {"PLATE", "MJD", "FIBERID"}:
        return f"{int(row['PLATE']):04d}-{int(row['MJD'])}-{int(row['FIBERID']):04d}"
    if row.keys() >= {"FIELD", "MJD", "CATALOGID"}:
        return f"{int(row['FIELD']):06d}-{int(row['MJD'])}-{int(row['CATALOGID'])}"
    return ""
