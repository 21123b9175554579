"""Zarr stores: written shard by shard, each shard marked done with a checksum of its bytes.

A store is one Zarr v3 group that `xarray.open_zarr` opens. Its attributes hold the settings that
made it, with those of everything upstream. The unit of writing is a whole shard of rows, owned by
one task: two tasks in one shard would lose rows silently. A shard counts as done when its mark is
there and the files under it have the mark's checksums; anything else is missing. The unit of work
is a batch of rows, what a stage calls its shard; stores of very many rows have several in a shard.

What is equal to what, bit for bit. Two stores of the same settings (configuration, everything
upstream, shard and the digest of the code, see `provenance`), written by the same libraries on one
type of processor (see `machine`), have the same files: whatever the cluster, its workers and parts,
the order in which shards were made, kills and resumes. A Parquet file follows from its stores. Not
equal to the bit: the same rows in shards or batches of another length (sums of matrix products),
flows trained with another number of threads, products of other processors or libraries, where the
last bits of a number differ and a chain, which amplifies them, wholly. Times (rates, costs, locks)
are outside of all this.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import zarr

from hpcsbi.errors import BadInput
from hpcsbi.store.files import RATES, Damaged, append_line, look_again, sweep, write_atomically
from hpcsbi.store.layout import MARKS, checksum, coordinate_checksum
from hpcsbi.store.locks import Lock, locked
from hpcsbi.store.settings import Settings

__all__ = ["Store"]

STATES, MISSING = ("done", "failed"), "missing"  # as the names of marks end; done before failed
# What a zarr.json that is not there, cut short, changed or not Zarr's makes zarr raise. Any other
# OSError (no permission, a server that does not answer) says nothing of the store.
FOREIGN = (
    FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError,
    AttributeError,
)  # fmt: skip
READERS = 4  # threads that verify checksums: hashing and reading leave the interpreter free


@dataclass(frozen=True)
class Store:
    """A handle on a store: cheap to make, safe to send to a worker."""

    path: Path

    @cached_property
    def group(self) -> zarr.Group:
        """The Zarr group."""
        return self._opened[0]

    @property
    def arrays(self) -> dict[str, zarr.Array]:
        """The Zarr arrays: to ask the group for one crosses to another thread and back."""
        return self._opened[1]

    @property
    def attributes(self) -> dict:
        """All attributes of the store."""
        return dict(self.group.attrs)

    @property
    def settings(self) -> Settings:
        """The settings that made the store."""
        return Settings(self.path, self.group.attrs["settings"])

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.group.attrs["rows"]

    @property
    def shard(self) -> int:
        """Rows in a shard; the last shard may be shorter."""
        return self.group.attrs["shard"]

    @property
    def batch(self) -> int:
        """Rows that are made at a time; a shard holds one batch or more."""
        return self.group.attrs.get("batch", self.shard)

    @cached_property
    def sharded(self) -> tuple[str, ...]:
        """Names of the arrays that are written shard by shard."""
        return tuple(self.group.attrs["sharded"])

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(-(-self.rows // self.shard))

    def rows_of(self, shard: int) -> slice:
        """Rows of a shard."""
        return slice(shard * self.shard, min((shard + 1) * self.shard, self.rows))

    def shards_of(self, rows: slice | np.ndarray) -> list[int]:
        """Numbers of the shards that hold some rows."""
        if isinstance(rows, slice):
            return list(range(rows.start // self.shard, -(-rows.stop // self.shard)))
        return np.unique(np.asarray(rows, dtype=int) // self.shard).tolist()

    def batches_of(self, shard: int) -> list[slice]:
        """Rows of each batch of a shard."""
        rows = self.rows_of(shard)
        starts = range(rows.start, rows.stop, self.batch)
        return [slice(start, min(start + self.batch, rows.stop)) for start in starts]

    def read(self, name: str, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Rows of one array."""
        array = self.arrays[name]
        if isinstance(rows, slice):
            return np.asarray(array[rows])
        return np.asarray(array.oindex[rows])

    def write(self, shard: int, **arrays: np.ndarray) -> None:
        """Write all sharded arrays of one shard, then its mark.

        Raises:
            ValueError: an array is missing, unknown, or does not cover the shard.
        """
        rows = self.rows_of(shard)
        if set(arrays) != set(self.sharded):
            raise BadInput(
                f"{self.path}: a shard holds {', '.join(self.sharded)}, not {', '.join(arrays)}."
            )
        for name, values in arrays.items():
            expected = (rows.stop - rows.start, *self.arrays[name].shape[1:])
            if np.shape(values) != expected:
                raise BadInput(
                    f"{self.path}: {name} of shape {np.shape(values)} does not cover shard {shard} "
                    f"of shape {expected}; a task writes whole shards."
                )
        # A shard that is made again has no mark while it is, and no damaged file for Zarr to read.
        for path in (self._mark(shard), *self._files(shard).values()):
            path.unlink(missing_ok=True)
        for name, values in arrays.items():
            self.arrays[name][rows] = values
        self.unmark_failed(shard)
        write_atomically(self._mark(shard), self._checksums(shard))

    def state(self, shard: int, verify: bool = False) -> str:
        """ "done", "failed", "missing", or with `verify` "damaged"."""
        return self.states([shard], verify)[shard]

    def states(
        self,
        shards: Iterable[int] | None = None,
        verify: bool = False,
        names: Collection[str] = (),
    ) -> dict[int, str]:
        """State of some shards or of all; without `verify` only the marks are looked at.

        With `names`, `verify` compares the files of these arrays alone.

        The folder of marks is listed: a network file system remembers for a minute that a name
        which was asked for was not there.
        """
        shards = list(self.shards if shards is None else shards)
        marks = set(os.listdir(self.path / MARKS))
        states = {
            shard: next((kind for kind in STATES if _mark(shard, kind) in marks), MISSING)
            for shard in shards
        }
        if verify:
            with ThreadPoolExecutor(READERS) as threads:
                done = [shard for shard, state in states.items() if state == "done"]
                verified = threads.map(partial(self._verified, names=names), done)
                states |= dict(zip(done, verified, strict=True))
        return states

    def look_again(self) -> None:
        """Have a network file system forget what it remembers of the marks."""
        look_again(self.path / MARKS)

    def _verified(self, shard: int, names: Collection[str]) -> str:
        try:
            known = self._mark(shard).read_bytes()
        except FileNotFoundError:  # just now
            return MISSING
        if not names:
            return "done" if known == self._checksums(shard) else "damaged"
        files = {name: path for name, path in self._files(shard).items() if name in names}
        try:
            sums = json.loads(known)
        except ValueError:
            return "damaged"
        same = all(sums.get(name) == checksum(path) for name, path in files.items())
        return "done" if same else "damaged"

    def mark_failed(self, shard: int, reason: str) -> None:
        """Note why a shard could not be made; it is tried again by the next run."""
        write_atomically(self._mark(shard, "failed"), reason.encode())

    def unmark_failed(self, shard: int) -> None:
        """Forget an earlier failure."""
        self._mark(shard, "failed").unlink(missing_ok=True)

    def forget(self, shard: int) -> None:
        """Have a shard made again by the next run."""
        self._mark(shard).unlink(missing_ok=True)

    def failure(self, shard: int) -> str:
        """The reason that `mark_failed` noted."""
        return self._mark(shard, "failed").read_text()

    def damaged_coordinates(self) -> list[str]:
        """Arrays outside the shards whose file has not the checksum that it was made with."""
        known = self.attributes.get("checksums", {})
        return [
            name for name, sum_ in known.items() if coordinate_checksum(self.path / name) != sum_
        ]

    def digest(self) -> str:
        """Checksum of the marks of all shards that are done: another one for other bytes."""
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(os.listdir(self.path / MARKS)):
            if name.endswith(".done"):
                digest.update(name.encode() + (self.path / MARKS / name).read_bytes())
        return digest.hexdigest()

    def locked(
        self, part: tuple[int, int] | None = None, patience: float = 0.0
    ) -> AbstractContextManager[Lock]:
        """Hold the store, or one part of its shards, against other drivers."""
        return locked(self.path, part, patience)

    def sweep(self) -> None:
        """Remove what killed writers left under temporary names; only for whoever holds all."""
        for half in self.path.rglob("*.partial"):
            half.unlink(missing_ok=True)
        sweep(self.path.parent, f"{self.path.stem}.")  # of what lies beside it under its name

    def note_cost(
        self, stage: str, rows: int, shards: int, worker_seconds: float, wall_seconds: float
    ) -> None:
        """Add a line to the rates beside the store: what `plan` reckons with."""
        line = {
            "stage": stage,
            "rows": rows,
            "shards": shards,
            "worker_seconds": round(worker_seconds, 3),
            "wall_seconds": round(wall_seconds, 3),
        }
        append_line(self.path.parent / RATES, line)

    @cached_property
    def _opened(self) -> tuple[zarr.Group, dict[str, zarr.Array]]:
        try:
            return _opened(self.path, os.access(self.path, os.W_OK), _stamp(self.path))
        except FOREIGN as error:
            told = isinstance(error, OSError | ValueError)
            words = " ".join(str(error).split()) if told else "zarr.json is none of Zarr's"
            raise Damaged(
                f"{self.path} is not a Zarr store ({words}): remove it and run again."
            ) from error

    def _mark(self, shard: int, suffix: str = "done") -> Path:
        return self.path / MARKS / _mark(shard, suffix)

    def _files(self, shard: int) -> dict[str, Path]:
        """File of each sharded array; a shard that holds only fill values has none."""
        metadata = {name: self.arrays[name].metadata for name in self.sharded}
        return {
            name: self.path / name / known.encode_chunk_key((shard, *[0] * (len(known.shape) - 1)))
            for name, known in metadata.items()
        }

    def _checksums(self, shard: int) -> bytes:
        """Content of the mark of a shard whose files are as they are now."""
        checksums = {name: checksum(path) for name, path in self._files(shard).items()}
        return json.dumps(checksums, sort_keys=True).encode()


@lru_cache(maxsize=32)
def _opened(
    path: Path, writable: bool, stamp: tuple[int, ...]
) -> tuple[zarr.Group, dict[str, zarr.Array]]:
    """A group as its file was, and its arrays: settings can be long, a worker opens often."""
    group = zarr.open_group(path, mode="r+" if writable else "r")
    return group, dict(group.arrays())


def _mark(shard: int, suffix: str) -> str:
    return f"{shard:06d}.{suffix}"


def _stamp(path: Path) -> tuple[int, ...]:
    status = (path / "zarr.json").stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
