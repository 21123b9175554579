"""Maps of a galaxy from the catalogue of its cube: every number that its rows have, as an image."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pyarrow.types as types

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.cube_maps import write_maps

__all__ = ["write_cube_maps"]

PLACES = ("ra", "dec", "file_row")  # say where a row stands, and are no map


def write_cube_maps(path: str | Path, catalogue: str | Path, cube: str | Path) -> None:
    """Write the numbers of a cube's rows as images with the cube's coordinates on the sky.

    Arguments:
        path: the FITS file to write: an image for each column of numbers, NaN where a spaxel has
            no row; the spaxels of a bin have one number.
        catalogue: catalogue.parquet.
        cube: the LOGCUBE that `ingest` read, under the name that it had.

    Raises:
        FileNotFoundError: one of the two is not there.
        BadInput: no rows of that file, a catalogue of an older version, or another cube.
    """
    names = parquet.read_schema(catalogue).names
    if not {"file", "file_row"} <= {*names}:
        raise BadInput(
            f"{catalogue} does not say which rows are of which file, an older version made it: "
            "run jobs/ingest.py and jobs/infer.py under another name."
        )
    rows = parquet.read_table(catalogue, filters=[("file", "=", Path(cube).name)])
    if not len(rows):
        raise BadInput(f"{catalogue} has no rows of the file {Path(cube).name}.")
    numbers = [
        field.name
        for field in rows.schema
        if field.name not in PLACES
        and (types.is_floating(field.type) or types.is_integer(field.type))
    ]
    columns = {name: np.asarray(rows[name].to_numpy(), dtype=float) for name in numbers}
    write_maps(path, cube, rows["file_row"].to_numpy(), columns)
