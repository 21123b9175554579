"""What models of many kinds cost, by table and by Prospector, in one run.

    OMP_NUM_THREADS=1 python benchmarks/compositions.py NAME=PRIOR:TABLE ... [--rounds 3]

as "full=full:runs/full/ssp.zarr"; without any the priors of conf/prior that the shipped table
serves. Printed for each: inferred parameters; CPU microseconds of a spectrum (batches of 4096 draws
of the prior) and of a likelihood (4096 draws near a truth, noise of surveys); the megabytes of the
table and the seconds to make its engine; with SPS_HOME milliseconds of a spectrum by Prospector and
FSPS, and how many times as long that is.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.direct.prospector_model import spectrum, warm
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete

CONF = Path(__file__).parents[1] / "conf"
PRIORS = ("digs", "survey", "burst", "truncated", "continuity", "dirichlet", "post_starburst")
BATCH, BATCHES, DIRECT = 4096, 5, 20


class Composition:
    """A model whose speed is measured."""

    def __init__(self, name, prior, table):
        settings = yaml.safe_load((CONF / "prior" / f"{prior}.yaml").read_text())
        self.name, self.prior = name, Prior(settings["columns"], settings["bound_age"])
        files = (path for path in Path(table).rglob("*") if path.is_file())
        self.megabytes = sum(path.stat().st_size for path in files) / 1e6
        began = time.process_time()
        self.engine = load_engine(table, self.prior)
        self.made = time.process_time() - began
        noise = FractionalNoise() if prior == "digs" else SurveyNoise(calibration=0.04)
        self.likelihood = of_simulator(self.engine, self.prior.names, noise)
        draws = self.prior.sample(BATCH * BATCHES, np.random.default_rng(0))
        self.theta = torch.tensor(draws, dtype=torch.float32)
        self.grid = Grid(**open_complete(table, "tabulate").settings["grid"])
        self.spectrum = self.posterior = np.inf

    @torch.no_grad()
    def measure(self):
        began = time.process_time()
        self.engine.flux(self.theta, self.prior.names)
        self.spectrum = min(self.spectrum, (time.process_time() - began) / len(self.theta))
        truth = self.theta[:1]
        flux = self.engine.flux(truth, self.prior.names)
        near = truth * (1 + 1e-3 * torch.randn(BATCH, truth.shape[1]))
        began = time.process_time()
        self.likelihood(flux, (0.02 * flux) ** -2, near[None])
        self.posterior = min(self.posterior, (time.process_time() - began) / BATCH)

    def direct(self):
        """CPU seconds of a spectrum by Prospector."""
        physics, rows = self.engine.physics, self.theta[:DIRECT].double().tolist()
        warm(physics, self.grid)
        rows = [dict(zip(self.prior.names, row, strict=True)) for row in rows]
        spectrum(physics, self.grid, rows[0])
        times = []
        for row in rows[1:]:
            began = time.process_time()
            try:
                spectrum(physics, self.grid, row)
            except ValueError:  # bins of less than a million years
                continue
            times.append(time.process_time() - began)
        return np.mean(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = options.models or [f"{prior}={prior}:{SHIPPED}" for prior in PRIORS]
    parts = [(name, *rest.split(":", 1)) for name, rest in (model.split("=", 1) for model in asked)]
    models = [Composition(*part) for part in parts]
    for _ in range(options.rounds):
        for model in models:
            model.measure()
    heads = ("spectrum", "likelihood", "table MB", "engine s", "Prospector ms", "ratio")
    print("model           parameters " + "  ".join(heads))
    for model in models:
        direct = model.direct() if "SPS_HOME" in os.environ else np.nan
        print(
            f"{model.name:16s} {len(model.prior.inferred_names):10d} {model.spectrum * 1e6:9.2f} "
            f"{model.posterior * 1e6:11.2f} {model.megabytes:9.1f} {model.made:9.1f} "
            f"{direct * 1e3:14.1f} {direct / model.spectrum:6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
