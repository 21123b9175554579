"""The speeds that must not fall, in one table; of two checkouts by turns, their ratio.

    OMP_NUM_THREADS=1 python benchmarks/speeds.py [--only table sampler] [--rounds 3]
    OMP_NUM_THREADS=1 python benchmarks/speeds.py --against OTHER_CHECKOUT

CPU microseconds, least of the rounds, each in a process of its own. Spectra from the table (paper's
prior, batches of 4096), and the same with birth clouds; likelihoods of one spectrum (prior of
surveys, 4096 draws near a truth); draws of an untrained flow of the default size (7 parameters);
certificates with their rescue under a flow of 300 steps; spectra of a DESI coadd from the file to
the rest frame; training steps of 256 fresh pairs of the survey's. "fine" is the same on 1151
pixels of 5 Angstrom, of a table that is made of straight lines between the pixels of the shipped
one.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))


def per(n, function):
    """CPU microseconds of one of n things that a call does, after one call that is not counted."""
    function()
    return timed(n, function)


def timed(n, function):
    """CPU microseconds of one of n things that a call does."""
    start = time.process_time()
    function()
    return 1e6 * (time.process_time() - start) / n


def table(**more):
    import numpy as np
    import tiny
    import torch

    from hpcsbi.run.flows import load_engine
    from hpcsbi.simulator.theta.prior import Prior

    prior = Prior(tiny.prior().columns | more)
    engine = load_engine(tiny.TABLE, prior)
    theta = torch.tensor(prior.sample(4096, np.random.default_rng(0)))
    return per(10 * 4096, lambda: [engine.flux(theta, prior.names) for _ in range(10)])


def clouds():
    return table(dust1_fraction={"low": 0.0, "high": 2.0})


def fine(measure):
    import tiny

    from hpcsbi.grid import Grid

    grid = Grid(pixels=1151)
    with tempfile.TemporaryDirectory() as folder:
        return measure(grid, tiny.table_on(grid, Path(folder) / "ssp.zarr"))


def likelihood(grid=None, table=None):
    import numpy as np
    import tiny
    import torch
    from likelihood_speed import near

    from hpcsbi.run.flows import load_engine
    from hpcsbi.simulator.probability.likelihood import Likelihood

    prior = tiny.prior(survey=True)
    engine = load_engine(table or tiny.TABLE, prior)
    theta = torch.from_numpy(prior.sample(1, np.random.default_rng(0))).float()
    flux = engine.flux(theta, prior.names)
    rows = near(theta[0], prior)[None, :4096]
    function = Likelihood(engine, prior.names, "survey")
    with torch.no_grad():
        ivar = (50 / flux) ** 2
        return per(10 * 4096, lambda: [function(flux, ivar, rows) for _ in range(10)])


def sampler():
    import torch

    from hpcsbi.inference.network.flow import Flow, build_network

    network = build_network(Flow(), 7, 66, seed=0)
    z, context = torch.randn(1000, 16, 7), torch.randn(16, 66)
    inverse = network.inverse()
    with torch.no_grad():
        return per(16_000, lambda: inverse(context)(z))


def certificate(grid=None, table=None):
    import numpy as np
    import tiny

    from hpcsbi.inference.sampling.certificate import certify
    from hpcsbi.run.flows import load_posterior
    from hpcsbi.simulator.table.batch import Batch
    from hpcsbi.store.opening import open_store

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Path(folder)
        table = table or tiny.TABLE
        training = tiny.pairs(run, survey=True, grid=grid, table=table)
        posterior = load_posterior(str(tiny.trained(run, training, table)))
        pairs = open_store(training)
        flux, ivar = (pairs.read(name)[-32:] for name in ("flux", "ivar"))
        batch = Batch(flux, ivar, np.arange(32))
        drawn = posterior.sample(batch, 1000, 100)
        return timed(
            32, lambda: certify(posterior, posterior.likelihood, drawn, batch, [0.16, 0.5, 0.84])
        )


def ingest():
    from regrid_speed import GRIDS, whole, write_coadd

    with tempfile.TemporaryDirectory() as folder:
        source = write_coadd(Path(folder), 500)
        return per(500, lambda: whole(source, GRIDS["42 A"]))


def training(grid=None, table=None, **options):
    import tiny

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Path(folder)
        table = table or tiny.TABLE
        pairs = tiny.pairs(run, survey=True, grid=grid, table=table)
        short, long = (
            timed(1, lambda n=n: tiny.trained(run / str(n), pairs, table, steps=n, **options))
            for n in (100, 500)
        )
    return (long - short) / 400


MEASURES = {
    "table": table,
    "clouds": clouds,
    "likelihood": likelihood,
    "sampler": sampler,
    "certificate": certificate,
    "ingest": ingest,
    "training": partial(training, checkpoint=1000),
    "projection": partial(training, checkpoint=1000, representation="projection"),
}
FINE = ("likelihood", "certificate", "projection")
MEASURES |= {f"fine_{name}": partial(fine, MEASURES[name]) for name in FINE}
UNITS = {
    "table": "spectrum",
    "clouds": "spectrum",
    "likelihood": "likelihood",
    "sampler": "draw",
    "certificate": "spectrum",
    "ingest": "spectrum",
    "training": "step",
    "projection": "step",
}


def measured_in(checkout, name):
    """One measurement by the code of a checkout."""
    places = [str(checkout), str(checkout / "benchmarks"), str(checkout / "tests")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, str(checkout / "benchmarks" / "speeds.py"), "--measure", name]
    result = subprocess.run(
        command, env=environment, cwd=checkout, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def main():
    """Measure by turns, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="root of another checkout")
    parser.add_argument("--measure", choices=MEASURES, help="one, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASURES[options.measure]()))
        return
    checkouts = [ROOT] if options.against is None else [ROOT, options.against.absolute()]
    print("| speed | CPU us | " + ("of the other | ratio |" if options.against else ""))
    for name in options.only:
        rounds = [[measured_in(each, name) for each in checkouts] for _ in range(options.rounds)]
        least = [min(column) for column in zip(*rounds, strict=True)]
        ratio = f" {least[0] / least[1]:.2f} |" if options.against else ""
        columns = " | ".join(f"{value:.4g}" for value in least)
        print(f"| {name}, a {UNITS[name.removeprefix('fine_')]} | {columns} |{ratio}", flush=True)


if __name__ == "__main__":
    main()
