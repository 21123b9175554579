"""Survey files, as they are published, to one record.

Each survey has a layout by which its files are known, a look at the headers that counts spectra
without reading them, and a reader of a block of rows. What a file is, is told by its first bytes.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from lzma import LZMAError
from pathlib import Path
from threading import get_ident
from typing import Any
from zipfile import BadZipFile

from hpcsbi.errors import BadInput
from hpcsbi.survey.column_files import COLUMN_FILES, ColumnFile
from hpcsbi.survey.compressed import kind, path_or_contents
from hpcsbi.survey.fits_layouts import SURVEYS, look, open_fits
from hpcsbi.survey.fits_readers import READERS
from hpcsbi.survey.source import Source, stem_of
from hpcsbi.survey.spectra import USUAL, Spectra, per_angstrom, unread_spectra

__all__ = ["Survey", "UnreadableError"]

BLOCK = 64  # rows read at once: larger blocks leave the processor's caches
# What a damaged file makes astropy, numpy, gzip and pyarrow raise (ArrowInvalid is a ValueError).
CUT = (OSError, EOFError, zlib.error, BadZipFile, LZMAError)
BREAKS = (*CUT, ValueError, KeyError, TypeError, IndexError, struct.error)
# What DESI's files of spectra are called, and those of their redshifts.
SPECTRA, REDROCKS = ("coadd", "spectra"), ("redrock", "zbest")


class UnreadableError(BadInput):
    """A file whose header was good broke while its rows were read."""


@dataclass(frozen=True)
class Survey:
    """How the files of one survey are read; conf/survey has one file for each.

    Arguments:
        name: "sdss", "desi", "manga" or "table".
        bad_bits: mask bits that make a pixel bad; an empty list: any bit does.
        classes: classes of the survey's redshift fit that are galaxies.
        good_fibers: values of DESI's COADD_FIBERSTATUS that are good.
        ebv_factor: factor on the E(B-V) of the file.
        flux_unit: unit of Parquet and .npz files that do not name theirs.
        air: wavelengths of the files are in air.

    Raises:
        ValueError: an unknown name.
    """

    name: str
    bad_bits: Sequence[int] = field(default=(), hash=False)
    classes: Sequence[str] = field(default=("GALAXY",), hash=False)
    good_fibers: Sequence[int] = field(default=(0,), hash=False)
    ebv_factor: float = 1.0
    flux_unit: str = USUAL
    air: bool = False

    def __post_init__(self) -> None:
        if self.name not in SURVEYS:
            raise BadInput(f"survey {self.name!r}: choose from {', '.join(SURVEYS)}.")
        per_angstrom(self.flux_unit, "survey.flux_unit")

    def settings(self) -> dict:
        """Plain values that decide how files are read."""
        return asdict(self)

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """Pair spectra with what lies beside them (DESI: coadds with redrock files).

        Raises:
            ValueError: a coadd without its redrock file, or the reverse.
        """
        if self.name != "desi":
            return [Source(str(path)) for path in paths]
        redrocks: dict[str, list[Path]] = {}
        for path in paths:
            if path.name.startswith(REDROCKS):
                redrocks.setdefault(stem_of(path), []).append(path)
        pairs = [
            Source(str(path), str(_redrock_of(path, redrocks)))
            for path in paths
            if stem_of(path) not in redrocks
        ]
        spare = {str(path) for same in redrocks.values() for path in same}
        spare -= {pair.beside for pair in pairs}
        if spare:
            raise BadInput(f"{', '.join(sorted(spare))}: no coadd of that name is among the files.")
        return pairs

    def count(self, source: Source) -> int:
        """Number of spectra in a file, from its headers; see `look`."""
        return self.look(source)[0]

    def look(self, source: Source) -> tuple[int, list[str]]:
        """Number of spectra in a file, and what of it is not read, from its headers.

        Raises:
            ValueError: not a file of this survey, empty, cut short, or with a wrong unit.
        """
        rows, notes = self._scan(source, Path(source.path), self.name)
        if source.beside:
            notes = notes + self._scan(source, Path(source.beside), "redrock")[1]
        if rows < 1:
            raise BadInput(f"{source.path} holds no spectra: take it out of the list.")
        return rows, notes

    def read(self, source: Source, rows: slice) -> Iterator[Spectra]:
        """Spectra of some rows of a file, in blocks; a row that breaks alone has its reason.

        Raises:
            UnreadableError: the file is damaged.
        """
        try:
            with self._reader(source) as reader:
                for start in range(rows.start, rows.stop, BLOCK):
                    wanted = slice(start, min(start + BLOCK, rows.stop))
                    made = reader(wanted)
                    if sum(len(block.id) for block in made) != wanted.stop - wanted.start:
                        raise BadInput("fewer rows than its header scan found")
                    yield from made
        except BREAKS as error:
            raise UnreadableError(_reason(source, error)) from error

    @contextmanager
    def _reader(self, source: Source) -> Iterator[Callable[[slice], list[Spectra]]]:
        path = Path(source.path)
        if self.name == "table" and kind(path) in COLUMN_FILES:
            file = _column_file(path, self.flux_unit, source.stem, *_stamp(path))
            yield lambda rows: [file.read(rows)]
            return
        beside = _opened(Path(source.beside)) if source.beside else nullcontext()
        with _opened(path) as hdus, beside as redshifts:
            reader = partial(READERS[self.name], self, source.stem, hdus, redshifts)
            yield partial(_each_row, source, reader)

    def _scan(self, source: Source, path: Path, layout: str) -> tuple[int, list[str]]:
        try:
            file_kind = kind(path)
            if layout == "table" and file_kind in COLUMN_FILES:
                file = COLUMN_FILES[file_kind](path_or_contents(path), self.flux_unit, source.stem)
                notes = [f"columns {', '.join(file.ignored)} are not read"] if file.ignored else []
                return file.rows, notes
            return look(path, layout, self.air)
        except BREAKS as error:
            text = str(error).strip() or type(error).__name__
            if isinstance(error, CUT):
                text = f"not a whole file ({text}): fetch it again, or choose another survey"
            raise BadInput(f"{path}: survey={self.name}: {text}.") from error


def _each_row(
    source: Source, reader: Callable[[slice], Iterator[Spectra]], rows: slice
) -> list[Spectra]:
    """A block; if it breaks, its rows one by one, so that a bad one costs no other."""
    try:
        return list(reader(rows))
    except BadInput:
        raise
    except BREAKS:
        if rows.stop - rows.start == 1:
            raise
    made, broken = [], []
    for row in range(rows.start, rows.stop):
        try:
            made += reader(slice(row, row + 1))
        except BREAKS as error:
            made.append(unread_spectra([f"{source.stem}-{row}"], _reason(source, error)))
            broken.append(error)
    if len(broken) == rows.stop - rows.start:
        raise broken[0]
    return made


def _reason(source: Source, error: Exception) -> str:
    reason = f"{Path(source.path).name}: {type(error).__name__}: {error}"
    return reason.replace(str(Path(source.path).parent), "")


def _stamp(path: Path) -> tuple[int, int, int]:
    """What tells this file, and who reads it: an open file has one place."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, get_ident()


