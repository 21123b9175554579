"""MaNGA's cubes (LOGCUBE of the DRP, binned ones of the DAP) and rows of fibres (LOGRSS)."""

from collections.abc import Iterator

import numpy as np
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import Options
from hpcsbi.survey.readers.fits_files import bad_pixels, check_shape, flux_unit, number_of
from hpcsbi.survey.readers.images import Images
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.line_spread import FWHM, LIGHT
from hpcsbi.survey.record.spectra import Spectra, text

__all__ = ["MangaCube", "spaxel_rows"]

IMAGES = {"FLUX", "IVAR", "MASK", "WAVE"}
SPREADS = ("LSFPOST", "LSF")  # sigma, Angstrom, of each pixel of the flux
BINS = "BINID"
NO_REDSHIFT = "no redshift in its header: give it in ingest.redshifts, by PLATEIFU"


class MangaCube(Images):
    """See `FileFormat`: a row for each spaxel, each bin of the DAP, or each fibre of an exposure.

    The flux is that of one spaxel (in a bin their mean) or fibre. All rows have the id of their
    galaxy, PLATEIFU, so that one redshift and one choice are for all of them. A row's number is
    that of `spaxel_rows`.

    References:
        Law et al. 2016, AJ 152, 83 (DRP); Westfall et al. 2019, AJ 158, 231 (DAP: BINID, LSF,
        SCINPVEL is c z).
    """

    name = "manga_cube"
    contents = f"{' '.join(sorted(IMAGES))}, of a cube or with OBSINFO"

    def has(self, hdus: fits.HDUList) -> bool:
        """See `Layout.has`."""
        if not {hdu.name for hdu in hdus} >= IMAGES:
            return False
        axes = hdus["FLUX"].header["NAXIS"]
        return axes == 3 or (axes == 2 and "OBSINFO" in hdus)

    def unit(self, hdus: fits.HDUList) -> float:
        """See `FileFormat.unit`: of one spaxel or fibre."""
        said = text(hdus["FLUX"].header.get("BUNIT", ""))
        for each in ("/spaxel", "/fiber"):
            said = said.removesuffix(each)
        bare = fits.ImageHDU(header=fits.Header({"BUNIT": said} if said else {}))
        return flux_unit([bare])

    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """See `FileFormat.count`."""
        shape = hdus["FLUX"].shape
        for name in ("IVAR", "MASK", *(name for name in SPREADS if name in hdus)):
            check_shape(hdus, name, shape, "FLUX")
        pixels = shape[0] if len(shape) == 3 else shape[1]
        check_shape(hdus, "WAVE", (pixels,), "FLUX")
        if len(shape) == 2:
            return shape[0], []
        if BINS in hdus and hdus[BINS].shape[-2:] != shape[1:]:
            raise BadInput(f"{BINS} has shape {hdus[BINS].shape}, but FLUX asks for {shape[1:]}")
        return int(spaxel_rows(hdus).max()) + 1, []

    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """See `FileFormat.ids`: PLATEIFU, or the file's name."""
        galaxy = text(hdus[0].header.get("PLATEIFU", "")) or stem
        return [galaxy] * (rows.stop - rows.start)

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """See `FileFormat.identity`: the file, and bin, spaxel (y-x) or row; places of spaxels."""
        head = hdus[0].header
        place = [number_of(head, name) for name in ("OBJRA", "OBJDEC")]
        names = [str(row) for row in range(rows.start, rows.stop)]
        if hdus["FLUX"].header["NAXIS"] == 3:
            y, x = _spaxels(hdus, rows)
            names = [f"{i}-{j}" for i, j in zip(y, x, strict=True)]
            if BINS in hdus:
                names = [str(each) for each in _bins(hdus)[y, x]]
            place = _places(hdus["FLUX"].header, y, x) or place
        return Identity([f"{stem}-{name}" for name in names], "", "", *place)

    def read(
        self, options: Options, stem: str, hdus: fits.HDUList, beside: None, rows: slice
    ) -> Iterator[Spectra]:
        """See `FileFormat.read`; of fibres any bit of the mask is bad."""
        cube = hdus["FLUX"].header["NAXIS"] == 3
        number, head = rows.stop - rows.start, hdus[0].header
        places = _spaxels(hdus, rows) if cube else None
        wave = hdus["WAVE"].data.astype(float)

        def some(name: str) -> np.ndarray:
            values = hdus[name].data
            return values[:, *places].T if cube else values[rows]

        bad = bad_pixels(some("MASK"), options.bad_bits if cube else ())
        zred = number_of(head, "SCINPVEL") / LIGHT
        spread = next((some(n).astype(float) / wave * LIGHT for n in SPREADS if n in hdus), None)
        if spread is None and "SPECRES" in hdus:
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = np.tile(LIGHT / FWHM / hdus["SPECRES"].data.astype(float), (number, 1))
        yield Spectra(
            wave=wave,
            flux=some("FLUX").astype(float),
            ivar=np.where(bad, 0.0, some("IVAR").astype(float)),
            zred=np.full(number, zred),
            id=self.ids(stem, hdus, rows),
            identity=self.identity(stem, hdus, rows),
            unit=self.unit(hdus),
            ebv=np.full(number, options.ebv_factor * number_of(head, "EBVGAL")),
            dispersion=spread,
            zwarn=np.full(number, np.isnan(zred)),
            reason=[NO_REDSHIFT if np.isnan(zred) else ""] * number,
        )


def spaxel_rows(hdus: fits.HDUList) -> np.ndarray:
    """Number of the row that holds each spaxel of a cube, -1 where none does, shape (y, x).

    Bins are numbered in the order of their ids; without bins spaxels are, line by line.
    """
    if BINS not in hdus:
        shape = hdus["FLUX"].shape[1:]
        return np.arange(shape[0] * shape[1]).reshape(shape)
    bins = _bins(hdus)
    known = np.unique(bins[bins >= 0])
    if not len(known):
        raise BadInput(f"{BINS} has no bins")
    return np.where(bins >= 0, np.searchsorted(known, bins), -1)


def _bins(hdus: fits.HDUList) -> np.ndarray:
    """Bin of each spaxel, negative for none; of the five images the first is of the spectra."""
    bins = np.asarray(hdus[BINS].data)
    return bins if bins.ndim == 2 else bins[0]


def _spaxels(hdus: fits.HDUList, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Where the spectra of some rows stand: y and x; of a bin all spaxels have the same."""
    _, first = np.unique(numbers := spaxel_rows(hdus), return_index=True)
    y, x = np.unravel_index(first[1 if (numbers < 0).any() else 0 :][rows], numbers.shape)
    return y, x


def _places(header: fits.Header, y: np.ndarray, x: np.ndarray) -> list[np.ndarray] | None:
    """RA and DEC of spaxels, degrees; None where the header has no such axes."""
    from astropy.wcs import WCS

    sky = WCS(header, naxis=header["NAXIS"], fix=False)
    return [*sky.celestial.pixel_to_world_values(x, y)] if sky.has_celestial else None
