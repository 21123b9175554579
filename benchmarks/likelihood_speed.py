"""How many likelihoods a CPU second computes: the table on one thread over Prospector, in one run.

    OMP_NUM_THREADS=1 SPS_HOME=... python benchmarks/likelihood_speed.py [--prior digs]

Values, and values with gradients, of ln L in batches of one spectrum's draws: of the prior, which
are all over the table, and close to the truth as those of a posterior are. Against model and
`prospect.likelihood.lnlike_spec` one at a time, warm, in this process. Without SPS_HOME the direct
path is left out. Also printed: by how much ln L from the table differs from that of FSPS.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from prospect.likelihood import lnlike_spec

from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.direct.prospector_model import spectrum, warm
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.noise import FractionalNoise
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete

CONF = Path(__file__).parents[1] / "conf"
FRACTION = 0.05


def cpu_seconds(function, repeats=15):
    """Median CPU time of a call, after one that is not counted."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return np.median(seconds)


def main():
    """Print the rates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prior", default="digs")
    parser.add_argument("--table", default=str(SHIPPED))
    parser.add_argument("--direct", type=int, default=200, help="direct likelihoods to time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    prior = instantiate(OmegaConf.load(CONF / "prior" / f"{options.prior}.yaml"))
    engine = load_engine(options.table, prior)
    theta = torch.from_numpy(prior.sample(8192, np.random.default_rng(0))).float()
    wave = torch.from_numpy(engine.wave).float()
    with torch.no_grad():
        model = engine.flux(theta[: options.direct], prior.names)
    generator = torch.Generator().manual_seed(0)
    flux, ivar, _ = FractionalNoise(FRACTION)(model, wave, None, generator)

    kinds = {"fractional": {"fraction": FRACTION}, "given": {}}
    if "noise_floor" in prior.names:
        kinds |= {"survey": {}, "calibrated": {"calibration": 0.04}}
    for name, noise in kinds.items():
        kind = "survey" if name == "calibrated" else name
        likelihood = Likelihood(engine, prior.names, kind, **noise)
        for where, batch in (("prior", 4096), ("near", 1), ("near", 1024), ("near", 4096)):
            rows = (theta if where == "prior" else near(theta[0], prior))[None, :batch]

            def value(rows=rows, one=likelihood):
                with torch.no_grad():
                    return one(flux[:1], ivar[:1], rows)

            def gradient(rows=rows, one=likelihood):
                moving = rows.clone().requires_grad_()
                return torch.autograd.grad(one(flux[:1], ivar[:1], moving).sum(), moving)

            rates = [batch / cpu_seconds(function) for function in (value, gradient)]
            print(
                f"{name:10} {where:5} {batch:5}: {rates[0]:9.0f} values, {rates[1]:9.0f} "
                "gradients / s"
            )
    if "SPS_HOME" in os.environ:
        compare(options, prior, engine, theta[: options.direct], flux, ivar)


def near(theta, prior):
    """Draws within some hundredths of the prior's width around one theta."""
    coordinates = prior.coordinates(theta.double().numpy())
    spread = np.random.default_rng(1).normal(size=(8192, len(coordinates)))
    moved = coordinates + 0.03 * (prior.high - prior.low) * spread
    return torch.from_numpy(prior.theta(moved.clip(prior.low, prior.high))).float()


def compare(options, prior, engine, theta, flux, ivar):
    """The same likelihoods by FSPS and Prospector: their rate, and the difference."""
    settings = open_complete(options.table, "tabulate").settings
    grid, physics = Grid(**settings["grid"]), Physics(**settings["physics"])
    rows = [dict(zip(prior.names, row, strict=True)) for row in theta.double().tolist()]
    warm(physics, grid)
    direct, start = [], time.process_time()
    for row, seen in zip(rows, flux.double().numpy(), strict=True):
        model = spectrum(physics, grid, row)
        unc = FRACTION * model
        direct.append(lnlike_spec(model, {"spectrum": seen, "unc": unc, "wavelength": grid.wave}))
    rate = len(rows) / (time.process_time() - start)
    likelihood = Likelihood(engine, prior.names, "fractional", FRACTION)
    with torch.no_grad():
        table = likelihood(flux, ivar, theta[:, None])[:, 0].numpy()
    error = np.abs(table - direct)
    print(f"Prospector, FSPS: {rate:.1f} values / s ({len(rows)} spectra)")
    print(f"|d ln L|: median {np.median(error):.4f}, 99 % {np.percentile(error, 99):.3f}, ", end="")
    print(f"largest {error.max():.3f}")


if __name__ == "__main__":
    main()
