"""The catalogue as HATS: Parquet partitioned on the sky, by the library of that format.

References:
    HATS, IVOA Note (ivoa.net/documents/Notes/HATS); hats-import (github.com/astronomy-commons).
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from hpcsbi.errors import BadInput

__all__ = ["refuse_without_library", "write_hats"]

PER_PIXEL = 100_000  # rows of a partition, at most: what a laptop holds several of
DATED = re.compile(r"^hats_creation_date=.*\n", re.MULTILINE)  # the same catalogue, the same bytes


def refuse_without_library() -> None:
    """Raise unless the library is there.

    Raises:
        BadInput: it is not.
    """
    if find_spec("hats_import") is None:
        raise BadInput(
            "release.formats has hats, and its library is not installed: pip install "
            "'hpcsbi[release]', or leave hats out."
        )


def write_hats(folder: Path, table: Path, rows: int, scratch: Path) -> None:
    """Partition a table on the sky.

    Arguments:
        folder: to write; what a killed writer left of it is removed.
        table: Parquet file with columns key, ra and dec, all of them numbers, and the header and
            fields that the partitions take over.
        rows: that it has.
        scratch: folder for what is needed on the way; emptied.
    """
    from hats_import.catalog.arguments import ImportArguments
    from hats_import.pipeline import pipeline_with_client

    from hpcsbi.cluster.dask_local import Local

    for leftover in (folder, scratch):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch.mkdir(parents=True)
    half = scratch / "out" / folder.name
    arguments = ImportArguments(
        output_path=str(half.parent), output_artifact_name=half.name,
        input_file_list=[str(table)], file_reader="parquet", use_schema_file=str(table),
        ra_column="ra", dec_column="dec", sort_columns="key", pixel_threshold=PER_PIXEL,
        expected_total_rows=rows, progress_bar=False, resume=False, tmp_dir=str(scratch / "tmp"),
    )  # fmt: skip
    # Its own client fails where Dask is told to encrypt, as it is in every process of a run.
    with Local(1, str(scratch / "dask")).client() as client:
        pipeline_with_client(arguments, client)
    for name in ("properties", "hats.properties"):
        text = (half / name).read_text()
        (half / name).write_text(DATED.sub("", text))
    folder.parent.mkdir(parents=True, exist_ok=True)
    half.rename(folder)
    shutil.rmtree(scratch)
