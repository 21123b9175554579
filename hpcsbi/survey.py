"""Survey files, as they are published, to one record: the only module that reads FITS.

Each survey has a layout (the HDUs by which it is known), a header scan that counts spectra without
reading them, and a reader of a block of rows. Masked pixels leave with ivar 0.
"""

import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from astropy import units
from astropy.io import fits

from hpcsbi.column_files import COLUMN_FILES, COLUMNS, from_columns
from hpcsbi.errors import BadInput
from hpcsbi.records import PER_ANGSTROM, USUAL, Spectra, factor, per_angstrom

__all__ = ["Source", "Survey", "UnreadableError"]

BLOCK = 64  # rows read at once: larger blocks leave the processor's caches
TABLE = ("ID", "Z", "WAVE", "FLUX", "IVAR")
# HDUs by which a file is known, and the one with a row for each spectrum.
SURVEYS = ("sdss", "desi", "manga", "table")
LAYOUTS = {
    "sdss": ("COADD", "SPECOBJ"),
    "desi": ("FIBERMAP", "B_WAVELENGTH", "B_FLUX", "B_IVAR", "B_MASK"),
    "manga": ("WAVE", "FLUX", "IVAR", "MASK", "Z"),
    "redrock": ("REDSHIFTS",),
}
ROWS_IN = {"sdss": "SPECOBJ", "desi": "FIBERMAP", "manga": "FLUX", "redrock": "REDSHIFTS"}
# What a damaged file makes astropy, numpy, gzip and pyarrow raise (ArrowInvalid is a ValueError).
CUT = (OSError, EOFError, zlib.error, BadZipFile)
BREAKS = (*CUT, ValueError, KeyError, TypeError, IndexError)


class UnreadableError(BadInput):
    """A file whose header was good broke while its rows were read."""


@dataclass(frozen=True)
class Source:
    """A file of spectra.

    Arguments:
        path: the file.
        beside: the file of its redshifts (DESI), or "".
        rows: number of spectra, 0 before the header scan.
    """

    path: str
    beside: str = ""
    rows: int = 0

    @property
    def stem(self) -> str:
        """File name without its endings."""
        return Path(self.path).name.split(".fits")[0].removesuffix(".gz")


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
        redrocks = {path.name: path for path in paths if path.name.startswith("redrock")}
        coadds = [path for path in paths if path.name not in redrocks]
        pairs = [Source(str(path), _redrock_of(path, redrocks)) for path in coadds]
        spare = set(redrocks) - {Path(pair.beside).name for pair in pairs}
        if spare:
            raise BadInput(f"{', '.join(sorted(spare))}: no coadd of that name is among the files.")
        return pairs

    def count(self, source: Source) -> int:
        """Number of spectra in a file, from its headers.

        Raises:
            ValueError: not a file of this survey, empty, cut short, or with a wrong unit.
        """
        rows = self._scan(Path(source.path), self.name)
        if source.beside:
            self._scan(Path(source.beside), "redrock")
        if rows < 1:
            raise BadInput(f"{source.path} holds no spectra: take it out of the list.")
        return rows

    def read(self, source: Source, rows: slice) -> Iterator[Spectra]:
        """Spectra of some rows of a file, in blocks.

        Raises:
            UnreadableError: the file is damaged.
        """
        try:
            with self._reader(source) as reader:
                for start in range(rows.start, rows.stop, BLOCK):
                    yield reader(slice(start, min(start + BLOCK, rows.stop)))
        except BREAKS as error:
            reason = f"{Path(source.path).name}: {type(error).__name__}: {error}"
            raise UnreadableError(reason.replace(str(Path(source.path).parent), "")) from error

    @contextmanager
    def _reader(self, source: Source) -> Iterator[Callable[[slice], Spectra]]:
        path = Path(source.path)
        if self.name == "table" and path.suffix in COLUMN_FILES:
            columns, unit = COLUMN_FILES[path.suffix](path, self.flux_unit)
            yield lambda rows: from_columns({k: v[rows] for k, v in columns.items()}, unit)
            return
        beside = _opened(Path(source.beside)) if source.beside else nullcontext()
        with _opened(path) as hdus, beside as redshifts:
            yield partial(READERS[self.name], self, source, hdus, redshifts)

    def _scan(self, path: Path, layout: str) -> int:
        try:
            if layout == "table" and path.suffix in COLUMN_FILES:
                return COLUMN_FILES[path.suffix](path, self.flux_unit, count=True)
            with _opened(path) as hdus:
                _check_layout(path, hdus, layout)
                _unit_of(layout, hdus)
                return hdus[ROWS_IN.get(layout, 1)].header["NAXIS2"]
        except BREAKS as error:
            text = str(error).strip() or type(error).__name__
            if isinstance(error, CUT):
                text = f"not a whole file ({text}): fetch it again, or choose another survey"
            raise BadInput(f"{path}: survey={self.name}: {text}.") from error


