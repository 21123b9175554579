"""Converged emcee of many galaxies: what it costs, and how far the flow's posteriors are from it.

    python benchmarks/fit_convergence.py FLOW_FOLDER PAIRS [--galaxies 50] [--start prior]

Galaxies are test spectra of a store of pairs (draws of the prior). For each: chains started by the
flow's draws (or the prior's) until 50 autocorrelation times and R-hat below 1.01, in CPU seconds;
then the largest 1-D Wasserstein distance over the parameters, in sd of the chain, between the chain
and the flow's draws, the chain and the re-weighted draws, and the two halves of the chain (how well
the yardstick knows itself). Distances are of quantiles in `Prior.coordinates`.
"""

import argparse
import time

import numpy as np
import torch

from hpcsbi.artifacts import load_posterior
from hpcsbi.certificate import QUANTILES, certify
from hpcsbi.chain import Settings, advance, diagnose, finished
from hpcsbi.pairs import split_of
from hpcsbi.starts import started
from hpcsbi.store import open_complete

LEVELS = np.linspace(0.005, 0.995, 199)
SETTINGS = Settings(moves="mixed", burn_in=[100], steps=20_000, converge=True, block=100)
WALKERS, DRAWS = 128, 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("pairs")
    parser.add_argument("--galaxies", type=int, default=50)
    parser.add_argument("--start", default="flow")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    posterior, store = load_posterior(arguments.flow), open_complete(arguments.pairs, "augment")
    first = split_of(store.settings, store.rows, "test").start
    rows = slice(first, first + arguments.galaxies)
    flux, ivar = (store.read(name, rows) for name in ("flux", "ivar"))
    likelihood = posterior.likelihood
    seeds = np.arange(arguments.galaxies)
    drawn = posterior.sample(flux, ivar, DRAWS, seeds)
    levels = list(QUANTILES.values())
    certificate = certify(posterior, likelihood, drawn, flux, ivar, None, seeds, levels)
    names = ("flow", "re-weighted", "halves of the chain")
    found = {name: [] for name in names}
    seconds, steps, taus, converged = [], [], [], []
    for i in range(arguments.galaxies):
        began = time.process_time()
        chain = sampled(posterior, likelihood, flux[i], ivar[i], arguments.start, i)
        seconds.append(time.process_time() - began)
        told = diagnose(chain)
        steps.append(chain.steps)
        taus.append(told.tau.max())
        converged.append(told.converged)
        past = chain.past.astype(float)
        whole, half = flat(past), len(past) // 2
        pairs = (
            (whole, posterior.prior.coordinates(drawn.theta[i].astype(float))),
            (whole, posterior.prior.coordinates(certificate.draws.theta[i].astype(float))),
            (flat(past[:half]), flat(past[half:])),
        )
        for name, (one, other) in zip(names, pairs, strict=True):
            found[name].append(distance(one, other, whole.std(0)))
    print(f"{sum(converged)} of {arguments.galaxies} converged, start={arguments.start}")
    for name, values in (("CPU s", seconds), ("steps", steps), ("autocorrelation time", taus)):
        print(f"{name:22s} median {np.median(values):8.2f}  largest {np.max(values):8.2f}")
    print("largest Wasserstein distance over the parameters, in sd of the chain:")
    for name, values in found.items():
        print(f"{name:22s} median {np.median(values):8.3f}  worst   {np.max(values):8.3f}")


def sampled(posterior, likelihood, flux, ivar, start, seed):
    """A converged chain."""
    seen = torch.tensor(flux)[None], torch.tensor(ivar)[None]

    @torch.no_grad()
    def log_likelihood(theta):
        return likelihood(*seen, torch.tensor(theta, dtype=torch.float32)[None])[0].numpy()

    rng = np.random.default_rng([seed, 7])
    target, first = started(
        start, SETTINGS.moves, posterior, (flux, ivar, None), log_likelihood, log_likelihood,
        WALKERS, rng,
    )  # fmt: skip
    chain = first()
    while not finished(chain, SETTINGS):
        chain = advance(chain, target, SETTINGS)
    return chain


def flat(past):
    return past.reshape(-1, past.shape[-1])


def distance(one, other, sd):
    """Largest of the 1-D Wasserstein distances, in units of sd."""
    gap = np.abs(np.quantile(one, LEVELS, axis=0) - np.nanquantile(other, LEVELS, axis=0))
    return float((gap.mean(0) / sd).max())


if __name__ == "__main__":
    main()
