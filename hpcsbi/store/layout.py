"""How arrays lie in a store: chunks inside shards, what empty rows hold, checksums of files."""

import hashlib
import math
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

__all__ = ["MARKS", "Array", "checksum", "coordinate_checksum", "lay_out", "shard_rows"]

MARKS = ".marks"
CHUNK = 4096
# Shards of a store at most, and bytes of one at most: where both cannot be, it is the bytes.
SHARDS, LARGEST = 1024, 2**27
TEXT = 32  # bytes of a name, about


@dataclass(frozen=True)
class Array:
    """One array of a store: its first dimension is cut into shards unless `values` are given.

    Arguments:
        dims: name and length of each dimension, in order, e.g. {"row": 1000, "pixel": 138}.
        dtype: numpy dtype, or "string".
        attributes: units and a description, for whoever opens the store.
        values: contents, written once when the store is made (coordinates such as wave).
    """

    dims: Mapping[str, int]
    dtype: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    values: np.ndarray | None = None


def shard_rows(arrays: Mapping[str, Array], rows: int, batch: int) -> int:
    """Rows in a shard: a batch, or 2, 4, 8 ... of them where there are many rows.

    So the number of files does not grow with a survey, and stores of few rows have a shard for each
    batch, for as many workers.

    Arguments:
        arrays: name -> Array.
        rows: of the store.
        batch: rows that are made at a time.

    Example:
        >>> about = {"x": Array({"row": 10**7}, "float32")}
        >>> shard_rows(about, 10**6, 1024), shard_rows(about, 10**7, 1024)
        (1024, 16384)
    """
    size = sum(
        math.prod(tuple(array.dims.values())[1:])
        * (TEXT if array.dtype == "string" else np.dtype(array.dtype).itemsize)
        for array in arrays.values()
        if array.values is None
    )
    shard = batch
    while rows > SHARDS * shard and 2 * shard * size <= LARGEST:
        shard *= 2
    return shard


def lay_out(path: Path, arrays: Mapping[str, Array], attributes: dict, shard: int) -> None:
    """Make a group with its arrays, empty but for those with values; what was there is removed."""
    shutil.rmtree(path, ignore_errors=True)
    group = zarr.create_group(path, attributes={**attributes, **_coordinates(arrays)})
    for name, array in arrays.items():
        shape = tuple(array.dims.values())
        sharded = array.values is None
        chunk = _chunk_rows(shard) if sharded else max(shape[0], 1)
        made = group.create_array(
            name,
            shape=shape,
            dtype=array.dtype,
            chunks=(chunk, *shape[1:]),
            shards=(shard, *shape[1:]) if sharded else None,
            compressors=zarr.codecs.ZstdCodec(level=5),
            # c.5.0.0 and not c/5/0/0: one inode for each shard, however many dimensions.
            chunk_key_encoding={"name": "default", "separator": "."},
            fill_value=_nothing(array.dtype),
            dimension_names=tuple(array.dims),
            attributes=dict(array.attributes),
            config={"write_empty_chunks": True},
        )
        if array.values is not None:
            made[...] = array.values
    # No mark covers these: Zarr reads a lost file as NaN and some flipped bits as other numbers.
    group.attrs["checksums"] = {
        name: coordinate_checksum(path / name)
        for name, array in arrays.items()
        if array.values is not None
    }
    with warnings.catch_warnings():  # consolidated metadata is an extension of format 3
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    (path / MARKS).mkdir()


def _chunk_rows(shard: int) -> int:
    """Rows of the chunks inside a shard, which a reader of a few rows has to unpack."""
    common = math.gcd(shard, CHUNK)
    if common >= 256:
        return common
    while shard > CHUNK and shard % 2 == 0:
        shard //= 2
    return shard


def _coordinates(arrays: Mapping[str, Array]) -> dict[str, str]:
    """As CF says it, for xarray: what names rows and pixels, beside the dimensions' own names."""
    known = [array.values is not None or name == "id" for name, array in arrays.items()]
    names = [name for name, is_coordinate in zip(arrays, known, strict=True) if is_coordinate]
    return {"coordinates": " ".join(sorted(names))} if names else {}


def _nothing(dtype: str) -> Any:
    """What a row holds that was never written: no number, not zero."""
    if dtype == "string":
        return ""
    return np.nan if np.dtype(dtype).kind == "f" else None


def checksum(path: Path) -> str:
    """BLAKE2 of a file's bytes; "" where there is no file, or a folder in its place."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""


def coordinate_checksum(path: Path) -> str:
    """Checksum of the only chunk of an array, "" where it is not there."""
    files = [
        file
        for file in path.rglob("*")
        if file.is_file() and file.name != "zarr.json" and file.suffix != ".partial"
    ]
    return checksum(files[0]) if len(files) == 1 else ""
