"""What Dask on SLURM costs: rows per second and core, over bare loops of the same function.

    slurm/lab.sh start && eval "$(slurm/lab.sh env)"
    python benchmarks/cluster_overhead.py FOLDER [--cores 1] [--rounds 2] [--million]

Simulates spectra with the table, some two seconds of work for each shard: bare loops, one for each
core (parts of an array, started here), then the same in the tasks of an allocation and in jobs of
their own. The rate runs from the first shard that is done to the last, so that starting processes,
which a real run pays once, is left out, and printed apart. On two cores --cores 1 leaves one for
scheduler and client, which on a cluster many workers share. `busy` is the share of that time in
which the function ran, by its own clock: what is left of it is the way's, however fast the machine
is at the moment. Then a million items in small
pieces through the bounded window, with the memory of the process that is scheduler and client.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.slurm import jobs
from hpcsbi.run.progress import worker_seconds

ROOT = Path(__file__).resolve().parents[1]
SHARD, SHARDS = 400_000, 14
ITEMS, PIECE = 1_000_000, 50


def main() -> None:
    """Print the rates, their ratio to the bare loops, and the memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cores", type=int, default=1, help="workers; leave some for the driver")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--million", action="store_true", help="the bounded window, too")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"bare": [], "allocation": [], "slurm": []}
    shares: dict[str, list[float]] = {way: [] for way in rates}
    print(f"{'':12s} {'rows/s and core':>16s} {'busy':>6s} {'start, s':>9s}")
    for _ in range(arguments.rounds):
        for way in rates:
            run = arguments.folder.absolute() / way
            shutil.rmtree(run, ignore_errors=True)
            began = time.time()
            if way == "bare":
                bare(run, arguments.cores)
            else:
                submitted(run, way, arguments.cores)
            rate, busy, first = measured(run, arguments.cores)
            rates[way].append(rate)
            shares[way].append(busy)
            print(f"{way:12s} {rate:16,.0f} {busy:6.3f} {first - began:9.1f}", flush=True)
            shutil.rmtree(run)
    for name, found in (("rate", rates), ("busy", shares)):
        middle = {way: statistics.median(values) for way, values in found.items()}
        for way in ("allocation", "slurm"):
            print(f"{name} of {way} over bare loops: {middle[way] / middle['bare']:.3f}")
    if arguments.million:
        million()


def options(run: Path) -> list[str]:
    """Of the jobs."""
    return [f"run={run}", f"simulate.n={SHARD * SHARDS}", f"simulate.shard={SHARD}"]


def bare(run: Path, cores: int) -> None:
    """A process for each core, with a loop over its part of the shards."""
    call([sys.executable, "jobs/tabulate.py", *options(run), "cluster=serial"])
    processes = [
        subprocess.Popen(
            [sys.executable, "jobs/simulate.py", *options(run), "cluster=array"],
            cwd=ROOT,
            env={**os.environ, "SLURM_ARRAY_TASK_ID": str(i), "HPCSBI_PARTS": str(cores)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for i in range(cores)
    ]
    for process in processes:
        process.wait()


def submitted(run: Path, way: str, cores: int) -> None:
    """The same on SLURM."""
    chain = ["slurm/pipeline.sh", "overhead", "--stages=tabulate,simulate", "site=lab"]
    out = call(
        [*chain, f"site.tasks={cores}", "site.memory=4000M", f"cluster={way}", *options(run)]
    )
    number = out.split("simulate   job ")[1].split()[0]
    while jobs([number])[number].active:
        time.sleep(0.5)


def call(command: list[str]) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "HPCSBI_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def measured(run: Path, cores: int) -> tuple[float, float, float]:
    """Rows a second and core from the first mark to the last, share at work, time of the first."""
    marks = (run / "simulations.zarr" / ".marks").glob("*.done")
    times = sorted(path.stat().st_mtime for path in marks)
    if len(times) != SHARDS:
        sys.exit(f"{run}: {len(times)} of {SHARDS} shards are there.")
    # The first shards of all cores end together: what follows them is work of the seconds between.
    rest, seconds = SHARDS - cores, (times[-1] - times[cores - 1]) * cores
    busy = worker_seconds(run, "simulate") * rest / SHARDS
    return SHARD * rest / seconds, busy / seconds, times[0]


def count(piece: range) -> int:
    """Next to no work."""
    return sum(1 for _ in piece)


def million() -> None:
    """A million items in pieces of fifty through a window of four."""
    pieces = (range(i, i + PIECE) for i in range(0, ITEMS, PIECE))
    process, done, began, seen = psutil.Process(), 0, time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for i, (_, outcome) in enumerate(Local(2, folder).map(count, pieces)):
            done += outcome.receipt
            if i % (ITEMS // PIECE // 5) == ITEMS // PIECE // 5 - 1:
                seen.append(process.memory_info().rss / 1e6)
    print(
        f"{done:,} items in {ITEMS // PIECE:,} pieces, {time.monotonic() - began:.0f} s; memory of "
        f"scheduler and client at each fifth: {', '.join(f'{value:.0f}' for value in seen)} MB"
    )


if __name__ == "__main__":
    main()
