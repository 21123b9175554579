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
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from hpcsbi.cluster.slurm import own_job
from hpcsbi.errors import BadInput
from hpcsbi.store.files import (
    ABANDONED,
    RATES,
    Damaged,
    append_line,
    look_again,
    sweep,
    there,
    write_atomically,
)
from hpcsbi.store.layout import (
    MARKS,
    Array,
    checksum,
    coordinate_checksum,
    lay_out,
    shard_rows,
)
from hpcsbi.store.locks import Lock, locked
from hpcsbi.store.settings import refuse_other_settings

__all__ = [
    "PATIENCE",
    "Array",
    "Damaged",
    "Incomplete",
    "Store",
    "create",
    "open_complete",
    "open_store",
    "refuse_damage",
    "settled",
]

STATES, MISSING = ("done", "failed"), "missing"  # as the names of marks end; done before failed
# Seconds until a mark must be seen that another machine has set; see `files.look_again`.
PATIENCE = 45.0
READERS = 4  # threads that verify checksums: hashing and reading leave the interpreter free

MEND = "Choose another name=... or run=..., remove the store, or ask for the old settings."


class Incomplete(BadInput):
    """A store lacks shards that a later stage needs."""


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
    def settings(self) -> dict:
        """The settings that made the store."""
        return self.group.attrs["settings"]

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
        found = hashlib.blake2b(digest_size=16)
        for name in sorted(os.listdir(self.path / MARKS)):
            if name.endswith(".done"):
                found.update(name.encode() + (self.path / MARKS / name).read_bytes())
        return found.hexdigest()

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
        return _opened(self.path, os.access(self.path, os.W_OK), _stamp(self.path))

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
        found = {name: checksum(path) for name, path in self._files(shard).items()}
        return json.dumps(found, sort_keys=True).encode()


def create(
    path: str | Path,
    arrays: Mapping[str, Array],
    settings: Mapping[str, Any],
    shard: int,
    attributes: Mapping[str, Any] | None = None,
) -> Store:
    """Make a store, or open the one that the same settings made before.

    Arguments:
        path: folder of the store.
        arrays: name -> Array; those without values share their first dimension, the rows.
        settings: plain numbers, names and lists that decide the store's contents.
        shard: rows in a shard at least; see `layout.shard_rows`.
        attributes: further attributes that decide nothing (legends, notices).

    Raises:
        Mismatch: the store exists and was made with other settings.
        Damaged: something else is at `path`.
    """
    path = Path(path)
    settings = json.loads(json.dumps(settings))
    if path.exists():
        store = open_store(path, check=False)
        found = {**store.settings, "shard": store.batch}
        refuse_other_settings(path, found, {**settings, "shard": shard}, MEND)
        _mend_coordinates(store, arrays)
        return open_store(path)
    sharded = {name: array for name, array in arrays.items() if array.values is None}
    rows = {next(iter(array.dims.values())) for array in sharded.values()}
    if len(rows) != 1 or shard < 1:
        raise BadInput(f"{path}: arrays of {sorted(rows)} rows in shards of {shard}.")
    rows = rows.pop()
    own = {"settings": settings, "rows": rows, "shard": shard_rows(arrays, rows, shard)}
    own |= {"batch": shard, "sharded": list(sharded)}
    # Made under another name first: a killed run must not leave half a store. Tasks of an array
    # come here together; the first to be ready wins, and what a dead one left is swept by age.
    for left in path.parent.glob(f"{path.name}.*.partial"):
        with suppress(FileNotFoundError):  # another part removes it too
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
    half = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    lay_out(half, arrays, {**(attributes or {}), **own}, own["shard"])
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(half, path)
    except OSError:
        if not path.exists():
            raise
        shutil.rmtree(half)
        return create(path, arrays, settings, shard, attributes)
    return Store(path)


def open_store(path: str | Path, check: bool = True) -> Store:
    """Open a store as it stands.

    Arguments:
        path: folder of the store.
        check: refuse damaged coordinates.

    Raises:
        FileNotFoundError: there is no store.
        Damaged: it is not a store of this project.
    """
    path = Path(path)
    if not there(path):
        raise FileNotFoundError(f"{path} does not exist: run the stage that makes it first.")
    store = Store(path)
    try:
        known = {"settings", "rows", "shard", "sharded"} <= set(store.attributes)
    except (OSError, ValueError, KeyError) as error:
        raise Damaged(f"{path} is not a Zarr store ({error}): remove it and run again.") from error
    if not known:
        raise Damaged(
            f"{path} is a Zarr store but none of hpcsbi: choose another run=... or name=..."
        )
    if check and (bad := store.damaged_coordinates()):
        raise Damaged(
            f"{path}: array {bad[0]} is damaged: run the stage that makes the store again, or "
            "remove it first if it says the same."
        )
    return store


def open_complete(path: str | Path, stage: str, verify: bool = True) -> Store:
    """Open a store of which every shard is there and undamaged.

    Arguments:
        path: folder of the store.
        stage: the job that makes it, named in the error.
        verify: compare all files with their checksums; who reads some rows trusts the marks, and
            has their files compared by `refuse_damage`.

    Raises:
        Incomplete: shards are missing, failed or damaged.
    """
    store = open_store(path)
    states = store.states()
    if late := [shard for shard, state in states.items() if state == MISSING]:
        settled(store, late, PATIENCE if own_job() else 0.0)  # the stage before may just have ended
        states = store.states()
    _refuse_bad(store, stage, store.states(verify=True) if verify else states)
    return store


def settled(store: Any, made: Iterable[int], patience: float) -> None:
    """Wait until the marks of shards that were made, maybe on another machine, are seen.

    Arguments:
        store: a `Store`, or what has its methods.
        made: numbers of the shards.
        patience: seconds.
    """
    end, pause, made = time.monotonic() + patience, 0.05, list(made)
    while any(state != "done" for state in store.states(made).values()):
        store.look_again()
        if time.monotonic() > end:
            return
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def refuse_damage(
    store: Store, stage: str, rows: slice | np.ndarray, names: Collection[str] = ()
) -> None:
    """Raise unless the files of the shards of some rows have their checksums.

    Arguments:
        store: the store.
        stage: the job that makes it, named in the error.
        rows: rows that are read.
        names: of the arrays that are read; none for all.

    Raises:
        Incomplete: shards of these rows are missing, failed or damaged.
    """
    states = store.states(store.shards_of(rows), verify=True, names=names)
    _refuse_bad(store, stage, states)


def _refuse_bad(store: Store, stage: str, states: Mapping[int, str]) -> None:
    bad = {shard: state for shard, state in states.items() if state != "done"}
    if bad:
        first, state = next(iter(bad.items()))
        rows = store.rows_of(first)
        raise Incomplete(
            f"{store.path}: {len(bad)} of {len(store.shards)} shards are not there, first shard "
            f"{first} (rows {rows.start}-{rows.stop - 1}, {state}): run jobs/{stage}.py again, it "
            "makes only what is missing."
        )


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
    seen = (path / "zarr.json").stat()
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _mend_coordinates(store: Store, arrays: Mapping[str, Array]) -> None:
    """Write damaged coordinates again; the same settings make the same ones."""
    for name in store.damaged_coordinates():
        values = arrays[name].values if name in arrays else None
        if values is not None and values.shape == store.arrays[name].shape:
            print(f"{store.path}: array {name} is damaged and made again.", flush=True)
            store.arrays[name][...] = values
