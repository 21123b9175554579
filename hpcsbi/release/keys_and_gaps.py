"""What a catalogue has to be before it is released: keys unique, and no gap that is not told."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.catalogue_descriptions import DescribedColumn
from hpcsbi.release.released_table import ascii_text

__all__ = ["Checked", "check_rows"]

KEY = "key"
Blocks = Callable[[], Iterable[pyarrow.RecordBatch]]


@dataclass
class Checked:
    """What a look at all rows tells.

    Arguments:
        widths: of each column of text its longest value, characters of ASCII.
        rows, inferred, placed: numbers of rows, of those with draws, of those with a position.
    """

    widths: dict[str, int]
    rows: int = 0
    inferred: int = 0
    placed: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """The numbers, by what they are of."""
        return {
            "spectra": self.rows,
            "with a posterior": self.inferred,
            "with a position": self.placed,
        }


def check_rows(where: str, columns: Sequence[DescribedColumn], blocks: Blocks) -> Checked:
    """Look at every row of a catalogue once.

    Keys are compared by their digests, 8 bytes a row; two that agree are compared as they are.

    Arguments:
        where: name of the catalogue, for the words.
        columns: that it has; key, n_draws, ra and dec among them.
        blocks: gives its rows, some at a time, each time it is called.

    Raises:
        BadInput: a key twice or empty, or a number that is not finite where none may lack.
    """
    seen, checked = [], Checked({each.name: 1 for each in columns if each.kind == "string"})
    for block in blocks():
        keys = block.column(KEY)
        seen.append(_digests(keys))
        _refuse_gaps(where, columns, block)
        for name in checked.widths:
            width = ascii_text(block.column(name)).dtype.itemsize
            checked.widths[name] = max(checked.widths[name], width)
        place = [np.isfinite(_numbers(block, name)) for name in ("ra", "dec")]
        checked.inferred += int((_numbers(block, "n_draws") > 0).sum())
        checked.placed += int(np.all(place, axis=0).sum())
        checked.rows += block.num_rows
    _refuse_repeats(where, np.concatenate(seen or [np.empty(0, np.uint64)]), blocks)
    return checked


def _numbers(block: pyarrow.RecordBatch, name: str) -> np.ndarray:
    return block.column(name).to_numpy(zero_copy_only=False)


def _digests(keys: pyarrow.Array) -> np.ndarray:
    """A number for each key, the same everywhere; others may share it."""
    digests = [blake2b(key.encode(), digest_size=8).digest() for key in keys.to_pylist()]
    return np.frombuffer(b"".join(digests), np.uint64)


def _refuse_repeats(where: str, digests: np.ndarray, blocks: Blocks) -> None:
    ordered = np.sort(digests)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(again):
        return
    first: dict[str, int] = {}
    row = 0
    for block in blocks():
        keys = block.column(KEY)
        for i in np.flatnonzero(np.isin(_digests(keys), again)):
            key = keys[int(i)].as_py()
            if key in first:
                raise BadInput(
                    f"{where}: rows {first[key]} and {row + int(i)} have the same key {key!r}: a "
                    "release names every spectrum once; read each file once, or give the spectra "
                    "keys of their own (column KEY), and run jobs/ingest.py and jobs/infer.py."
                )
            first[key] = row + int(i)
        row += block.num_rows


def _refuse_gaps(
    where: str, columns: Sequence[DescribedColumn], block: pyarrow.RecordBatch
) -> None:
    """Raise at the first number that lacks where its column says that none does."""
    keys, drawn = block.column(KEY).to_pylist(), _numbers(block, "n_draws") > 0
    if "" in keys:
        raise BadInput(f"{where}: a spectrum of {_file_of(block, keys.index(''))} has no key.")
    for each in (each for each in columns if each.kind.startswith("float")):
        values = _numbers(block, each.name)
        bad = np.isinf(values) & (not each.infinite)
        if not each.gap or each.gap_without_draws:
            bad |= np.isnan(values) & (drawn if each.gap else True)
        if bad.any():
            first = keys[int(np.flatnonzero(bad)[0])]
            raise BadInput(
                f"{where}: {each.name} is no number for key {first!r} (and {int(bad.sum()) - 1} "
                f"more of {len(bad)} rows), which its description does not allow: run "
                "jobs/infer.py again, and report it if it stays so."
            )


def _file_of(block: pyarrow.RecordBatch, row: int) -> str:
    return block.column("file")[row].as_py() or "a file without a name"
