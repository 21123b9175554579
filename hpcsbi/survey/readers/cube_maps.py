"""Maps of numbers that rows of a cube have, as FITS with the cube's own coordinates on the sky."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from hpcsbi.errors import BadInput
from hpcsbi.store.files import replacement
from hpcsbi.survey.readers.compressed import open_contents
from hpcsbi.survey.readers.fits_files import open_fits
from hpcsbi.survey.readers.manga_cube import spaxel_rows

__all__ = ["write_maps"]


def write_maps(
    path: str | Path, cube: str | Path, file_row: np.ndarray, columns: Mapping[str, np.ndarray]
) -> None:
    """Write an image for each column, NaN where a spaxel has no row.

    Arguments:
        path: the FITS file to write.
        cube: the LOGCUBE whose spectra the rows are.
        file_row: number of each row in the cube, see `manga_cube.spaxel_rows`, shape (rows,).
        columns: numbers of the rows by their names, which become those of the images.

    Raises:
        BadInput: no cube, or rows that are not in it.
    """
    with open_contents(Path(cube)) as file, open_fits(file) as hdus:
        if "FLUX" not in hdus or hdus["FLUX"].header["NAXIS"] != 3:
            raise BadInput(f"{cube} holds no cube: maps are of spectra of a LOGCUBE.")
        numbers = spaxel_rows(hdus)
        sky = WCS(hdus["FLUX"].header, fix=False).celestial.to_header()
    rows = int(numbers.max()) + 1
    file_row = np.asarray(file_row, dtype=int)
    if len(file_row) == 0 or file_row.min() < 0 or file_row.max() >= rows:
        raise BadInput(f"{cube} has {rows} rows, the catalogue others: which cube was it made of?")
    made = [fits.PrimaryHDU(header=sky)]
    for name, values in columns.items():
        row = np.full(rows + 1, np.nan)  # the last one is that of spaxels without a row
        row[file_row] = values
        made.append(fits.ImageHDU(row[numbers].astype("f4"), header=sky, name=name))
    with replacement(Path(path)) as half:
        fits.HDUList(made).writeto(half, overwrite=True)