@lru_cache(maxsize=1)
def _column_file(path: Path, unit: str, stem: str, *stamp: int) -> ColumnFile:
    """Kept open: the next shard goes on where this one ends."""
    return COLUMN_FILES[kind(path)](path_or_contents(path), unit, stem)


@lru_cache(maxsize=2)
def _unpacked(path: Path, *stamp: int) -> Any:
    """Kept: a compressed file is unpacked once, not for every shard."""
    return path_or_contents(path)


def _opened(path: Path) -> Any:
    file = _unpacked(path, *_stamp(path))
    return open_fits(file if isinstance(file, Path) else BytesIO(file))


def _redrock_of(coadd: Path, redrocks: Mapping[str, Sequence[Path]]) -> Path:
    """The redshifts of a coadd: of its own folder if they are there, listed or not.

    Two productions use the same names and the same TARGETIDs: a file that lies beside another
    coadd of its name belongs to that one.
    """
    stem = stem_of(coadd)
    begin = next((name for name in SPECTRA if stem.startswith(name)), None)
    stems = [stem.replace(begin, redrock, 1) for redrock in REDROCKS] if begin else []
    elsewhere = [path for name in stems for path in redrocks.get(name, ())]
    beside = [path for path in elsewhere if path.parent == coadd.parent]
    # spectra-*.fits.gz may come with redrock-*.fits.
    beside += [coadd.with_name(f"{name}{end}") for name in stems for end in (".fits", ".fits.gz")]
    if neighbour := next((path for path in beside if path.exists()), None):
        return neighbour
    free = [path for path in elsewhere if not _has(path.parent, stem)]
    if len(free) == 1:
        return free[0]
    told = f" (not those of other folders: {', '.join(map(str, elsewhere))})" if elsewhere else ""
    raise BadInput(
        f"{coadd}: no redshifts: expected {(stems or ['redrock-*'])[0]}.fits beside it or among "
        f"the files{told} (DESI coadds are named coadd-*.fits and come with redrock-*.fits)."
    )


def _has(folder: Path, stem: str) -> bool:
    """True if a file of spectra of this name, compressed or not, lies in a folder."""
    return any((folder / f"{stem}{end}").exists() for end in (".fits", ".fits.gz"))