def _opened(path: Path) -> fits.HDUList:
    with warnings.catch_warnings():  # a cut file is refused by _check_layout, with its size
        warnings.simplefilter("ignore")
        hdus = fits.open(path)
        len(hdus)  # reads all headers
    return hdus


def _read_to_the_end(path: Path) -> None:
    """Raise where a gzip file is cut: astropy only leaves out the HDUs behind the cut."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            while file.read(1 << 24):
                pass


def _check_layout(path: Path, hdus: fits.HDUList, layout: str) -> None:
    if not _has_layout(hdus, layout):
        _read_to_the_end(path)
        found = " ".join(hdu.name or "(no name)" for hdu in hdus)
        other = [name for name in SURVEYS if _has_layout(hdus, name)]
        mend = f"it looks like survey={other[0]}" if other else "choose another survey"
        wanted = " ".join(LAYOUTS.get(layout, ("a table of", *TABLE)))
        raise BadInput(f"found HDUs {found}, but {layout} needs {wanted}: {mend}")
    end = max(info["datLoc"] + info["datSpan"] for info in (hdu.fileinfo() for hdu in hdus))
    if path.suffix != ".gz" and end > path.stat().st_size:
        raise BadInput(f"cut short, {path.stat().st_size} of {end} bytes: fetch it again")


def _has_layout(hdus: fits.HDUList, layout: str) -> bool:
    if layout == "table":
        table = len(hdus) > 1 and isinstance(hdus[1], fits.BinTableHDU)
        return table and set(TABLE) <= {name.upper() for name in hdus[1].columns.names}
    return set(LAYOUTS[layout]) <= {hdu.name for hdu in hdus}


def _unit_of(layout: str, hdus: fits.HDUList) -> float:
    """Unit of flux; the surveys fix theirs, a header that says otherwise is refused."""
    if layout == "table":
        return _table_unit(hdus[1])
    holder = {"desi": "B_FLUX", "manga": "FLUX"}.get(layout, 0)
    return per_angstrom(hdus[holder].header.get("BUNIT", USUAL), "BUNIT")


def _table_unit(table: fits.BinTableHDU) -> float:
    said = {column.name.upper(): column.unit for column in table.columns}
    unit = per_angstrom(said["FLUX"], "TUNIT of FLUX")
    per_unit = units.Unit(1 / (unit * PER_ANGSTROM) ** 2)
    for name, right in {"WAVE": units.AA, "DISTANCE": units.Mpc, "IVAR": per_unit}.items():
        text = said.get(name)
        if text and not np.isclose(factor(text, right), 1, rtol=1e-6):
            raise BadInput(f"TUNIT of {name} is {text!r}: write it in {right}")
    return unit


def _redrock_of(coadd: Path, redrocks: Mapping[str, Path]) -> str:
    name = coadd.name.replace("coadd", "redrock", 1)
    path = redrocks.get(name, coadd.with_name(name))
    if name == coadd.name or not path.exists():
        raise BadInput(
            f"{coadd}: no redshifts: expected {path.name} beside it or among the files (DESI "
            "coadds are named coadd-*.fits and come with redrock-*.fits)."
        )
    return str(path)


def _is_bad(mask: np.ndarray, bits: Sequence[int]) -> np.ndarray:
    return (mask.astype(np.int64) & (sum(1 << bit for bit in bits) or -1)) != 0


def _not_in(values: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    return ~np.isin([str(value).strip() for value in values], classes)


def _read_sdss(
    survey: Survey, source: Source, hdus: fits.HDUList, beside: None, rows: slice
) -> Spectra:
    """One spectrum a file; or_mask is not used: it marks what a single exposure missed."""
    pixels, object_ = hdus["COADD"].data, hdus["SPECOBJ"].data[:1]
    bad = _is_bad(pixels["and_mask"], survey.bad_bits)
    plate, mjd, fiber = (int(object_[name][0]) for name in ("PLATE", "MJD", "FIBERID"))
    return Spectra(
        wave=10.0 ** pixels["loglam"].astype(float),
        flux=pixels["flux"].astype(float)[None],
        ivar=np.where(bad, 0.0, pixels["ivar"])[None],
        zred=object_["Z"].astype(float),
        id=[f"{plate:04d}-{mjd}-{fiber:04d}"],
        unit=_unit_of("sdss", hdus),
        zwarn=object_["ZWARNING"] != 0,
        other_class=_not_in(object_["CLASS"], survey.classes),
    )


def _read_desi(
    survey: Survey, source: Source, hdus: fits.HDUList, beside: fits.HDUList, rows: slice
) -> Spectra:
    """Cameras merged by ivar on their common grid; the resolution matrix is never touched."""
    fibers, table = hdus["FIBERMAP"].data[rows], beside["REDSHIFTS"].data
    wave, flux, ivar = _merged(hdus, survey, rows)
    order = np.argsort(table["TARGETID"], kind="stable")
    at = np.searchsorted(table["TARGETID"], fibers["TARGETID"], sorter=order)
    match = order[at.clip(max=len(order) - 1)]
    found = table["TARGETID"][match] == fibers["TARGETID"]
    bad_fiber = ~np.isin(_column(fibers, "COADD_FIBERSTATUS", 0), survey.good_fibers)
    sky = _column(fibers, "OBJTYPE", "TGT") != "TGT"
    return Spectra(
        wave=wave,
        flux=flux,
        ivar=np.where(bad_fiber[:, None], 0.0, ivar),
        zred=np.where(found, table["Z"][match], np.nan),
        id=[str(target) for target in fibers["TARGETID"]],
        unit=_unit_of("desi", hdus),
        ebv=survey.ebv_factor * _column(fibers, "EBV", np.nan),
        zwarn=~found | (table["ZWARN"][match] != 0),
        other_class=sky | (found & _not_in(table["SPECTYPE"][match], survey.classes)),
        bad_fiber=bad_fiber,
    )


def _merged(
    hdus: fits.HDUList, survey: Survey, rows: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths, flux, ivar of all cameras of a coadd, the cameras weighted by ivar."""
    names = [hdu.name.removesuffix("_WAVELENGTH") for hdu in hdus if "_WAVELENGTH" in hdu.name]
    waves = {name: hdus[f"{name}_WAVELENGTH"].data.astype(float) for name in names}
    first = min(wave[0] for wave in waves.values())
    step = (waves[names[0]][-1] - waves[names[0]][0]) / (len(waves[names[0]]) - 1)
    places = {name: (wave - first) / step for name, wave in waves.items()}
    pixels = 1 + round(max(place[-1] for place in places.values()))
    weighted, ivar = np.zeros((2, rows.stop - rows.start, pixels))
    for name, place in places.items():
        start = round(place[0])
        if np.abs(place - start - np.arange(len(place))).max() > 1e-2:
            raise BadInput(f"camera {name} is not on the grid of camera {names[0]}")
        camera = slice(start, start + len(place))
        bad = _is_bad(hdus[f"{name}_MASK"].section[rows], survey.bad_bits)
        weight, values = (hdus[f"{name}_{q}"].section[rows].astype(float) for q in ("IVAR", "FLUX"))
        weight[bad | ~np.isfinite(values) | ~(weight > 0)] = 0.0
        weighted[:, camera] += weight * np.where(weight > 0, values, 0.0)
        ivar[:, camera] += weight
    flux = np.divide(weighted, ivar, out=np.zeros(ivar.shape), where=ivar > 0)
    return first + step * np.arange(pixels), flux, ivar


