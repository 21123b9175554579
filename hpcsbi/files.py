"""Files that are there whole or not at all, and hold numbers and text only."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from hpcsbi.errors import BadInput

__all__ = [
    "Damaged",
    "load_weights",
    "read_notes",
    "save_weights",
    "write_atomically",
    "write_parquet",
]


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
        length = int.from_bytes(raw[:8], "little")
        settings = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["settings"])
        tensors = load_tensors(raw)
        if settings.pop("checksum") != _checksum(tensors, settings):
            raise BadInput("its checksum differs")
        return tensors, settings
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged ({error}): remove it and run again.") from error


def _checksum(tensors: Mapping[str, np.ndarray], settings: Mapping) -> str:
    """BLAKE2 of settings, names, shapes and values."""
    found = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        found.update(f"{name} {values.dtype} {values.shape}".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def read_notes(path: Path, keys: Sequence[str] = ()) -> tuple[list[dict], int]:
    """Notes of a file with one JSON object a line, which may be absent.

    Arguments:
        path: the file.
        keys: what a note must have.

    Returns:
        The notes, and the number of lines that are none: a killed run or a full disk cut them.
    """
    if not path.exists():
        return [], 0
    notes, broken = [], 0
    for line in path.read_text(errors="replace").splitlines():
        try:
            note = json.loads(line)
        except ValueError:
            note = None
        if isinstance(note, dict) and note.keys() >= set(keys):
            notes.append(note)
        else:
            broken += 1
    return notes, broken


def write_parquet(
    path: str | Path, columns: Mapping[str, np.ndarray], header: Mapping[str, str]
) -> None:
    """Write columns as one Parquet file, atomically, with `header` as key-value metadata."""
    import pyarrow
    import pyarrow.parquet

    arrays = {
        name: values.astype(object) if values.dtype.kind in "UTO" else values
        for name, values in columns.items()
    }
    table = pyarrow.table(arrays).replace_schema_metadata(dict(header))
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    write_atomically(Path(path), sink.getvalue().to_pybytes())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, on disk before it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)
