"""Spectra of JWST's NIRSpec, a table each: x1d of the archive, SPEC1D of msaexp (DJA)."""

from collections.abc import Iterable, Iterator
from math import isclose
from typing import Any

import numpy as np
from astropy.io import fits
from scipy.constants import speed_of_light

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import FileFormat, Options
from hpcsbi.survey.readers.fits_files import (
    bad_pixels,
    names_of,
    number_of,
    vector_length,
    wave_unit,
)
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.ids import row_names
from hpcsbi.survey.record.spectra import USUAL, Spectra, per_angstrom, per_hertz, text

__all__ = ["Jwst"]

# Wavelength, flux and its error, by the name of the table.
LAYOUTS = {
    "SPEC1D": ("WAVE", "FLUX", "ERR"),
    "EXTRACT1D": ("WAVELENGTH", "FLUX", "FLUX_ERROR"),
}
PLACE = ("SRCRA", "SRCDEC")
LIGHT = speed_of_light * 1e10  # Angstrom/s
NO_REDSHIFT = "no redshift in its file: give it in ingest.redshifts"


class Jwst(FileFormat):
    """See `FileFormat`: tables with a pixel a row, as many as objects; F_nu, in vacuum.

    Where nothing was measured msaexp has an error of 0, the archive NaN and a bit of DQ.
    """

    name = "jwst"
    contents = "SPEC1D with wave flux err, or EXTRACT1D with WAVELENGTH FLUX FLUX_ERROR"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return bool(_tables(hdus))

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return _tables(hdus)

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`: that of flux per wavelength, into which `read` turns it."""
        for table in _tables(hdus):
            _units(table)
        return per_angstrom(USUAL, "unit")

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        tables = _tables(hdus)
        for table in tables:
            forms = {c.name.upper(): c.format.strip() for c in table.columns}
            for name in LAYOUTS[table.name]:
                if vector_length(forms[name]) != 1:
                    raise BadInput(
                        f"{name} of {table.name} has format {forms[name]!r}: it takes one pixel a "
                        "row, a table for each object"
                    )
        others = sorted({hdu.name for hdu in hdus[1:] if hdu not in tables})
        return len(tables), [f"HDUs {', '.join(others)} are not read"] if others else []

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`: SRCNAME, or the file's name."""
        tables = _tables(hdus)
        spare = [stem] if len(tables) == 1 else row_names(stem, slice(0, len(tables)))
        names = [text(table.header.get("SRCNAME", "")) for table in tables]
        return [a or b for a, b in zip(names, spare, strict=True)][rows]

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: keys are of the file, which sources repeat in others."""
        tables = _tables(hdus)
        keys = [stem] if len(tables) == 1 else row_names(stem, rows)
        heads = [table.header for table in tables[rows]]
        place = (np.array([number_of(head, name) for head in heads]) for name in PLACE)
        return Identity(keys[: len(heads)], "", text(hdus[0].header.get("PROGRAM", "")), *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`."""
        ids = self.ids(stem, hdus, rows)
        for k, (table, name) in enumerate(zip(_tables(hdus)[rows], ids, strict=True)):
            row = slice(rows.start + k, rows.start + k + 1)
            wave, flux, error = (table.data[column].astype(float) for column in LAYOUTS[table.name])
            angstrom, hertz = _units(table)
            wave *= angstrom
            # F_lambda = F_nu c / lambda^2
            scale = hertz * LIGHT / wave**2 / self.unit(hdus)
            masked = "DQ" in names_of(table)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ivar = np.where(np.isfinite(flux) & (error > 0), (error * scale) ** -2.0, 0.0)
            if masked:
                ivar[bad_pixels(table.data["DQ"], options.bad_bits)] = 0.0
            yield Spectra(
                wave=wave,
                flux=(flux * scale)[None],
                ivar=ivar[None],
                zred=np.array([np.nan]),
                id=[name],
                identity=self.identity(stem, hdus, row),
                unit=self.unit(hdus),
                air=False,
                zwarn=np.array([True]),
                no_status=np.array([not masked and table.name == "EXTRACT1D"]),
                reason=[NO_REDSHIFT],
            )


def _tables(hdus: fits.HDUList) -> list[fits.BinTableHDU]:
    """Those with a spectrum."""
    return [hdu for hdu in hdus if set(names_of(hdu)) >= set(LAYOUTS.get(hdu.name, ("?",)))]


def _units(table: fits.BinTableHDU) -> tuple[float, float]:
    """Angstrom and erg/s/cm2/Hz of one unit of wavelength and flux."""
    wave, flux, error = LAYOUTS[table.name]
    said = {column.name.upper(): column.unit for column in table.columns}
    hertz = per_hertz(said[flux], f"TUNIT of {flux}")
    if said[error] and not isclose(per_hertz(said[error], f"TUNIT of {error}"), hertz):
        raise BadInput(
            f"{flux} is in {said[flux]!r}, its error {error} in {said[error]!r}: write both in one "
            "unit"
        )
    return wave_unit(wave, said[wave]), hertz
