"""What a release costs: rows, seconds, peak memory and sizes, for catalogues of any length.

    python benchmarks/release.py runs/demo/catalogue.zarr [--rows 10000 100000] [--draws 0]
        [--formats fits parquet] [--keep FOLDER]

The rows of a catalogue are repeated with keys and places of their own. The release is made in a
process of its own, whose memory since the imports is told, and that of its largest child.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from repeated_catalogue import repeat

from hpcsbi.stages.release import release


def memory() -> float:
    """Peak of this process, MB; ru_maxrss would begin with that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def one(catalogue: Path, formats: list[str], draws: int) -> dict:
    """Make one release in this process."""
    before, start = memory(), time.time()
    release(str(catalogue.with_name("release")), str(catalogue), tuple(formats), draws)
    return {
        "seconds": time.time() - start,
        "imports": before,
        "peak": memory(),
        "child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--draws", type=int, default=0)
    parser.add_argument("--formats", nargs="+", default=["fits", "parquet"])
    parser.add_argument("--keep", type=Path, help="folder for the stores and releases")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.catalogue, options.formats, options.draws)))
        return
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (options.keep or Path(scratch)) / str(rows)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            repeat(options.catalogue, folder / "catalogue.zarr", rows, options.draws)
            command = [sys.executable, __file__, str(folder / "catalogue.zarr"), "--one"]
            command += ["--draws", str(options.draws), "--formats", *options.formats]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            cost = json.loads(told.splitlines()[-1])
            sizes = {
                path.name: sum(
                    each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file()
                )
                for path in sorted((folder / "release").iterdir())
            }
            print(
                f"{rows} rows: {cost['seconds']:.1f} s, peak {cost['peak']:.0f} MB "
                f"({cost['imports']:.0f} at its start, largest child {cost['child']:.0f}); "
                + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()),
                flush=True,
            )


if __name__ == "__main__":
    main()
