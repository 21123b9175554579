"""Children in which FSPS is warm: `simulator.fork_server` against multiprocessing, in one run.

    OMP_NUM_THREADS=1 SPS_HOME=... python benchmarks/fork_server_speed.py [--calls 40]

Three ways to call FSPS where it may end its process: ours; multiprocessing's forkserver, which can
only import modules beforehand, so that one must warm FSPS up as it is imported; and a
ProcessPoolExecutor whose children warm up for themselves. A pool of several children breaks as a
whole when one dies, and does not tell in which call: both pools have one child and are made anew.

Told are seconds to the first spectrum, of a spectrum from then on, and from a child that ends to
the next spectrum; what a child holds for itself; and whether the way is open to Dask's workers,
which are daemons.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fork_server import DIED, OK, Nursery
from hpcsbi.simulator.direct.prospector_model import example_row, spectrum, warm
from hpcsbi.simulator.galaxy.physics import Physics

DEATHS = 3
PHYSICS, GRID = Physics(), Grid()
WARMING = "from fork_server_speed import GRID, PHYSICS, warm\nwarm(PHYSICS, GRID)\n"


class Ours:
    """A process of its own, warmed up by a call, and forked for each child."""

    def __init__(self):
        self.nursery = Nursery(warm, (PHYSICS, GRID))

    def ask(self, function, calls):
        return [
            value if status == OK else DIED for status, value in self.nursery.ask(function, calls)
        ]

    def close(self):
        self.nursery.close()


class Pool:
    """A ProcessPoolExecutor of one child, made anew when that one dies."""

    def __init__(self, **options):
        self.options = {"max_workers": 1, **options}
        self.pool = ProcessPoolExecutor(**self.options)

    def ask(self, function, calls):
        return [self._one(function, arguments) for arguments in calls]

    def _one(self, function, arguments):
        try:
            return self.pool.submit(function, *arguments).result()
        except BrokenExecutor:
            self.pool = ProcessPoolExecutor(**self.options)
            return DIED

    def close(self):
        self.pool.shutdown()


def forkserver():
    """The server imports a module that warms FSPS up; it has one list of these for ever."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warmed_by_import"])
    return Pool(mp_context=context)


def each_for_itself():
    """Every child warms up when it starts."""
    return Pool(
        mp_context=multiprocessing.get_context("spawn"), initializer=warm, initargs=(PHYSICS, GRID)
    )


def own_memory(*call):
    """MB that belong to the process that is asked alone, after a spectrum."""
    spectrum(*call)
    return psutil.Process().memory_full_info().uss / 1e6


def seconds(function, *arguments):
    start = time.monotonic()
    value = function(*arguments)
    return time.monotonic() - start, value


def measured(make, calls):
    """First, each, after a death, MB, and the spectra."""

    def begin():
        way = make()
        return way, way.ask(spectrum, calls[:1])

    first, (way, _) = seconds(begin)
    each, spectra = seconds(way.ask, spectrum, calls)
    [memory] = way.ask(own_memory, calls[:1])
    after = []
    for _ in range(DEATHS):
        assert way.ask(os._exit, [(0,)]) == [DIED]
        after.append(seconds(way.ask, spectrum, calls[:1])[0])
    way.close()
    return first, each / len(calls), min(after), memory, np.stack(spectra)


def in_a_daemon(make, answer):
    """What a daemonic process gets to hear of a way."""
    try:
        way = make()
        answer.put(f"{way.ask(pow, [(2, 3)]) == [8]}")
        way.close()
    except AssertionError as error:
        answer.put(str(error))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40, help="spectra to time")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    metallicities = rng.uniform(-1, 0, options.calls)
    calls = [(PHYSICS, GRID, example_row(logzsol)) for logzsol in metallicities]
    ways = {"fork_server": Ours, "forkserver": forkserver, "ProcessPoolExecutor": each_for_itself}
    spawn, reference = multiprocessing.get_context("spawn"), None
    print(f"{'':20}{'first s':>9}{'each ms':>9}{'after s':>9}{'own MB':>9}  same  in a daemon")
    for name, make in ways.items():
        *numbers, spectra = measured(make, calls)
        reference = spectra if reference is None else reference
        answer = spawn.Queue()
        daemon = spawn.Process(target=in_a_daemon, args=(make, answer), daemon=True)
        daemon.start()
        said = answer.get()
        daemon.join()
        first, each, after, memory = numbers
        same = (spectra == reference).all()
        print(f"{name:20}{first:9.2f}{1e3 * each:9.1f}{after:9.2f}{memory:9.0f}  {same!s:5} {said}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "warmed_by_import.py").write_text(WARMING)
        here = [folder, str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(here)  # for the server
        main()
