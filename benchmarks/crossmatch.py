"""What a comparison of two catalogues costs: rows, seconds, peak memory.

    python benchmarks/crossmatch.py runs/demo/catalogue.zarr [--rows 10000 100000] [--by key]

The rows of a catalogue are repeated with keys and places of their own; the other one holds the same
rows in another order, block by block. The memory is that of a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from release import memory
from repeated_catalogue import repeat

from hpcsbi.stages.crossmatch import crossmatch


def shuffle(path: Path, out: Path) -> None:
    """Write the rows of each row group in another order."""
    rng = np.random.default_rng(0)
    with (
        pyarrow.parquet.ParquetFile(path) as file,
        pyarrow.parquet.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer,
    ):
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group)
            writer.write_table(table.take(pyarrow.array(rng.permutation(table.num_rows))))


def one(catalogue: Path, by: str) -> dict:
    """Compare in this process."""
    before, start = memory(), time.process_time()
    other = str(catalogue.with_name("other.parquet"))
    crossmatch(str(catalogue.with_name("x.html")), str(catalogue), other, by, 1.0, {}, {})
    return {"cpu": time.process_time() - start, "before": before, "peak": memory()}


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--by", default="key", choices=["key", "id", "position"])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.catalogue, options.by)))
        return
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "catalogue.zarr"
            repeat(options.catalogue, path, rows)
            shuffle(path.with_suffix(".parquet"), path.with_name("other.parquet"))
            command = [sys.executable, __file__, str(path), "--one", "--by", options.by]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            cost = json.loads(told.splitlines()[-1])
            print(
                f"{rows} rows by {options.by}: {cost['cpu']:.0f} CPU s, peak {cost['peak']:.0f} MB "
                f"({cost['before']:.0f} at its start)",
                flush=True,
            )


if __name__ == "__main__":
    main()
