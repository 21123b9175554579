"""Read survey files into spectra.zarr: one row for every spectrum, on the model's pixels."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from glob import glob, has_magic
from pathlib import Path

import numpy as np

from hpcsbi.arguments import Count, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.flags import MEANINGS, Flag, counts, legend
from hpcsbi.grid import Grid
from hpcsbi.store.batches import write_batches
from hpcsbi.store.files import write_atomically
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_store
from hpcsbi.store.provenance import code_of
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store
from hpcsbi.survey.choice import Choice, absences, choose, with_redshifts
from hpcsbi.survey.object_lists import read_lists
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.pixels import WIDEST
from hpcsbi.survey.readers.formats import Survey, UnreadableError
from hpcsbi.survey.record.identity import AXES, NAMES
from hpcsbi.survey.record.line_spread import KNOTS, knots
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.record.spectra import unread_spectra
from hpcsbi.survey.repeats import repeats
from hpcsbi.survey.rest_frame import LINE_GAP, MIN_COVER
from hpcsbi.survey.scan import ScannedFile, scan

__all__ = ["find_files", "ingest", "look_at_first"]

LISTED = 1000  # more files than this are one checksum in the settings, not one each
TOLD = 5  # of a kind that are shown at the end


@checked()
def ingest(
    out: str | Path,
    files: str | Sequence[str],
    survey: Survey,
    grid: Grid,
    shard: Count,
    cluster: Cluster,
    redshifts: str | Path | None = None,
    ids: str | Path | None = None,
) -> None:
    """Write the spectra of some survey files, flagged where something is wrong with them.

    Every spectrum of the files, or of those that `ids` names, has exactly one row, in the order of
    the file names. Files are
    looked at before anything is written: a wrong one ends the stage. What was seen is kept in
    OUT.scan beside the store, for the next job and the other parts. A row that cannot be read is
    flagged UNREADABLE with its id and the reason, as are all rows of a file that breaks later; the
    others go on.

    Arguments:
        out: path of the store.
        files: paths or patterns such as "spectra/coadd-*.fits".
        survey: how to read them.
        grid: the model's pixels; a pixel's mean is written whatever `grid.sampling` is.
        shard: rows that are made at a time; a file holds more where there are very many.
        cluster: where to run.
        redshifts: file with the redshifts (and distances) of some objects, which take the place of
            the survey's, see `object_lists.read_redshifts`; None: there is none.
        ids: file with the ids of the objects that are read, see `object_lists.read_ids`; None: all.

    Raises:
        FileNotFoundError: files that do not exist, all of them named.
        ValueError: a file of another survey, cut short, or listed twice; files of redshifts or ids
            that are none, or of other objects.
    """
    out = Path(out).absolute()
    lists = read_lists(redshifts, ids)
    scanned = scan(
        survey, survey.sources(find_files(files)), cluster, Path(f"{out}.scan"), lists.names
    )
    choice = choose(scanned, lists)
    for line in absences(scanned, lists):
        print(line, flush=True)
    settings = {
        "code": code_of("ingest"),
        "survey": survey.settings(),
        "grid": grid.settings(),
        "files": _files_settings([content for each in scanned for content in each.contents]),
        "regrid": {"min_cover": MIN_COVER, "line_gap": LINE_GAP, "widest": WIDEST},
        **lists.settings,  # nothing where there are none, as in stores that know no such thing
    }
    store = create(out, _arrays(choice.rows, grid), settings, shard, {"notice": ""})
    # Beside the store and not in each task: a million files are 100 MB of paths.
    place = out.with_name(f"{out.name}.{uuid.uuid4().hex[:12]}.plan")
    write_atomically(place, choice.to_json())
    try:
        run_shards(partial(_ingest_shard, out, place, survey, grid), store, cluster, "ingest")
    finally:
        place.unlink(missing_ok=True)
    for left in out.parent.glob(f"{out.name}.*.plan"):  # of drivers that were killed
        left.unlink(missing_ok=True)
    _summarise(store, scanned)


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
    lost += [name for name, matches in globs.items() if not matches]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} of {len(names)} entries of ingest.files are not there (or are folders): "
            f"{', '.join(lost)}. Give files or patterns such as 'folder/*.fits'."
        )
    if twice := sorted(str(path) for path, times in Counter(plain).items() if times > 1):
        raise BadInput(f"listed twice in ingest.files: {', '.join(twice)}; name each file once.")
    matches = {Path(path).absolute(): None for paths in globs.values() for path in paths}
    if not plain and not matches:
        raise BadInput("ingest.files is empty: name the survey's files, or a pattern.")
    return list(dict.fromkeys([*plain, *matches]))


def look_at_first(
    files: str | Sequence[str],
    survey: Survey,
    redshifts: str | Path | None,
    ids: str | Path | None,
) -> None:
    """Read the lists of redshifts and ids, find the files, pair them, and open the first one.

    Raises:
        FileNotFoundError, BadInput: what `ingest` would raise.
    """
    read_lists(redshifts, ids)
    for source in survey.sources(find_files(files))[:1]:
        survey.count(source)


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
        "survey_class": Array(row, "string", {"description": "by the survey's redshift fit"}),
        "flags": Array(row, "int32", legend()),
        "ebv": Array(row, "float32", {"units": "mag", "description": "Galactic, as corrected"}),
        "distance": Array(row, "float64", {"units": "Mpc", "description": "as used"}),
        "n_pixels": Array(row, "int32", {"description": "valid pixels"}),
        "snr": Array(row, "float32", {"description": "median over valid pixels"}),
        "position": Array(
            {"row": rows, "axis": len(AXES)},
            "float64",
            {"units": "degree", "description": "NaN where the file has none"},
        ),
        "axis": Array({"axis": len(AXES)}, "string", {}, np.array(AXES, dtype=object)),
        "identity": Array(
            {"row": rows, "name": len(NAMES)},
            "string",
            {"description": "whose spectrum it is, where it lies, its key, which no other has"},
        ),
        "name": Array({"name": len(NAMES)}, "string", {}, np.array(NAMES, dtype=object)),
        "file_row": Array(row, "int32", {"description": "number of the row in its file, from 0"}),
        "instrument": Array(
            {"row": rows, "knot": KNOTS},
            "float32",
            {"units": "km/s", "description": "dispersion it adds at knots, NaN where not known"},
        ),
        "knot": Array({"knot": KNOTS}, "float64", {"units": "Angstrom"}, knots(grid.wave)),
        "reason": Array(row, "string", {"description": "what of a row is not used, and why"}),
    }


@lru_cache(maxsize=1)
def _load_plan(place: Path) -> Choice:
    """What was written there, under a name of its own."""
    return Choice.from_json(place.read_bytes())


def _ingest_shard(out: Path, place: Path, survey: Survey, grid: Grid, shard: int) -> None:
    write_batches(open_store(out), shard, partial(_read, place, survey, grid))


def _read(place: Path, survey: Survey, grid: Grid, rows: slice) -> dict[str, np.ndarray]:
    """All arrays of some rows."""
    made, at, choice = [], rows.start, _load_plan(place)
    for source, some in choice.pieces(rows):
        end = at + some.stop - some.start
        made += _piece(survey, grid, source, some, choice.given(slice(at, end)))
        at = end
    return {name: np.concatenate([part[name] for part in made]) for name in made[0]}


def _piece(
    survey: Survey,
    grid: Grid,
    source: Source,
    rows: slice,
    given: tuple[np.ndarray, np.ndarray],
) -> list[dict]:
    """Columns of some rows of one file; those behind the place where it breaks are UNREADABLE."""
    name, made, done = Path(source.path).name, [], rows.start
    try:
        for block in survey.read(source, rows):
            some = slice(done - rows.start, done - rows.start + len(block.id))
            block = with_redshifts(block, *(values[some] for values in given))
            who = block.identity.columns(survey.name, name, done)
            made.append(columns_of(block, survey.air, grid, survey.spread) | who)
            done += len(block.id)
    except UnreadableError as error:
        names = [f"{source.stem}-{row}" for row in range(done, rows.stop)]
        block = unread_spectra(names, str(error))
        who = block.identity.columns(survey.name, name, done)
        made.append(columns_of(block, survey.air, grid) | who)
    return made


def _summarise(store: Store, scanned: Sequence[ScannedFile]) -> None:
    """Print what was read and what was not, how many rows have each flag, and what it means."""
    flagged, unread, reasoned, clean = Counter(), Counter(), Counter(), 0
    for rows in map(store.rows_of, store.shards):
        flags, reasons = store.read("flags", rows), store.read("reason", rows)
        unreadable = flags & Flag.UNREADABLE > 0
        clean += int((flags == 0).sum())
        flagged.update(counts(flags))
        unread.update(reasons[unreadable].tolist())
        reasoned.update(reasons[(reasons != "") & ~unreadable].tolist())
    print(f"{store.path}: {store.rows} spectra, {clean} without flags", flush=True)
    for flag in (flag for flag in MEANINGS if flagged[flag.name]):
        print(f"  {flag.name:20s}{flagged[flag.name]:10d}  {MEANINGS[flag]}")
    _tell("rows could not be read", unread)
    _tell("rows have a reason", reasoned)
    notes = Counter(note for each in scanned for note in each.notes)
    _tell("parts of files are not read", notes)
    same, differ = repeats(partial(_names, store), store.rows)
    if same:
        print(f"  {same} rows repeat the id of another row: tell them apart by row number.")
    _tell("times an id stands for another redshift", differ)


def _names(store: Store) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids and redshifts, shard after shard."""
    for rows in map(store.rows_of, store.shards):
        yield store.read("id", rows), store.read("zred", rows)


def _tell(what: str, tally: Counter) -> None:
    """Print how many there are, and the most frequent ones."""
    if not tally:
        return
    print(f"  {sum(tally.values())} {what}:")
    for text, times in tally.most_common(TOLD):
        print(f"    {text} ({times} times)")
    if len(tally) > TOLD:
        print(f"    ... and {len(tally) - TOLD} more kinds")
