"""How files, memory and driver time grow with the rows of a survey: 10^4 to 10^7.

    python benchmarks/growth.py [--rows 10000 100000 1000000] [--objects 100 1000 10000]

The stores are made through their stages and the real API, with a flow that can use no spectrum, and
every number that is lacking is one, so that each array has its file: what is left is what the house
itself costs. A step runs in a
process of its own; its CPU seconds, the growth of its memory since the imports, and the files that
it opened are told, and by what power of the rows they grow (slope of logarithms). Inodes are of
the products at rest. Chains are of `objects` spectra of the survey that is as large as they are.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hpcsbi.cluster.executors import Array, Serial
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import create, open_complete, open_store
from hpcsbi.store.shards import Elsewhere, run_shards
from hpcsbi.store.store import Store

PIXELS = 20  # the fewest that a grid may have: contents are small
PARTS = 16
UNITS = {"inodes": "", "cpu": "s", "memory": "MB", "opened": "files"}
SHARDS = {"spectra": 4096, "catalogue": 1024, "fits": 1}  # as in conf/config.yaml
PRIOR = {
    "logmass": {"low": 8.0, "high": 13.0},
    "logzsol": {"low": -2.0, "high": 0.2},
    "dust2": {"low": 0.1, "high": 4.0},
    "tage": {"low": 0.1, "high": 13.0},
    "tau": {"low": 0.1, "high": 10.0},
    "line_strength": {"low": 0.03, "high": 3.0},
    "noise_floor": {"low": 0.003, "high": 0.2},
}


class Flow:
    """What stages ask of a posterior, of one that can use no spectrum."""

    def __init__(self) -> None:
        self.prior, self.grid = Prior(PRIOR), Grid(pixels=PIXELS)
        model = Model(self.prior, self.grid, Physics(), SurveyNoise())
        self.model, self.settings = model, {"training": model.settings()}
        self.names, self.notice, self.ssp, self.likelihood = self.prior.names, "", object(), None
        self.derived = SimpleNamespace(names=[quantity.name for quantity in QUANTITIES])

    def usable(self, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
        """False for all."""
        return np.zeros(len(flux), bool)


def stage(name: str) -> Any:
    """Module of a stage, with the flow of nothing."""
    module = import_module(f"hpcsbi.stages.{name}")
    module.load_posterior = lambda _: Flow()
    return module


def make_spectra(run: Path, rows: int) -> None:
    """spectra.zarr, which no chain is for, as `ingest` lays it out."""
    ingest = import_module("hpcsbi.stages.ingest")
    grid = Grid(pixels=PIXELS)
    settings = {"grid": grid.settings(), "survey": "none"}
    arrays = ingest._arrays(rows, grid)
    store = create(run / "spectra.zarr", arrays, settings, SHARDS["spectra"], {"notice": ""})

    def make(shard: int) -> None:
        span = store.rows_of(shard)
        n = span.stop - span.start
        columns = {
            name: np.zeros((n, *tuple(array.dims.values())[1:]), _kind(array.dtype))
            for name, array in arrays.items()
            if array.values is None
        }
        for name, values in columns.items():
            columns[name] = np.full_like(values, name) if values.dtype == object else values
        columns["id"] = np.array([f"spectrum {row}" for row in range(span.start, span.stop)])
        columns["flags"] = np.full(n, int(Flag.NO_DATA), np.int32)
        store.write(shard, **columns)

    run_shards(make, store, Serial(), "ingest")


def ones(values: np.ndarray) -> np.ndarray:
    """Something in the place of nothing: Zarr writes no file of that."""
    values = np.asarray(values)
    if values.dtype.kind in "OUT":
        return np.where(values == "", "none", values)
    return np.where(values == 0, 1, np.nan_to_num(values, nan=1.0)).astype(values.dtype)


def write_ones() -> None:
    """From now on stages write stores without empty rows."""
    real = Store.write

    def write(store: Store, shard: int, **arrays: np.ndarray) -> None:
        real(store, shard, **{name: ones(values) for name, values in arrays.items()})

    Store.write = write


def _kind(dtype: str) -> type | str:
    return object if dtype == "string" else dtype


def infer(run: Path, cluster: Any = None) -> None:
    with suppress(Elsewhere):
        stage("infer").infer(
            str(run / "catalogue.zarr"), "flow", str(run / "spectra.zarr"), 1000, 50, 0, True,
            SHARDS["catalogue"], 0, cluster or Serial(),
        )  # fmt: skip


def fit(run: Path, rows: int, cluster: Any = None) -> None:
    module = stage("fit")
    module.likelihood_of = lambda *_: None
    with suppress(Elsewhere):
        module.fit(
            str(run / "fits.zarr"), "flow", str(run / "spectra.zarr"), None, rows, "table",
            "prior", "simulator", "mixed", 16, [1], 1, True, 1, 1, 1, SHARDS["fits"], 0,
            cluster or Serial(),
        )  # fmt: skip


def resume(run: Path, name: str) -> None:
    store = open_store(run / f"{name}.zarr")
    run_shards(lambda shard: None, store, Serial(), "infer")


def one_more(run: Path, name: str, job: Callable[[Any], None]) -> None:
    """A part of an array job that has a shard to make."""
    store = open_store(run / f"{name}.zarr")
    store.forget(0)
    job(Array(0, PARTS))


def worker(run: Path, name: str) -> None:
    """One shard, without its driver."""
    module = stage("infer" if name == "catalogue" else "fit")
    module.likelihood_of = lambda *_: None
    spectra, out = str(run / "spectra.zarr"), str(run / f"{name}.zarr")
    if name == "catalogue":
        module._infer_shard(out, "flow", spectra, 0)
    else:
        chain = SimpleNamespace(moves="mixed", steps=1)
        module._fit_shard(module._Run(out, "flow", spectra, chain), 0)


def end(run: Path) -> None:
    """What comes behind the last shard: the Parquet file and a few lines."""
    from hpcsbi.run.catalogue import write_catalogue

    (run / "catalogue.parquet").unlink()
    store = open_store(run / "catalogue.zarr")
    write_catalogue(store.path)
    import_module("hpcsbi.stages.infer")._tell(store, "")


STEPS: dict[str, Callable[[Path, int], Any]] = {
    "spectra: make": make_spectra,
    "spectra: resume": lambda run, _: resume(run, "spectra"),
    "spectra: end": lambda run, _: import_module("hpcsbi.stages.ingest")._summarise(
        open_store(run / "spectra.zarr"), []
    ),
    "spectra: open": lambda run, _: open_complete(run / "spectra.zarr", "ingest"),
    "catalogue: make": lambda run, _: infer(run),
    "catalogue: open": lambda run, _: open_complete(run / "catalogue.zarr", "infer"),
    "catalogue: resume": lambda run, _: resume(run, "catalogue"),
    "catalogue: part": lambda run, _: one_more(run, "catalogue", lambda c: infer(run, c)),
    "catalogue: worker": lambda run, _: worker(run, "catalogue"),
    "catalogue: end": lambda run, _: end(run),
    "status": lambda run, _: import_module("hpcsbi.stages.status").status(str(run)),
    "fits: make": fit,
    "fits: open": lambda run, _: open_complete(run / "fits.zarr", "fit"),
    "fits: resume": lambda run, _: resume(run, "fits"),
    "fits: part": lambda run, rows: one_more(run, "fits", lambda c: fit(run, rows, c)),
    "fits: worker": lambda run, _: worker(run, "fits"),
}
MADE_BY = {"spectra": "ingest", "catalogue": "infer", "fits": "fit"}


def measure(step: str, run: Path, rows: int) -> dict[str, float]:
    """Cost of a step in this process, which has done nothing before."""
    for module in ("ingest", "infer", "fit", "status"):
        import_module(f"hpcsbi.stages.{module}")
    write_ones()
    opened = []
    sys.addaudithook(lambda event, args: _note(opened, run, event, args))
    before, began = _memory(), time.process_time()
    STEPS[step](run, rows)
    seconds = time.process_time() - began
    return {"cpu": seconds, "memory": _memory() - before, "opened": len(opened)}


def _note(opened: list, run: Path, event: str, args: tuple) -> None:
    if event == "open" and isinstance(args[0], str) and args[0].startswith(str(run)):
        opened.append(1)


def _memory() -> float:
    """The most that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(step: str, run: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--step", step, str(run), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise SystemExit(f"{step} of {rows} rows:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def inodes(folder: Path) -> int:
    """Files and folders of a product."""
    return 1 + sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def survey(rows: int, folder: Path, steps: list[str]) -> dict[tuple[str, str], float]:
    """(step, figure) -> value for one number of rows."""
    run, figures = folder / f"{rows}", {}
    run.mkdir()
    for step in steps:
        for name, value in in_a_process(step, run, rows).items():
            figures[step, name] = value
        product = step.partition(":")[0]
        if step.endswith("make"):
            figures[f"{product}.zarr", "inodes"] = inodes(run / f"{product}.zarr")
        print(
            f"{rows:>9} {step:18}", *(f"{figures[step, n]:10.2f}" for n in UNITS if n != "inodes")
        )
        sys.stdout.flush()
    shutil.rmtree(run)
    return figures


def table(rows: list[int], found: list[dict[tuple[str, str], float]]) -> None:
    """All figures side by side, and the slope between the first and the last number of rows."""
    head = "".join(f"{n:>12}" for n in rows)
    print(f"\n{'':18} {'':7}{head}     slope")
    for step, name in sorted(found[0], key=lambda key: (key[1] != "inodes", key[1])):
        values = np.array([one[step, name] for one in found])
        slope = np.log(max(values[-1], 1e-3) / max(values[0], 1e-3)) / np.log(rows[-1] / rows[0])
        numbers = "".join(f"{value:12.2f}" for value in values)
        print(f"{step:18} {name:7}{numbers}    {slope:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    parser.add_argument("--objects", type=int, nargs="*", default=[10**2, 10**3, 10**4])
    parser.add_argument("--step", nargs=3, help="for its own processes")
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step[0], Path(options.step[1]), int(options.step[2]))))
        return
    wide = [step for step in STEPS if not step.startswith("fits")]
    deep = [step for step in STEPS if step == "spectra: make" or step.startswith("fits")]
    with tempfile.TemporaryDirectory() as folder:
        for rows, steps in ((options.rows, wide), (options.objects, deep)):
            if rows:
                table(rows, [survey(n, Path(folder), steps) for n in rows])


if __name__ == "__main__":
    main()
