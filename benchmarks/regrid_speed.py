"""Spectra a CPU second from a DESI coadd to the rest-frame grid, and against sparse matrices.

    python benchmarks/regrid_speed.py [--targets 500] [--repeats 3]

Writes a coadd with three cameras in a temporary folder (no resolution matrix: it is never read),
and times this process: reading and merging, everything up to rest-frame luminosities, and one
sparse overlap matrix for each redshift in place of the sums.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.sparse import csr_matrix

from hpcsbi.grid import Grid
from hpcsbi.survey.pixels import edges_of
from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.rest_frame import luminosity_distance_cm, regrid, to_rest_frame

DESI = Survey("desi", good_fibers=(0, 8), ebv_factor=0.86)
GRIDS = {"42 A": Grid(), "5 A": Grid(first=3752.5, last=9497.5, pixels=1150)}
CAMERAS = {"B": (3600.0, 2751), "R": (5760.0, 2326), "Z": (7520.0, 2881)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = write_coadd(Path(folder), options.targets)
        blocks = list(DESI.read(source, slice(0, source.rows)))
        luminosity_distance_cm(np.ones(1))  # the first call imports astropy's cosmology
        times = {"read and merge": best(options, lambda: list(read(source)))}
        for name, grid in GRIDS.items():
            times[f"{name}: read to rest frame"] = best(options, lambda g=grid: whole(source, g))
            times[f"{name}: regrid alone"] = best(options, lambda g=grid: sums(blocks, g))
        few = [blocks[0]]
        matrices = best(options, lambda: by_matrix(few, GRIDS["42 A"]), len(few[0].id))
        ours = best(options, lambda: sums(few, GRIDS["42 A"]), len(few[0].id))
    for name, seconds in times.items():
        print(
            f"{name:28s}{1e6 * seconds:8.0f} us a spectrum {1 / seconds:8.0f} spectra a CPU second"
        )
    print(
        f"{'42 A: a sparse matrix each':28s}{1e6 * matrices:8.0f} us a spectrum, "
        f"{matrices / ours:.1f} times the sums"
    )


def best(options, function, rows=None):
    """Least CPU seconds a spectrum over the repeats."""
    taken = []
    for _ in range(options.repeats):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return min(taken) / (rows or options.targets)


def read(source):
    return DESI.read(source, slice(0, source.rows))


def whole(source, grid):
    for s in read(source):
        distance = luminosity_distance_cm(s.zred)
        to_rest_frame(s.wave, s.flux, s.ivar, s.zred, s.ebv, distance, s.unit, grid.edges)


def sums(blocks, grid):
    for s in blocks:
        regrid(edges_of(s.wave), s.flux, s.ivar, s.zred, grid.edges)


def by_matrix(blocks, grid):
    for s in blocks:
        edges = edges_of(s.wave)
        for flux, ivar, zred in zip(s.flux, s.ivar, s.zred, strict=True):
            matrix = overlaps(edges, grid.edges * (1 + zred))
            good = ivar > 0
            noise = np.divide(1.0, ivar, out=np.zeros(len(ivar)), where=good)
            valid = np.maximum(matrix @ good.astype(float), 1e-9)
            _ = matrix @ (flux * good) / valid, valid**2 / np.maximum(matrix.power(2) @ noise, 1e-9)


def overlaps(edges, out):
    """Overlap of native and output pixels; only pairs that touch are looked at."""
    first = np.searchsorted(edges, out[:-1], side="right") - 1
    stop = np.searchsorted(edges, out[1:])
    rows = np.repeat(np.arange(len(first)), np.maximum(stop - first, 0))
    columns = np.concatenate([np.arange(a, b) for a, b in zip(first, stop, strict=True)])
    keep = (columns >= 0) & (columns < len(edges) - 1)
    rows, columns = rows[keep], columns[keep].astype(int)
    share = np.minimum(edges[columns + 1], out[rows + 1]) - np.maximum(edges[columns], out[rows])
    return csr_matrix((share.clip(0), (rows, columns)), shape=(len(first), len(edges) - 1))


def write_coadd(folder: Path, rows: int) -> Source:
    rng = np.random.default_rng(0)
    target = np.arange(rows) + 39_633_345_008_634_465
    fibers = [("TARGETID", "K", target), ("COADD_FIBERSTATUS", "J", np.zeros(rows))]
    hdus = [table("FIBERMAP", [*fibers, ("EBV", "E", np.full(rows, 0.05))])]
    for name, (first, pixels) in CAMERAS.items():
        shape = (rows, pixels)
        values = {
            "WAVELENGTH": first + 0.8 * np.arange(pixels),
            "FLUX": rng.normal(5, 1, shape).astype("f4"),
            "IVAR": rng.uniform(0.5, 2, shape).astype("f4"),
            "MASK": (rng.random(shape) < 0.002).astype("i4"),
        }
        hdus += [fits.ImageHDU(value, name=f"{name}_{key}") for key, value in values.items()]
    redshifts = [("TARGETID", "K", target), ("Z", "D", rng.uniform(0.02, 0.5, rows))]
    redshifts += [("ZWARN", "K", np.zeros(rows)), ("SPECTYPE", "6A", ["GALAXY"] * rows)]
    coadd, redrock = folder / "coadd-main-1.fits", folder / "redrock-main-1.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(coadd)
    fits.HDUList([fits.PrimaryHDU(), table("REDSHIFTS", redshifts)]).writeto(redrock)
    return Source(str(coadd), str(redrock), rows)


def table(name, columns):
    made = [fits.Column(key, kind, array=values) for key, kind, values in columns]
    return fits.BinTableHDU.from_columns(made, name=name)


if __name__ == "__main__":
    main()
