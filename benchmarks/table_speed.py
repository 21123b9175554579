"""How many spectra a CPU second makes: the table on one thread over Prospector, in one run.

    OMP_NUM_THREADS=1 SPS_HOME=... python benchmarks/table_speed.py [--prior survey]

Both make the same spectra (same prior, same rows for the comparison). CPU seconds, because other
work on the machine stretches wall times; the direct path is timed warm, in this process.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.prospector_model import spectrum, warm
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete

BATCH = 4096
CONF = Path(__file__).parents[1] / "conf"


def rate_of_table(engine, theta, names, repeats=20):
    """Spectra per CPU second of one thread: median of the repeats."""
    engine.flux(theta, names)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        engine.flux(theta, names)
        seconds.append(time.process_time() - start)
    return len(theta) / np.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="digs")
    parser.add_argument("--direct", type=int, default=100, help="direct spectra to time")
    parser.add_argument("--table", default=str(SHIPPED))
    options = parser.parse_args()
    torch.set_num_threads(1)
    prior = instantiate(OmegaConf.load(CONF / "prior" / f"{options.prior}.yaml"))
    table = open_complete(options.table, "tabulate")
    grid, physics = Grid(**table.settings["grid"]), Physics(**table.settings["physics"])
    theta = prior.sample(BATCH, np.random.default_rng(0))

    engine = Ssp(**{name: table.read(name) for name in ARRAYS}, prior=prior)
    fast = rate_of_table(engine, torch.tensor(theta), prior.names)

    warm(physics, grid)
    rows = [dict(zip(prior.names, row, strict=True)) for row in theta[: options.direct].tolist()]
    start = time.process_time()
    direct = np.stack([spectrum(physics, grid, row) for row in rows])
    slow = len(rows) / (time.process_time() - start)

    flux = engine.flux(torch.tensor(theta[: options.direct]), prior.names).numpy()
    error = np.abs(np.log(flux / direct))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"prior {options.prior}, {grid.pixels} pixels, batches of {BATCH}, one thread")
    print(f"table:      {fast:10.0f} spectra per CPU second")
    print(f"Prospector: {slow:10.1f} spectra per CPU second ({len(rows)} spectra)")
    print(f"ratio:      {fast / slow:10.0f}")
    print(f"|d ln flux|: median {np.median(error):.1e}, 99 % {np.percentile(error, 99):.1e}")
    print(f"peak memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
