"""Read survey files into spectra.zarr: one row for every spectrum, on the model's pixels."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from functools import lru_cache, partial
from glob import glob, has_magic
from pathlib import Path

import numpy as np

from hpcsbi.cluster import Cluster, Failure, Serial
from hpcsbi.errors import BadInput, Unfinished
from hpcsbi.files import write_atomically
from hpcsbi.flags import Flag, bits, counts, legend
from hpcsbi.grid import Grid
from hpcsbi.quality import quality
from hpcsbi.records import Spectra
from hpcsbi.rest_frame import (
    CM_PER_MPC,
    LINE_GAP,
    MIN_COVER,
    air_to_vacuum,
    luminosity_distance_cm,
    to_rest_frame,
)
from hpcsbi.shards import run_shards
from hpcsbi.store import Array, Store, create, open_store
from hpcsbi.survey import Source, Survey, UnreadableError

__all__ = ["find_files", "ingest"]

LISTED = 1000  # more files than this are one checksum in the settings, not one each
SCANNED = 64  # files in one piece of the header scan
FIRST_ZRED, LAST_ZRED, LOCAL_ZRED = 0.0, 20.0, 0.01


def ingest(
    out: str | Path,
    files: str | Sequence[str],
    survey: Survey,
    grid: Grid,
    shard: int,
    cluster: Cluster,
) -> None:
    """Write the spectra of some survey files, flagged where something is wrong with them.

    Every spectrum of the files has exactly one row, in the order of the file names. Files are
    looked at before anything is written: a wrong one ends the stage. A file that breaks later has
    its rows flagged UNREADABLE, and the others go on.

    Arguments:
        out: path of the store.
        files: paths or patterns such as "spectra/coadd-*.fits".
        survey: how to read them.
        grid: the model's pixels; a pixel's mean is written whatever `grid.sampling` is.
        shard: rows in a shard.
        cluster: where to run.

    Raises:
        FileNotFoundError: files that do not exist, all of them named.
        ValueError: a file of another survey, cut short, or listed twice.
    """
    out = Path(out).absolute()
    sources, contents = _scan(survey, survey.sources(find_files(files)), cluster)
    rows = sum(source.rows for source in sources)
    settings = {
        "survey": survey.settings(),
        "grid": grid.settings(),
        "files": _files_settings(contents),
        "regrid": {"min_cover": MIN_COVER, "line_gap": LINE_GAP},
    }
    store = create(out, _arrays(rows, grid), settings, shard, {"notice": ""})
    plan = json.dumps([astuple(source) for source in sources]).encode()
    # Beside the store and not in each task: a million files are 100 MB of paths.
    place = out.with_name(f"{out.name}.{uuid.uuid4().hex[:12]}.plan")
    write_atomically(place, plan)
    try:
        run_shards(partial(_ingest_shard, out, place, survey, grid), store, cluster, "ingest")
    finally:
        place.unlink(missing_ok=True)
    for left in out.parent.glob(f"{out.name}.*.plan"):  # of drivers that were killed
        left.unlink(missing_ok=True)
    _summarise(store)


def find_files(files: str | Sequence[str]) -> list[Path]:
    """Files of a list of paths and patterns, absolute, each once if a pattern repeats it.

    Raises:
        FileNotFoundError: paths that do not exist or patterns that match nothing, all named.
        ValueError: a path listed twice, or no files at all.
    """
    names = [files] if isinstance(files, str) else list(files)
    plain = [Path(name).expanduser().absolute() for name in names if not has_magic(name)]
    globs = {name: sorted(glob(str(Path(name).expanduser()))) for name in names if has_magic(name)}
    lost = [str(path) for path in plain if not path.is_file()]
    lost += [name for name, found in globs.items() if not found]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} of {len(names)} entries of ingest.files are not there (or are folders): "
            f"{', '.join(lost)}. Give files or patterns such as 'folder/*.fits'."
        )
    if twice := sorted({str(path) for path in plain if plain.count(path) > 1}):
        raise BadInput(f"listed twice in ingest.files: {', '.join(twice)}; name each file once.")
    found = {Path(path).absolute(): None for paths in globs.values() for path in paths}
    if not plain and not found:
        raise BadInput("ingest.files is empty: name the survey's files, or a pattern.")
    return list(dict.fromkeys([*plain, *found]))


def _scan(
    survey: Survey, sources: list[Source], cluster: Cluster
) -> tuple[list[Source], list[tuple[str, int, str]]]:
    """Rows of each file and (name, bytes, checksum) of all, sorted by name, not by folder."""
    pieces = [tuple(sources[i : i + SCANNED]) for i in range(0, len(sources), SCANNED)]
    where = cluster if len(pieces) > 4 else Serial()  # processes take seconds to start
    found, wrong = [], []
    for _, outcome in where.map(partial(_scan_files, survey), pieces):
        if isinstance(outcome, Failure):
            raise Unfinished(f"the header scan failed:\n{outcome.reason}")
        found += outcome.receipt[0]
        wrong += outcome.receipt[1]
    if wrong:
        more = f"\n... and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise BadInput("\n".join(sorted(wrong)[:10]) + more)
    found.sort(key=lambda item: item[1])
    contents = [content for _, each in found for content in each]
    _refuse_repeats(contents)
    return [source for source, _ in found], contents


def _scan_files(survey: Survey, sources: Sequence[Source]) -> tuple[list, list[str]]:
    """(source with its rows, contents) of good files, and what is wrong with the others."""
    found, wrong = [], []
    for source in sources:
        try:
            rows = survey.count(source)
            both = [Path(path) for path in (source.path, source.beside) if path]
            found.append((replace(source, rows=rows), [_content(path) for path in both]))
        except ValueError as error:
            wrong.append(str(error))
    return found, wrong


def _content(path: Path) -> tuple[str, int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return path.name, path.stat().st_size, digest.hexdigest()


def _refuse_repeats(contents: list[tuple[str, int, str]]) -> None:
    first: dict[str, str] = {}
    for name, _, checksum in contents:
        if checksum in first:
            raise BadInput(
                f"{first[checksum]} and {name} of ingest.files have the same contents: list each "
                "file once."
            )
        first[checksum] = name


def _files_settings(contents: list[tuple[str, int, str]]) -> dict:
    """Names, sizes and checksums of the files; of very many files their number and one checksum."""
    if len(contents) > LISTED:
        digest = hashlib.blake2b(json.dumps(contents).encode(), digest_size=16).hexdigest()
        return {"number": len(contents), "checksum": digest}
    settings: dict[str, dict] = {}
    for name, size, checksum in contents:
        key = name if name not in settings else f"{name} ({checksum})"
        settings[key] = {"bytes": size, "checksum": checksum}
    return settings


def _arrays(rows: int, grid: Grid) -> dict[str, Array]:
    spectrum = {"row": rows, "pixel": grid.pixels}
    density = "solLum / Angstrom"
    row = {"row": rows}
    return {
        "flux": Array(spectrum, "float32", {"units": density, "frame": "rest, vacuum"}),
        "ivar": Array(spectrum, "float32", {"units": f"({density})^-2", "mask": "0"}),
        "wave": Array({"pixel": grid.pixels}, "float64", {"units": "Angstrom"}, grid.wave),
        "id": Array(row, "string"),
        "zred": Array(row, "float64", {"description": "redshift, NaN where there is none"}),
        "flags": Array(row, "int32", legend()),
        "ebv": Array(row, "float32", {"units": "mag", "description": "Galactic, as corrected"}),
        "distance": Array(row, "float64", {"units": "Mpc", "description": "as used"}),
        "n_pixels": Array(row, "int32", {"description": "valid pixels"}),
        "snr": Array(row, "float32", {"description": "median over valid pixels"}),
        "file": Array(row, "string"),
        "reason": Array(row, "string", {"description": "why a row is UNREADABLE"}),
    }


@lru_cache(maxsize=1)
def _load_plan(place: Path) -> tuple[list[Source], np.ndarray]:
    """Sources and the number of rows before each; the file's name holds its checksum."""
    sources = [Source(*fields) for fields in json.loads(place.read_bytes())]
    return sources, np.cumsum([0, *(source.rows for source in sources)])


