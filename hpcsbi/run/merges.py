"""Which chains belong into a catalogue, and whether its Parquet file holds what its stores hold.

fits.zarr notes the catalogue that it is for, and the Parquet file what it was made of: the marks of
the catalogue and of every store of chains. So whichever stage comes last, the file is that of the
stores that are there.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from hpcsbi.store.files import Damaged, read_parquet_header
from hpcsbi.store.opening import open_store
from hpcsbi.store.store import Store

__all__ = [
    "CATALOGUE",
    "MADE_OF",
    "catalogue_of",
    "chains_of",
    "is_behind",
    "source_marks",
    "table_of",
]

CATALOGUE = "catalogue"  # attribute of fits.zarr: path from the folder that it is in
MADE_OF = "made_of"  # key in the header of the Parquet file


def table_of(catalogue: Path) -> Path:
    """The Parquet file of a catalogue."""
    return catalogue.with_suffix(".parquet")


def catalogue_of(fits: Store) -> Path | None:
    """The catalogue that chains go into."""
    name = fits.attributes.get(CATALOGUE)
    return None if name is None else Path(os.path.normpath(fits.path.absolute().parent / name))


def chains_of(catalogue: Path) -> list[Store]:
    """Stores of chains for a catalogue: those beside it, and those that its table knows."""
    catalogue = Path(os.path.normpath(catalogue.absolute()))
    noted = _sources_of(table_of(catalogue))
    paths = {Path(os.path.normpath(catalogue.parent / name)) for name in noted}
    paths |= {*catalogue.parent.glob("*.zarr")}
    return [
        fits
        for path in sorted(paths)
        for fits in _stores_at(path)
        if catalogue_of(fits) == catalogue
    ]


def _sources_of(table: Path) -> list[str]:
    """Stores that a Parquet file was made of; none where it is not there, damaged, or not ours."""
    try:
        noted = json.loads(read_parquet_header(table).get(MADE_OF, "{}"))
    except ValueError:
        return []
    return list(noted) if isinstance(noted, dict) else []


def _stores_at(path: Path) -> Iterator[Store]:
    """The store of a path, if there is one of ours."""
    try:
        yield open_store(path, check=False)
    except (FileNotFoundError, Damaged):
        return


def source_marks(catalogue: Store, chains: list[Store]) -> str:
    """What the header of the Parquet file says of its sources."""
    folder = catalogue.path.absolute().parent
    marks = {os.path.relpath(store.path, folder): store.digest() for store in (catalogue, *chains)}
    return json.dumps(marks, sort_keys=True)


def is_behind(catalogue: Path) -> bool:
    """True if a catalogue's Parquet file is not there, or lacks something that its stores hold."""
    marks = source_marks(open_store(catalogue, check=False), chains_of(catalogue))
    return read_parquet_header(table_of(catalogue)).get(MADE_OF) != marks
