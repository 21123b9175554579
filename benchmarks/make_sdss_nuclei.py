"""Make hpcsbi/data/sdss_nuclei.fits.gz from three SDSS spec files given on the command line.

    python benchmarks/make_sdss_nuclei.py spec-0522-52024-0396.fits spec-0945-52652-0470.fits \
        spec-2488-54149-0001.fits

The files are those of the SDSS science archive. What is changed: bad pixels (and_mask bits of
conf/survey/sdss.yaml) get ivar 0, the rows are padded to one length with ivar 0, flux is rounded to
an eighth of its standard deviation and ivar to 1 %, and names, distances and E(B-V) are added.
"""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.record.spectra import Spectra

OUT = Path(__file__).parents[1] / "hpcsbi" / "data" / "sdss_nuclei.fits.gz"
BAD_BITS = (22, 23, 24, 25, 26)
# Redshifts this low say nothing about distance: literature values, Mpc, and Galactic E(B-V).
NUCLEI = {
    "0945-52652-0470": ("NGC 3073", 32.8, 0.010),
    "2488-54149-0001": ("NGC 3522", 25.5, 0.023),
    "0522-52024-0396": ("NGC 4636", 14.3, 0.028),
}


def main(paths: list[str]) -> None:
    survey = Survey("sdss", bad_bits=BAD_BITS)
    spectra = [next(survey.read(Source(path), slice(0, 1))) for path in paths]
    spectra.sort(key=lambda each: list(NUCLEI).index(each.id[0]))
    pixels = max(each.flux.shape[1] for each in spectra)
    rows = [quantised(padded(each, pixels)) for each in spectra]
    write([NUCLEI[each.id[0]] for each in spectra], [each.zred[0] for each in spectra], rows)


def padded(spectra: Spectra, pixels: int) -> np.ndarray:
    """wave, flux, ivar on the exact logarithmic grid of 1e-4 dex, shape (3, pixels)."""
    first = round(np.log10(spectra.wave[0]), 4)
    made = np.zeros((3, pixels))
    made[0] = 10 ** (first + 1e-4 * np.arange(pixels))
    made[1:, : len(spectra.wave)] = spectra.flux[0], spectra.ivar[0]
    made[1, made[2] == 0] = 0.0
    return made


def quantised(row: np.ndarray) -> np.ndarray:
    """Flux in steps of a power of two below sigma / 8, ivar to 7 bits: zeros for gzip."""
    wave, flux, ivar = row
    good = ivar > 0
    step = 2.0 ** np.floor(np.log2(0.125 / np.sqrt(ivar[good])))
    flux[good] = step * np.round(flux[good] / step)
    mantissa, exponent = np.frexp(ivar)
    return np.array([wave, flux, np.ldexp(np.round(mantissa * 128) / 128, exponent)])


def write(names: list[tuple], zred: list[float], rows: list[np.ndarray]) -> None:
    wave, flux, ivar = np.moveaxis(np.array(rows, dtype=np.float32), 1, 0)
    vector = f"{wave.shape[1]}E"
    density = "1e-17 erg/s/cm2/Angstrom"
    name, distance, ebv = zip(*names, strict=True)
    columns = [
        fits.Column("ID", "8A", array=list(name)),
        fits.Column("Z", "D", array=np.array(zred)),
        fits.Column("WAVE", vector, unit="Angstrom", array=wave),
        fits.Column("FLUX", vector, unit=density, array=flux),
        fits.Column("IVAR", vector, unit="1e34 s2 cm4 Angstrom2 erg-2", array=ivar),
        fits.Column("EBV", "D", unit="mag", array=np.array(ebv)),
        fits.Column("DISTANCE", "D", unit="Mpc", array=np.array(distance)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRA")
    table.header["COMMENT"] = "From the Sloan Digital Sky Survey, changed: see NOTICE."
    content = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(content)
    OUT.write_bytes(gzip.compress(content.getvalue(), mtime=0))
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