def _read_manga(
    survey: Survey, source: Source, hdus: fits.HDUList, beside: None, rows: slice
) -> Spectra:
    """Spectra as images with one row each, named after the file and the row."""
    bad = _is_bad(hdus["MASK"].section[rows], survey.bad_bits)
    return Spectra(
        wave=hdus["WAVE"].data.astype(float),
        flux=hdus["FLUX"].section[rows].astype(float),
        ivar=np.where(bad, 0.0, hdus["IVAR"].section[rows]),
        zred=hdus["Z"].data[rows].astype(float),
        id=[f"{source.stem}-{row}" for row in range(rows.start, rows.stop)],
        unit=_unit_of("manga", hdus),
    )


def _read_table(
    survey: Survey, source: Source, hdus: fits.HDUList, beside: None, rows: slice
) -> Spectra:
    """A FITS binary table with a vector of wavelengths in each row."""
    table = hdus[1].data[rows]
    names = {name.lower(): name for name in table.names}
    columns = {key: table[name] for key, name in names.items() if key in COLUMNS}
    columns["zred"] = table[names["z"]]
    return from_columns(columns, _unit_of("table", hdus))


READERS = {"sdss": _read_sdss, "desi": _read_desi, "manga": _read_manga, "table": _read_table}


def _column(table: Any, name: str, fill: Any) -> np.ndarray:
    """A column, or a constant where the table has none."""
    return np.asarray(table[name]) if name in table.names else np.full(len(table), fill)
