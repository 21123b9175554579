"""Which rows of the files become rows of the store, and what users say of them by id."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.survey.object_lists import ObjectLists
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.record.spectra import Spectra
from hpcsbi.survey.scan import ScannedFile

__all__ = ["Choice", "absences", "choose", "with_redshifts"]

AT_REST = "its wavelengths are at rest: write zred 0 and a distance in ingest.redshifts"
NAMED = 20  # ids in no file that are told by name

Numbers = np.ndarray | Sequence[float]


@dataclass(frozen=True)
class Choice:
    """Rows of the store, by where they are read and what is said of them.

    Arguments:
        sources: runs of consecutive rows of files, one behind the other.
        row: rows of the store whose redshift is given, ascending.
        zred, distance: of each of these, distance (Mpc) NaN where none is given.
    """

    sources: Sequence[Source]
    row: Numbers = field(default=())
    zred: Numbers = field(default=())
    distance: Numbers = field(default=())

    @property
    def rows(self) -> int:
        """Their number."""
        return int(self._starts[-1])

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum([0, *(source.rows for source in self.sources)])

    def pieces(self, rows: slice) -> Iterator[tuple[Source, slice]]:
        """Each file that has some of these rows, with its own numbers of them."""
        starts = self._starts
        k = int(np.searchsorted(starts, rows.start, side="right")) - 1
        while k < len(self.sources) and starts[k] < rows.stop:
            source = self.sources[k]
            first = source.first + max(rows.start - int(starts[k]), 0)
            last = source.first + min(rows.stop - int(starts[k]), source.rows)
            yield source, slice(first, last)
            k += 1

    def given(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Redshifts and distances that are given, NaN for other rows, shapes (rows,)."""
        zred, distance = np.full((2, rows.stop - rows.start), np.nan)
        first, last = np.searchsorted(self.row, (rows.start, rows.stop))
        place = np.asarray(self.row[first:last], dtype=int) - rows.start
        zred[place], distance[place] = self.zred[first:last], self.distance[first:last]
        return zred, distance

    def to_json(self) -> bytes:
        """Its bytes, for `from_json`."""
        plain = [np.asarray(values).tolist() for values in (self.row, self.zred, self.distance)]
        return json.dumps([[astuple(source) for source in self.sources], *plain]).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Choice":
        """What `to_json` wrote."""
        sources, *given = json.loads(content)
        return cls([Source(*fields) for fields in sources], *map(np.array, given))


def choose(scanned: Sequence[ScannedFile], lists: ObjectLists) -> Choice:
    """All rows of the files, or those with some ids, in the files' order.

    Several rows with one id are all read, and all have the redshift that is given.

    Arguments:
        scanned: with the rows that have one of the ids, see `scan`.
        lists: ids that are read, and redshifts.

    Raises:
        BadInput: no row has any of the ids, or any of the redshifts.
    """
    ids, redshifts = lists.ids, lists.redshifts
    wanted = None if ids is None else set(ids)
    known = {} if redshifts is None else {name: k for k, name in enumerate(redshifts.id)}
    sources, row, which, start = [], [], [], 0
    for each in scanned:
        named = each.named
        if wanted is None:
            sources.append(each.source)
            places = {number: number for number, _ in named}
        else:
            numbers = [number for number, name in named if name in wanted]
            sources += _runs(each.source, numbers)
            places = {number: k for k, number in enumerate(numbers)}
        for number, name in named:
            if number in places and name in known:
                row.append(start + places[number])
                which.append(known[name])
        start += len(places) if wanted is not None else each.source.rows
    if not sources:
        raise BadInput(
            f"ingest.ids: none of its {len(ids)} ids is in the files, {ids[0]!r} neither: write "
            "them as the files do."
        )
    if redshifts is None:
        return Choice(sources)
    if len(_absent(scanned, redshifts.id)) == len(redshifts.id):
        raise BadInput(
            f"ingest.redshifts: none of its {len(known)} ids is in the files, "
            f"{redshifts.id[0]!r} neither: write them as the files do."
        )
    return Choice(sources, np.array(row), redshifts.zred[which], redshifts.distance[which])


def absences(scanned: Sequence[ScannedFile], lists: ObjectLists) -> list[str]:
    """In a line for each list, how many of its ids no file has, and the first of them."""
    lines, given = [], lists.redshifts.id if lists.redshifts else ()
    for key, ids, told in (("ids", lists.ids or (), NAMED), ("redshifts", given, 1)):
        if names := _absent(scanned, ids):
            more = ", ..." if len(names) > told else ""
            lines.append(
                f"ingest.{key}: {len(names)} of its {len(ids)} ids are in no file: "
                f"{', '.join(names[:told])}{more}"
            )
    return lines


def with_redshifts(spectra: Spectra, zred: np.ndarray, distance: np.ndarray) -> Spectra:
    """The same spectra at given redshifts, of which the survey's own warnings say nothing.

    Wavelengths at rest are not shifted again: such rows have no redshift then, and a reason.

    Arguments:
        spectra: as a reader found them.
        zred, distance: NaN where the spectra keep their own, shapes (rows,).
    """
    given = np.isfinite(zred)
    if isinstance(spectra.wave, list):  # of what was not read there stays no more than the reason
        given &= np.array([wave is not None for wave in spectra.wave])
    if not given.any():
        return spectra
    twice = given & np.asarray(spectra.at_rest) & (zred != 0)
    return replace(
        spectra,
        zred=np.where(given, np.where(twice, np.nan, zred), spectra.zred),
        distance=np.where(given & np.isfinite(distance), distance, spectra.distance),
        zwarn=np.asarray(spectra.zwarn) & ~given,
        reason=np.where(
            given, np.where(twice, AT_REST, ""), np.asarray(spectra.reason, dtype=object)
        ),
    )


def _absent(scanned: Sequence[ScannedFile], ids: Sequence[str]) -> list[str]:
    """Those ids that no file has, in their order."""
    there = {name for each in scanned for _, name in each.named}
    return [name for name in ids if name not in there]


def _runs(source: Source, numbers: Sequence[int]) -> list[Source]:
    """Consecutive rows of a file, each run for itself."""
    if not len(numbers):
        return []
    ends = np.flatnonzero(np.diff(numbers) > 1) + 1
    return [replace(source, rows=len(run), first=int(run[0])) for run in np.split(numbers, ends)]