def _pieces(place: Path, rows: slice) -> Iterator[tuple[Source, slice]]:
    """Each file that has some of these rows, with its own numbers of them."""
    sources, starts = _load_plan(place)
    k = int(np.searchsorted(starts, rows.start, side="right")) - 1
    while k < len(sources) and starts[k] < rows.stop:
        first = max(rows.start - starts[k], 0)
        yield sources[k], slice(int(first), int(min(rows.stop - starts[k], sources[k].rows)))
        k += 1


def _ingest_shard(out: Path, place: Path, survey: Survey, grid: Grid, shard: int) -> None:
    store = open_store(out)
    made = [
        columns
        for source, rows in _pieces(place, store.rows_of(shard))
        for columns in _piece(survey, grid, source, rows)
    ]
    store.write(shard, **{name: np.concatenate([part[name] for part in made]) for name in made[0]})


def _piece(survey: Survey, grid: Grid, source: Source, rows: slice) -> list[dict]:
    """Columns of some rows of one file, all of them UNREADABLE if the file breaks."""
    name = Path(source.path).name
    try:
        return [_columns(block, survey, grid, name) for block in survey.read(source, rows)]
    except UnreadableError as error:
        names = [f"{source.stem}-{row}" for row in range(rows.start, rows.stop)]
        return [_unreadable(names, grid, name, str(error))]


