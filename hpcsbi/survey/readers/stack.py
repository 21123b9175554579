"""Stacks of spectra, images with a row for each, at rest or as observed."""

from collections.abc import Iterator

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import Options
from hpcsbi.survey.readers.fits_files import check_shape, names_of
from hpcsbi.survey.readers.images import Images
from hpcsbi.survey.record.ids import row_names
from hpcsbi.survey.record.spectra import Spectra, text

__all__ = ["Stack"]

IMAGES = {"FLUX", "IVAR", "WAVE"}
INFO = "STACKINFO"
NOISE = "the ivar of a stack is the noise of its mean, without the scatter of its galaxies"
REST = (
    "a stack at rest has no luminosity: give ingest.redshifts its id with zred 0 and the distance, "
    "Mpc, that its flux is for"
)


class Stack(Images):
    """See `FileFormat`: images of one shape, and a table with the redshift that is still in them.

    A redshift of 0 says that wavelengths are at rest: there is no luminosity without a distance.

    References:
        stackfit of fastspecfit: FLUX IVAR WAVE, STACKINFO with STACKID and Z.
    """

    name = "stack"
    contents = f"{' '.join(sorted(IMAGES))}, and {INFO} with Z"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        names = {hdu.name for hdu in hdus}
        return names >= {*IMAGES, INFO} and "Z" in names_of(hdus[INFO])

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        shape = hdus["FLUX"].shape
        if len(shape) != 2:
            raise BadInput(f"FLUX has shape {shape}: it takes one row a stack")
        check_shape(hdus, "IVAR", shape, "FLUX")
        check_shape(hdus, "WAVE", shape[1:], "FLUX")
        if (rows := hdus[INFO].header["NAXIS2"]) != shape[0]:
            raise BadInput(f"{INFO} has {rows} rows for {shape[0]} spectra in FLUX")
        return shape[0], [NOISE]

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`: the file and STACKID, which starts anew in each."""
        if "STACKID" not in names_of(hdus[INFO]):
            return row_names(stem, rows)
        return [f"{stem}-{text(number)}" for number in hdus[INFO].data["STACKID"][rows]]

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`."""
        zred = np.asarray(hdus[INFO].data["Z"][rows], dtype=float)
        yield Spectra(
            wave=hdus["WAVE"].data.astype(float),
            flux=hdus["FLUX"].section[rows].astype(float),
            ivar=hdus["IVAR"].section[rows].astype(float),
            zred=zred,
            id=self.ids(stem, hdus, rows),
            unit=self.unit(hdus),
            at_rest=zred == 0,
            reason=np.where(zred == 0, REST, ""),
        )
