"""MaNGA spectra stacked in images, one row a spectrum."""

from collections.abc import Iterator

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import Options
from hpcsbi.survey.readers.fits_files import bad_pixels, check_shape, number_of
from hpcsbi.survey.readers.images import Images
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.ids import row_names
from hpcsbi.survey.record.line_spread import FWHM, LIGHT
from hpcsbi.survey.record.spectra import Spectra

__all__ = ["Manga"]

IMAGES = ("WAVE", "FLUX", "IVAR", "MASK", "Z")


class Manga(Images):
    """See `FileFormat`: images of one shape; rows are named after the file and their number."""

    name = "manga"
    contents = " ".join(IMAGES)

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        return {hdu.name for hdu in hdus} >= set(IMAGES)

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        shape = hdus["FLUX"].shape
        if len(shape) != 2:
            raise BadInput(f"FLUX has shape {shape}: it takes one row a spectrum")
        for name in ("IVAR", "MASK"):
            check_shape(hdus, name, shape, "FLUX")
        check_shape(hdus, "Z", shape[:1], "FLUX")
        if "SRES" in hdus:
            check_shape(hdus, "SRES", shape, "FLUX")
        if hdus["WAVE"].shape not in (shape, shape[1:]):
            check_shape(hdus, "WAVE", shape[1:], "FLUX")
        return shape[0], []

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`."""
        return row_names(stem, rows)

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: the place is that of the galaxy."""
        place = (number_of(hdus[0].header, name) for name in ("OBJRA", "OBJDEC"))
        return Identity(self.ids(stem, hdus, rows), "", "", *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`."""
        bad = bad_pixels(hdus["MASK"].section[rows], options.bad_bits)
        wave, spread = hdus["WAVE"], None
        if "SRES" in hdus:
            with np.errstate(divide="ignore"):
                spread = LIGHT / FWHM / hdus["SRES"].section[rows].astype(float)
        yield Spectra(
            wave=(wave.data if len(wave.shape) == 1 else wave.section[rows]).astype(float),
            flux=hdus["FLUX"].section[rows].astype(float),
            ivar=np.where(bad, 0.0, hdus["IVAR"].section[rows]),
            zred=hdus["Z"].data[rows].astype(float),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=self.unit(hdus),
            dispersion=spread,
        )
