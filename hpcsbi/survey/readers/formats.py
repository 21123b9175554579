"""Survey files, as they are published, to one record.

A survey's format (see `registry`) tells how its files are known, counted by their headers and read;
here is what all have in common: blocks of rows, and errors that name the file.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from lzma import LZMAError
from math import isnan
from pathlib import Path
from threading import get_ident
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

from astropy.io.fits import HDUList, VerifyError

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.column_files import ColumnFile
from hpcsbi.survey.readers.compressed import kind, open_contents, path_or_contents
from hpcsbi.survey.readers.file_format import ColumnFileMaker, FileFormat, Layout
from hpcsbi.survey.readers.fits_files import open_fits
from hpcsbi.survey.readers.registry import FORMATS, survey_of
from hpcsbi.survey.record.line_spread import LineSpread
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.record.spectra import USUAL, Spectra, per_angstrom, unread_spectra

__all__ = ["BREAKS", "Survey", "UnreadableError"]

BLOCK = 64  # rows read at once: larger blocks leave the processor's caches
# What a damaged file makes astropy, numpy, gzip and pyarrow raise (ArrowInvalid is a ValueError).
CUT = (OSError, EOFError, zlib.error, BadZipFile, LZMAError)
BREAKS = (
    *CUT, ValueError, KeyError, TypeError, IndexError, struct.error, NotImplementedError,
    TokenError, VerifyError,
)  # fmt: skip


class UnreadableError(BadInput):
    """A file whose header was good broke while its rows were read."""


@dataclass(frozen=True)
class Survey:
    """How the files of one survey are read; conf/survey has one file for each.

    Arguments:
        name: of the survey, a key of `registry.FORMATS`.
        bad_bits: mask bits that make a pixel bad; an empty list: any bit does.
        classes: classes of the survey's redshift fit that are galaxies.
        good_fibers: values of DESI's COADD_FIBERSTATUS that are good.
        ebv_factor: factor on the E(B-V) of the file.
        flux_unit: unit of Parquet, .npz and AAOmega's files that do not name theirs; None: they
            must.
        air: wavelengths of the files are in air (ESO: of those that do not say).
        line_spread: observed wavelength, Angstrom, and resolution, wavelength over FWHM, at some
            places, see `LineSpread`: of rows whose file does not tell their own; () for not known.

    Raises:
        ValueError: an unknown name, or a line spread that is none.
    """

    name: str
    bad_bits: Sequence[int] = field(default=(), hash=False)
    classes: Sequence[str] = field(default=("GALAXY",), hash=False)
    good_fibers: Sequence[int] = field(default=(0,), hash=False)
    ebv_factor: float = 1.0
    flux_unit: str | None = USUAL
    air: bool = False
    line_spread: Sequence[Sequence[float]] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        if self.name not in FORMATS:
            raise BadInput(f"survey {self.name!r}: choose from {', '.join(FORMATS)}.")
        if self.flux_unit is not None:
            per_angstrom(self.flux_unit, "survey.flux_unit")
        pairs = [[*pair] for pair in self.line_spread]
        if any(len(pair) != 2 for pair in pairs):
            raise BadInput(
                f"survey.line_spread is {pairs}: it takes pairs of wavelength and resolution."
            )
        object.__setattr__(self, "line_spread", pairs)
        _ = self.spread

    @property
    def _format(self) -> FileFormat:
        return FORMATS[self.name]

    @property
    def spread(self) -> LineSpread | None:
        """Line-spread function of rows whose file does not tell their own; None: not known."""
        return LineSpread(*zip(*self.line_spread, strict=True)) if self.line_spread else None

    def settings(self) -> dict:
        """Plain values that decide how files are read."""
        known = asdict(self)
        if not self.line_spread:  # as stores have it that know no such thing
            del known["line_spread"]
        return known

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """Pair spectra with what lies beside them (DESI: coadds with redrock files).

        Raises:
            ValueError: a coadd without its redrock file, or the reverse.
        """
        return self._format.sources(paths)

    def count(self, source: Source) -> int:
        """Number of spectra in a file, from its headers; see `look`."""
        return self.look(source)[0]

    def look(self, source: Source) -> tuple[int, list[str]]:
        """Number of spectra in a file, and what of it is not read, from its headers.

        Raises:
            ValueError: not a file of this survey, empty, cut short, or with a wrong unit.
        """
        rows, notes, _ = self._looked(source, with_keys=False)
        return rows, notes

    def look_with_keys(self, source: Source) -> tuple[int, list[str], list[str]]:
        """See `look`, and the survey's key of every row: none of a file whose rows break.

        Raises:
            ValueError: see `look`.
        """
        return self._looked(source, with_keys=True)

    def ids(self, source: Source) -> list[str]:
        """Names of all rows of a file that `look` found good, as `read` gives them.

        Raises:
            BadInput: the file is damaged.
        """
        path, column_files = Path(source.path), self._format.column_files
        try:
            if make := column_files.get(kind(path)):
                return make(path_or_contents(path), self.flux_unit, source.stem).ids()
            with _opened(path) as hdus:
                return self._format.ids(source.stem, hdus, slice(0, source.rows))
        except BREAKS as error:
            raise BadInput(f"its ids cannot be read: {_reason(source, error)}.") from error

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
        path, column_files = Path(source.path), self._format.column_files
        if column_files and (make := column_files.get(kind(path))):
            file = _column_file(make, path, self.flux_unit, source.stem, *_stamp(path))
            yield lambda rows: [file.read(rows)]
            return
        beside = _opened(Path(source.beside)) if source.beside else nullcontext()
        with _opened(path) as hdus, beside as redshifts:
            reader = partial(self._format.read, self, source.stem, hdus, redshifts)
            yield partial(_each_row, source, reader)

    def _looked(self, source: Source, with_keys: bool) -> tuple[int, list[str], list[str]]:
        """See `look_with_keys`."""
        rows, notes, keys = self._look(Path(source.path), self._format, source.stem, with_keys)
        if source.beside:
            notes = notes + self._look(Path(source.beside), self._format.beside, source.stem)[1]
        if rows < 1:
            raise BadInput(f"{source.path} holds no spectra: take it out of the list.")
        return rows, notes, keys

    def _look(
        self, path: Path, layout: Layout, stem: str, with_keys: bool = False
    ) -> tuple[int, list[str], list[str]]:
        """See `look_with_keys`, of one of the two files of a source."""
        try:
            if make := layout.column_files.get(kind(path)):
                file = make(path_or_contents(path), self.flux_unit, stem)
                notes = [f"columns {', '.join(file.ignored)} are not read"] if file.ignored else []
                return file.rows, notes, _unbroken(file.keys) if with_keys else []
            return _look_at_headers(path, layout, self, stem if with_keys else "")
        except BREAKS as error:
            text = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, CUT):
                text = f"not a whole file ({text}): fetch it again, or choose another survey"
            raise BadInput(f"{path}: survey={self.name}: {text}.") from error


def _look_at_headers(
    path: Path, layout: Layout, survey: Survey, stem: str
) -> tuple[int, list[str], list[str]]:
    """See `Survey.look_with_keys`; a file of another layout, or cut short, is refused before.

    Arguments:
        stem: of the source, "" for no keys.
    """
    with open_contents(path) as file, open_fits(file) as hdus:
        ends = [info["datLoc"] + info["datSpan"] for info in (hdu.fileinfo() for hdu in hdus)]
        size = file.seek(0, 2)  # reads a compressed file to its end
        if not layout.has(hdus):
            _refuse(hdus, layout)
        if max(ends) > size:
            raise BadInput(f"cut short, {size} of {max(ends)} bytes: fetch it again")
        rows, notes = layout.look(hdus, survey.air)
        if not isinstance(layout, FileFormat):
            return rows, notes, []
        if isnan(layout.unit(hdus)) and not survey.flux_unit:
            raise BadInput(
                "its flux has no unit (no BUNIT): set survey.flux_unit to what one of it is, such "
                f"as {USUAL}"
            )
        all_rows = slice(0, rows)
        keys = _unbroken(lambda: layout.identity(stem, hdus, all_rows).key) if stem else []
        return rows, notes, keys


def _unbroken(keys: Callable[[], Sequence[str]]) -> list[str]:
    """Keys, none where they cannot be read: rows that break say so when they are."""
    try:
        return [*keys()]
    except BREAKS:
        return []


def _refuse(hdus: HDUList, layout: Layout) -> None:
    names = " ".join(hdu.name or "(no name)" for hdu in hdus)
    other = survey_of(hdus)
    mend = f"it looks like survey={other}" if other else "choose another survey"
    raise BadInput(f"found HDUs {names}, but {layout.name} needs {layout.contents}: {mend}")


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
    words = " ".join(str(error).split())
    reason = f"{Path(source.path).name}: {type(error).__name__}: {words}"
    return reason.replace(str(Path(source.path).parent), "")


def _stamp(path: Path) -> tuple[int, int, int]:
    """What tells this file, and who reads it: an open file has one place."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, get_ident()


@lru_cache(maxsize=1)
def _column_file(
    make: ColumnFileMaker, path: Path, unit: str, stem: str, *stamp: int
) -> ColumnFile:
    """Kept open: the next shard goes on where this one ends."""
    return make(path_or_contents(path), unit, stem)


@lru_cache(maxsize=2)
def _unpacked(path: Path, *stamp: int) -> Any:
    """Kept: a compressed file is unpacked once, not for every shard."""
    return path_or_contents(path)


def _opened(path: Path) -> Any:
    file = _unpacked(path, *_stamp(path))
    return open_fits(file if isinstance(file, Path) else BytesIO(file))