def _columns(spectra: Spectra, survey: Survey, grid: Grid, name: str) -> dict:
    """All columns of a block of spectra."""
    rows = len(spectra.id)
    if rows > 1 and spectra.wave.ndim == 2 and (spectra.wave != spectra.wave[:1]).any():
        parts = [_columns(spectra.row(row), survey, grid, name) for row in range(rows)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    wave = spectra.wave if spectra.wave.ndim == 1 else spectra.wave[0]
    try:
        flux, ivar, distance = _on_grid(air_to_vacuum(wave) if survey.air else wave, spectra, grid)
    except ValueError as error:
        return _unreadable(spectra.id, grid, name, str(error))
    n_pixels, snr, flags = quality(flux, ivar, grid.edges)
    return {
        "flux": flux,
        "ivar": ivar,
        "id": np.array(spectra.id),
        "zred": spectra.zred,
        "flags": flags | _survey_flags(spectra),
        "ebv": _known_ebv(spectra)[1].astype(np.float32),
        "distance": distance,
        "n_pixels": n_pixels,
        "snr": snr,
        "file": np.full(rows, name),
        "reason": np.full(rows, ""),
    }


def _on_grid(
    wave: np.ndarray, spectra: Spectra, grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """flux, ivar as float32 and the distance used, Mpc; rows without a redshift stay masked."""
    flux, ivar = np.zeros((2, len(spectra.id), grid.pixels), dtype=np.float32)
    distance = np.full(len(spectra.id), np.nan)
    use = _usable(spectra.zred)
    if use.all():
        use = slice(None)  # a view: copies of 64 spectra cost as much as regridding them
    zred, ebv = spectra.zred[use], _known_ebv(spectra)[1][use]
    if len(zred):
        given = spectra.distance[use]
        cm = np.where(given > 0, given * CM_PER_MPC, luminosity_distance_cm(zred))
        distance[use] = cm / CM_PER_MPC
        flux[use], ivar[use] = to_rest_frame(
            wave, spectra.flux[use], spectra.ivar[use], zred, ebv, cm, spectra.unit, grid.edges
        )
        ivar[~(np.isfinite(flux) & np.isfinite(ivar))] = 0.0  # beyond what float32 holds
        flux[ivar == 0] = 0.0
    return flux, ivar, distance


def _usable(zred: np.ndarray) -> np.ndarray:
    return (zred > FIRST_ZRED) & (zred <= LAST_ZRED)


def _known_ebv(spectra: Spectra) -> tuple[np.ndarray, np.ndarray]:
    """True where E(B-V) is known, and its value, 0 where it is not."""
    known = (spectra.ebv >= 0) & (spectra.ebv < np.inf)
    return known, np.where(known, spectra.ebv, 0.0)


def _survey_flags(spectra: Spectra) -> np.ndarray:
    """Flags that are seen before regridding only."""
    finite = np.isfinite(spectra.flux).any(1)
    near = (spectra.zred < LOCAL_ZRED) & ~(spectra.distance > 0)
    return bits(
        ALL_MASKED=~(spectra.ivar > 0).any(1),
        NOT_FINITE=~finite,
        ZWARN=spectra.zwarn,
        Z_RANGE=~_usable(spectra.zred) | near,
        CLASS=spectra.other_class,
        NO_EBV=~_known_ebv(spectra)[0],
        BAD_FIBER=spectra.bad_fiber,
    )


def _unreadable(names: Sequence[str], grid: Grid, file: str, reason: str) -> dict:
    rows = len(names)
    empty = np.zeros((rows, grid.pixels), dtype=np.float32)
    nothing = np.full(rows, np.nan)
    return {
        "flux": empty,
        "ivar": empty,
        "id": np.array(names),
        "zred": nothing,
        "flags": np.full(rows, int(Flag.UNREADABLE | Flag.NO_DATA), dtype=np.int32),
        "ebv": nothing.astype(np.float32),
        "distance": nothing,
        "n_pixels": np.zeros(rows, dtype=np.int32),
        "snr": np.zeros(rows, dtype=np.float32),
        "file": np.full(rows, file),
        "reason": np.full(rows, reason),
    }


def _summarise(store: Store) -> None:
    """Print what was read, and how many rows have each flag."""
    flags, ids = store.read("flags"), store.read("id")
    print(f"{store.path}: {store.rows} spectra, {(flags == 0).sum()} without flags", flush=True)
    for name, number in counts(flags).items():
        print(f"  {name:20s}{number:10d}")
    if repeats := len(ids) - len(set(ids.tolist())):
        print(f"  {repeats} rows repeat the id of another row: tell them apart by row number.")
