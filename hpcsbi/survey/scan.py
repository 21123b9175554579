"""The look at all files of a survey before any is read: rows, checksums, what is wrong.

What was found is kept beside the store, a file for some files each, so that a job that is shorter
than the scan goes on where the last one stopped, and the parts of a job array share the work. The
driver holds less than a kilobyte a file: a million fit into 2 GB.
"""

import hashlib
import json
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpcsbi.cluster.executors import Cluster, Failure, Serial
from hpcsbi.errors import BadInput, Unfinished
from hpcsbi.store.files import write_atomically
from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.record.source import Source

__all__ = ["Content", "ScannedFile", "scan"]

SCANNED = 64  # files in one piece
KEY = 8  # bytes of the number of a key
KEPT = {"source", "contents", "notes", "stamps", "keys"}  # of a file
TOLD = 10  # wrong files that are named

Content = tuple[str, int, str]
"""Name, bytes and checksum of a file."""


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A good file.

    Arguments:
        source: with its rows.
        contents: of the file, and of the one beside it.
        notes: what of it is not read.
        named: rows that are asked for by their ids, number and id of each, ascending.
        keys: a number of 8 bytes for the key of each row, none of a file that breaks.
    """

    source: Source
    contents: tuple[Content, ...]
    notes: tuple[str, ...]
    named: tuple[tuple[int, str], ...] = ()
    keys: bytes = b""


def scan(
    survey: Survey,
    sources: Sequence[Source],
    cluster: Cluster,
    folder: Path,
    ids: Set[str] | None = None,
) -> list[ScannedFile]:
    """Look at every file once, and keep what was found.

    A part of a job array begins with its own pieces, takes over what others have found by then,
    and trusts them; who works alone looks at the times of change of all files.

    Arguments:
        folder: where to keep it.
        ids: of rows that are asked for; None: ids are not read.

    Returns:
        What was found, sorted by name and contents of the files, not by folder.

    Raises:
        ValueError: wrong files, some of them named; two files with the same contents,
            or with a spectrum of the same key.
        OutOfTime: the job ends first.
    """
    index, count = cluster.part() or (0, 1)
    pieces = [tuple(sources[i : i + SCANNED]) for i in range(0, len(sources), SCANNED)]
    with_ids = ids is not None
    look = partial(_look, survey, folder, with_ids)
    files, wrong, todo = [], [], []
    for k, piece in enumerate(pieces):
        known = _kept(_place(folder, survey, with_ids, piece), trust=k % count != index)
        if len(known) == len(piece):
            files += [_scanned_file(entry, ids) for entry in known]
        else:
            todo.append(piece)
    todo = [piece for k in range(count) for piece in todo[(index + k) % count :: count]]
    where = cluster if len(todo) > 4 else Serial()  # processes take seconds to start
    for _, outcome in where.map(look, todo):
        if isinstance(outcome, Failure):
            raise Unfinished(f"the header scan failed:\n{outcome.reason}")
        files += [_scanned_file(entry, ids) for entry in outcome.receipt[0]]
        wrong += outcome.receipt[1]
    if wrong:
        more = f"\n... and {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
        raise BadInput("\n".join(sorted(wrong)[:TOLD]) + more)
    files.sort(key=lambda each: each.contents)
    _refuse_repeats(files)
    _refuse_repeated_keys(files, survey)
    return files


def _look(
    survey: Survey, folder: Path, with_ids: bool, piece: Sequence[Source]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Good files of a piece, and what is wrong with the others; good ones are kept."""
    place = _place(folder, survey, with_ids, piece)
    known = {tuple(entry["source"][:2]): entry for entry in _kept(place)}
    entries, wrong = [], []
    for source in piece:
        entry = known.get((source.path, source.beside))
        try:
            entries.append(entry or _new_entry(survey, source, with_ids))
        except BadInput as error:
            wrong.append(str(error))
    if len(known) < len(entries):
        write_atomically(place, json.dumps(entries).encode())
    return entries, wrong


def _new_entry(survey: Survey, source: Source, with_ids: bool) -> dict[str, Any]:
    """What is kept of a file; `stamps` are its size and times of change, and of the one beside."""
    paths = _paths(source.path, source.beside)
    stamps = [_stamp(path) for path in paths]  # before: a change meanwhile is seen next time
    rows, notes, keys = survey.look_with_keys(source)
    ids = {"ids": survey.ids(replace(source, rows=rows))} if with_ids else {}
    return {
        **ids,
        "keys": b"".join(map(_number, keys)).hex(),
        "source": (source.path, source.beside, rows),
        "contents": [_content(path) for path in paths],
        "notes": notes,
        "stamps": stamps,
    }


def _scanned_file(entry: dict[str, Any], ids: Set[str] | None) -> ScannedFile:
    contents = tuple(tuple(content) for content in entry["contents"])
    names = enumerate(entry["ids"] if ids is not None else ())
    named = tuple((row, name) for row, name in names if name in ids)
    keys = bytes.fromhex(entry["keys"])
    return ScannedFile(Source(*entry["source"]), contents, tuple(entry["notes"]), named, keys)


def _paths(path: str, beside: str) -> list[Path]:
    return [Path(name) for name in (path, beside) if name]


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _content(path: Path) -> Content:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return path.name, path.stat().st_size, digest.hexdigest()


def _place(folder: Path, survey: Survey, with_ids: bool, piece: Sequence[Source]) -> Path:
    """Where a piece is kept: named after its files and how they are read."""
    paths = [[each.path, each.beside] for each in piece]
    text = json.dumps([survey.settings(), paths, *(["ids"] if with_ids else [])])
    return folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.json"


def _kept(place: Path, trust: bool = False) -> list[dict[str, Any]]:
    """What was seen before of a piece, without files that have changed since.

    Of what is damaged nothing was seen: its files are looked at again.
    """
    try:
        kept = json.loads(place.read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    if not isinstance(kept, list) or not all(
        isinstance(entry, dict) and entry.keys() >= KEPT for entry in kept
    ):
        return []
    if trust:
        return kept
    return [
        entry
        for entry in kept
        if [_stamp(path) for path in _paths(*entry["source"][:2])] == entry["stamps"]
    ]


def _refuse_repeats(files: Sequence[ScannedFile]) -> None:
    """Two files of the same spectra would be two rows of one object."""
    first: dict[str, str] = {}
    for each in files:
        path, checksum = each.source.path, each.contents[0][2]
        if checksum in first:
            raise BadInput(
                f"{first[checksum]} and {path} have the same contents: list each file once in "
                "ingest.files."
            )
        first[checksum] = path


def _number(key: str) -> bytes:
    """The same for one key, and for different ones by chance once in 10^19 pairs."""
    return hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=KEY).digest()


def _refuse_repeated_keys(files: Sequence[ScannedFile], survey: Survey) -> None:
    """One spectrum in two files, of two productions say, would be two rows."""
    numbers = [np.frombuffer(each.keys, dtype=np.uint64) for each in files]
    ordered = np.sort(np.concatenate([*numbers, np.zeros(0, np.uint64)]))
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(again):
        return
    sources = [
        each.source for each, of in zip(files, numbers, strict=True) for _ in of[of == again[0]]
    ]
    keys = survey.look_with_keys(sources[0])[2]
    key = next(each for each in keys if _number(each) == again[0].tobytes())
    raise BadInput(
        f"{sources[0].path} and {sources[1].path} both hold the spectrum {key}, "
        f"{len(again)} spectra come again in all: list each once in ingest.files."
    )
