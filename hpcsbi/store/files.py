"""Files that are there whole or not at all, and hold numbers and text only."""

import errno
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from hpcsbi.errors import BadInput

__all__ = [
    "ABANDONED",
    "RATES",
    "Damaged",
    "append_line",
    "load_header",
    "load_weights",
    "look_again",
    "read_notes",
    "read_object",
    "read_parquet_header",
    "replacement",
    "save_weights",
    "sweep",
    "there",
    "write_atomically",
    "write_parquet",
]


BLOCK = 65536  # rows of a Parquet file that are in memory together
ABANDONED = 600.0  # seconds: nothing takes so long to be written
PANDAS = "PANDAS_ATTRS"  # where pandas looks for the attributes of a frame
RATES = "rates.jsonl"  # beside stores: what their shards took


class Rows(Protocol):
    """A column: an array, or what reads rows when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> np.ndarray: ...


class Damaged(BadInput):
    """Something is in the place of a product that is not one of ours, or not whole."""


def save_weights(path: str | Path, tensors: Mapping[str, np.ndarray], settings: Mapping) -> None:
    """Write weights and settings as one safetensors file, atomically (numbers only, no pickle)."""
    # Unsorted, for the order of columns counts; one key, for safetensors shuffles several.
    header = json.dumps({**settings, "checksum": _checksum(tensors, settings)})
    write_atomically(Path(path), save_tensors(dict(tensors), metadata={"settings": header}))


def load_weights(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `save_weights` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: the file is cut short, changed since it was written, or not ours.
    """
    raw = Path(path).read_bytes()
    try:
        settings = _header_of(raw)
        tensors = load_tensors(raw)
        if settings.pop("checksum") != _checksum(tensors, settings):
            raise BadInput("its checksum differs")
        return tensors, settings
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged ({error}): remove it and run again.") from error


def load_header(path: Path) -> dict | None:
    """Settings of a file of weights, which are not read or checked; None if it has none."""
    try:
        with path.open("rb") as file:
            first = file.read(8)
            length = min(int.from_bytes(first, "little"), path.stat().st_size)
            return _header_of(first + file.read(length))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _header_of(raw: bytes) -> dict:
    """Settings at the beginning of a file of weights."""
    length = int.from_bytes(raw[:8], "little")
    settings = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["settings"])
    if not isinstance(settings, dict):
        raise BadInput("its header holds no settings")
    return settings


def _checksum(tensors: Mapping[str, np.ndarray], settings: Mapping) -> str:
    """BLAKE2 of settings, names, shapes and values."""
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def read_object(path: Path) -> dict:
    """The JSON object that a file holds.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: it holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return content
        words = f"it holds {type(content).__name__}, not keys and values"
    except ValueError as error:
        words = str(error)
    raise Damaged(f"{path} is damaged ({words}): remove it and run the job that makes it again.")


def read_notes(path: Path, keys: Sequence[str] = ()) -> tuple[list[dict], int]:
    """Notes of a file with one JSON object a line, and of jobs beside it; there may be none.

    Arguments:
        path: the file.
        keys: what a note must have.

    Returns:
        The notes, and the number of lines that are none: a killed run or a full disk cut them.
    """
    notes, broken = [], 0
    for file in (path, *sorted(path.with_suffix(".d").glob(f"*{path.suffix}"))):
        for line in file.read_text(errors="replace").splitlines() if file.exists() else ():
            try:
                note = json.loads(line)
            except ValueError:
                note = None
            if isinstance(note, dict) and note.keys() >= set(keys):
                notes.append(note)
            else:
                broken += 1
    return notes, broken


def write_parquet(path: str | Path, columns: Mapping[str, Rows], header: Mapping[str, str]) -> None:
    """Write columns as one Parquet file, atomically and a block of rows at a time.

    Arguments:
        path: the file.
        columns: arrays, or what gives some of its rows as an array when they are asked for.
        header: becomes key-value metadata, and the `attrs` of a frame that pandas reads.
    """
    import pyarrow
    import pyarrow.parquet

    def block(start: int, stop: int) -> pyarrow.Table:
        rows = {name: column[start:stop] for name, column in columns.items()}
        text = {
            name: pyarrow.string() if _is_text(values) else None for name, values in rows.items()
        }
        return pyarrow.table(
            {
                name: pyarrow.array(values.astype(object) if text[name] else values, text[name])
                for name, values in rows.items()
            }
        ).replace_schema_metadata(dict(header))

    header = {**header, PANDAS: json.dumps(dict(header))}
    n = len(next(iter(columns.values())))
    with replacement(Path(path)) as half:
        schema = block(0, min(n, 1)).schema
        with pyarrow.parquet.ParquetWriter(half, schema, compression="zstd") as writer:
            for start in range(0, n, BLOCK):
                writer.write_table(block(start, min(start + BLOCK, n)))
    sweep(Path(path).parent, f"{Path(path).name}.")


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind in "UTO"


def read_parquet_header(path: Path) -> dict[str, str]:
    """Key-value metadata of a Parquet file, nothing where there is none or it is damaged."""
    import pyarrow.parquet

    if not path.exists():
        return {}
    with path.open("rb") as file:  # what the system says of it is told; OSErrors below are arrow's
        try:
            metadata = pyarrow.parquet.read_schema(file).metadata or {}
        except (pyarrow.ArrowInvalid, OSError):
            return {}
    return {key.decode(errors="replace"): v.decode(errors="replace") for key, v in metadata.items()}


def append_line(path: Path, note: Mapping) -> None:
    """Add a note to a file with one JSON object a line, in one piece.

    Writers on several machines would write over each other's lines on a network file system, so a
    job has a file of its own, in a folder beside; `read_notes` reads them all.
    """
    if job := os.environ.get("SLURM_JOB_ID"):
        path = path.with_suffix(".d") / f"{job}-{socket.gethostname()}{path.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(note).encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(handle, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, on disk before it has its name."""
    with replacement(path) as half, half.open("wb") as file:
        file.write(content)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A name to write a file under, which takes its own when the block has ended well.

    The name is no other writer's, on any node: numbers of processes are not unique among them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    with ExitStack() as undo:
        undo.callback(half.unlink, missing_ok=True)  # after a kill `sweep` does it
        yield half
        with half.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(half, path)
        undo.pop_all()


def look_again(folder: Path) -> None:
    """Have a network file system forget what it remembers of a folder, where that may be changed.

    A client of NFS remembers up to a minute what a folder held, unless it changes it itself.
    """
    with suppress(OSError), NamedTemporaryFile(dir=folder, suffix=".partial"):
        pass


def there(path: Path) -> bool:
    """True if something is there, also if another machine has just put it there."""
    if not path.exists():
        look_again(path.parent)
    return path.exists()


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed writers left of a file, or of all files of a folder, long ago.

    Ages are those of the file system, whose clock need not be this machine's.
    """
    halves = [half for half in folder.glob(f"{escape(name)}*.partial") if half.is_file()]
    if not halves:
        return
    with NamedTemporaryFile(dir=folder, suffix=".partial") as file:
        now = os.fstat(file.fileno()).st_mtime
    for half in halves:
        with suppress(FileNotFoundError):  # its writer, or another sweeper
            if now - half.stat().st_mtime > ABANDONED:
                half.unlink()
