"""Files of spectra, each with the file of its redshifts where a survey keeps them apart."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "stem_of"]

ENDINGS = (".gz", ".bz2", ".xz", ".fits", ".fit", ".fz", ".npz", ".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Source:
    """A file of spectra.

    Arguments:
        path: the file.
        beside: the file of its redshifts (DESI), or "".
        rows: number of spectra that are read, 0 before the header scan.
        first: number of the first of them in the file.
    """

    path: str
    beside: str = ""
    rows: int = 0
    first: int = 0

    @property
    def stem(self) -> str:
        """File name without its endings."""
        return stem_of(Path(self.path))


def stem_of(path: Path) -> str:
    """File name without its endings: "coadd-1" of "coadd-1.fits.gz"."""
    while path.suffix.lower() in ENDINGS and path.stem:
        path = path.with_suffix("")
    return path.name
