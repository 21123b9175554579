"""The data tree that FSPS reads: is it there, whole, and of the layout of the installed version."""

import os
from pathlib import Path

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid

__all__ = ["FspsError", "check_tree", "resolution_notice", "tree_notice"]

LONGEST = 250  # FSPS cuts longer paths without a word
METALLICITIES = ("m2.50", "m2.00", "m1.75", "m1.50", "m1.25", "m1.00", "m0.75", "m0.50", "m0.25")
METALLICITIES += ("p0.00", "p0.25", "p0.50")
LIBRARY = ("0.0008", "0.0035", "0.0097", "0.0190", "0.0300")
LIBRARY_BYTES = 4 * 19 * 68 * 5994  # float32 [logg, log T, wavelength]
LAST_AGE = 10.30  # log10 yr, in the first column of an isochrone file
MILES = (3525.0, 7410.0)  # Angstrom: beyond, FSPS's library has pixels of COARSE
COARSE = 20.0
NEBULAR_NODE = "-1.98"  # first log Z; an earlier commit has the same files with other nodes
OTHERS = (
    "ISOCHRONES/MIST/zlegend.dat",
    "SPECTRA/MILES/zlegend.dat",
    "SPECTRA/MILES/miles.lambda",
    "nebular/ZAU_ND_mist.cont",
    "data/emlines_info.dat",
    "data/FILTER_LIST",
    "data/allfilters.dat",
)
MEND = (
    "`git clone https://github.com/cconroy20/fsps && git -C fsps checkout 5b87175 && "
    'export SPS_HOME="$PWD/fsps"` (the last commit with the layout of fsps 0.4.8), or ask '
    "for the demonstration table, which is not for science: tabulate.demo=true, with "
    "simulate.source=table."
)
STAND_IN = (
    "Made with a stand-in for the FSPS data tree (it holds a STAND_IN.txt), not with the FSPS "
    "data release: good for trying and testing, not for science."
)


class FspsError(BadInput):
    """FSPS cannot run here; says why and how to mend it.

    Arguments:
        problem: what is wrong.
    """

    mend = MEND

    def __init__(self, problem: str) -> None:
        super().__init__(f"FSPS cannot run: {problem} Mend: {MEND}")
        self.problem = problem


def check_tree(home: str | None) -> Path:
    """Look whether a tree fits the installed FSPS, without starting it.

    Arguments:
        home: value of SPS_HOME.

    Raises:
        FspsError: unset, missing, unreadable, too long, incomplete, or of another layout.
    """
    if not home:
        raise FspsError("the environment variable SPS_HOME is not set.")
    if len(home) >= LONGEST:
        raise FspsError(
            f"SPS_HOME has {len(home)} characters and FSPS reads {LONGEST - 1}: move the tree or "
            "make a short symbolic link to it."
        )
    path = Path(home)
    if not path.is_dir():
        raise FspsError(f"SPS_HOME={home} is not a folder.")
    _check_present(path)
    for name in LIBRARY:
        _check_size(path / f"SPECTRA/MILES/imiles_z{name}.spectra.bin", LIBRARY_BYTES)
    for name in METALLICITIES:
        _check_isochrones(path / f"ISOCHRONES/MIST/isoc_z{name}.dat")
    _check_nebular(path / "nebular/ZAU_ND_mist.lines")
    return path


def tree_notice(home: str | None) -> str:
    """The sentence that products of a stand-in tree carry, "" for a release."""
    return STAND_IN if home and (Path(home) / "STAND_IN.txt").exists() else ""


def resolution_notice(grid: Grid) -> str:
    """The sentence for a grid with narrower pixels than FSPS's own, "" for others."""
    outside = (grid.wave < MILES[0]) | (grid.wave > MILES[1])
    if not (outside & (grid.widths < COARSE)).any():
        return ""
    return (
        f"Below {MILES[0]:.0f} and above {MILES[1]:.0f} Angstrom the library of FSPS has pixels of "
        f"{COARSE:.0f} Angstrom: narrower ones of the grid show features and lines there as smooth "
        "as the library's, whatever sigma_smooth is."
    )


def _check_present(path: Path) -> None:
    needed = [
        *(f"ISOCHRONES/MIST/isoc_z{name}.dat" for name in METALLICITIES),
        *(f"SPECTRA/MILES/imiles_z{name}.spectra.bin" for name in LIBRARY),
        "nebular/ZAU_ND_mist.lines",
        *OTHERS,
    ]
    bad = [name for name in needed if not os.access(path / name, os.R_OK)]
    if bad:
        raise FspsError(
            f"{len(bad)} of {len(needed)} files that fsps 0.4.8 reads are missing or unreadable "
            f"in SPS_HOME={path}, the first is {bad[0]}."
        )


def _check_size(file: Path, size: int) -> None:
    length = file.stat().st_size
    if length < size:
        raise FspsError(f"{file} has {length} bytes and fsps 0.4.8 reads {size}: it is cut short.")


def _check_isochrones(file: Path) -> None:
    with file.open("rb") as stream:
        stream.seek(-min(file.stat().st_size, 400), os.SEEK_END)
        words = stream.read().decode(errors="replace").strip().splitlines()[-1:]
    if not words or not words[0].split()[0].startswith(f"{LAST_AGE:.1f}"):
        raise FspsError(f"{file} does not end with log age {LAST_AGE:.2f}: it is cut short.")


def _check_nebular(file: Path) -> None:
    with file.open(errors="replace") as stream:
        stream.readline()
        stream.readline()
        node = stream.readline().split()[:1]
    if not node or not node[0].startswith(NEBULAR_NODE):
        raise FspsError(
            f"{file} begins with log Z {' '.join(node) or 'nothing'}, not {NEBULAR_NODE}: the tree "
            "is of another version of FSPS."
        )
