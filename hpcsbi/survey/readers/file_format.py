"""What a format of survey files is: a class with one interface, for each survey one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from astropy.io import fits

from hpcsbi.survey.readers.column_files import ColumnFile
from hpcsbi.survey.readers.fits_files import check_wavelengths
from hpcsbi.survey.record.identity import Identity
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.record.spectra import Spectra

__all__ = ["ColumnFileMaker", "FileFormat", "Layout", "Options"]

ColumnFileMaker = Callable[[Path | bytes, str, str], ColumnFile]
"""Opens a file from its path or contents, its usual unit of flux, and its stem."""


class Options(Protocol):
    """How a survey's files are read; see `formats.Survey`."""

    bad_bits: Sequence[int]
    classes: Sequence[str]
    good_fibers: Sequence[int]
    ebv_factor: float
    flux_unit: str | None


class Layout(ABC):
    """How a kind of file is known and looked at.

    Attributes:
        name: what the kind is called.
        contents: the HDUs of its FITS files, in words.
        column_files: what opens its files without HDUs, by what `compressed.kind` calls them.
    """

    name: ClassVar[str]
    contents: ClassVar[str]
    column_files: ClassVar[Mapping[str, ColumnFileMaker]] = {}

    @abstractmethod
    def has(self, hdus: fits.HDUList) -> bool:
        """True for files of this kind, from their headers."""

    @abstractmethod
    def look(self, hdus: fits.HDUList, air: bool) -> tuple[int, list[str]]:
        """Number of rows, and what of the file is not read, from its headers.

        Raises:
            ValueError: shapes, columns or units that do not fit.
        """


class FileFormat(Layout):
    """The files of one survey, whose name it has; `registry.FORMATS` has one of each.

    Attributes:
        beside: layout of the files of redshifts, where these are files of their own.
    """

    beside: ClassVar[Layout | None] = None

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """The files of spectra, each with what lies beside it.

        Raises:
            ValueError: a file without the one that belongs to it.
        """
        return [Source(str(path)) for path in paths]

    def look(self, hdus: fits.HDUList, air: bool) -> tuple[int, list[str]]:
        """See `Layout.look`."""
        check_wavelengths([hdus[0], *self.wave_hdus(hdus)], air)
        self.unit(hdus)
        return self.count(hdus)

    @abstractmethod
    def wave_hdus(self, hdus: fits.HDUList) -> Iterable[Any]:
        """HDUs whose headers speak of the wavelengths, beside the first one."""

    @abstractmethod
    def unit(self, hdus: fits.HDUList) -> float:
        """Unit of flux, erg/s/cm2/A; NaN where a file that may does not say.

        Raises:
            ValueError: not a flux density per wavelength.
        """

    @abstractmethod
    def count(self, hdus: fits.HDUList) -> tuple[int, list[str]]:
        """Number of spectra, and what of the file is not read; see `look`, which comes first."""

    @abstractmethod
    def ids(self, stem: str, hdus: fits.HDUList, rows: slice) -> list[str]:
        """Names of some rows, as `read` has them, without their spectra.

        Arguments:
            stem: what a row without a name is called after.
            hdus: of the file.
            rows: with a start and a stop.
        """

    def identity(self, stem: str, hdus: fits.HDUList, rows: slice) -> Identity:
        """Who some rows are, see `ids`; files that say no more are known by their ids."""
        return Identity(self.ids(stem, hdus, rows))

    @abstractmethod
    def read(
        self,
        options: Options,
        stem: str,
        hdus: fits.HDUList,
        beside: fits.HDUList | None,
        rows: slice,
    ) -> Iterator[Spectra]:
        """The spectra of some rows. Masked pixels leave with ivar 0.

        Arguments:
            options: how the survey is read.
            stem: what a row without a name is called after.
            hdus: of the file.
            beside: of the one beside it.
            rows: with a start and a stop.
        """
