"""What files have in common whose spectra are rows of images: FLUX, its errors, and WAVE."""

from collections.abc import Iterable
from typing import Any

from astropy.io import fits

from hpcsbi.survey.readers.file_format import FileFormat
from hpcsbi.survey.readers.fits_files import flux_unit

__all__ = ["Images"]


class Images(FileFormat):
    """See `FileFormat`."""

    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """See `FileFormat.wave_hdus`."""
        return [hdus["WAVE"]]

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`."""
        return flux_unit([hdus["FLUX"]])
