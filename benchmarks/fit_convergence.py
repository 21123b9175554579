"""Converged emcee of many galaxies: what it costs, and how far the flow's posteriors are from it.

    python benchmarks/fit_convergence.py FLOW_FOLDER PAIRS [--galaxies 50] [--start prior]

Galaxies are test spectra of a store of pairs (draws of the prior). For each: chains started by the
flow's draws (or the prior's) until 50 autocorrelation times and R-hat below 1.01, in CPU seconds;
then the 1-D Wasserstein distance of each parameter, in sd of the chain and in `Prior.coordinates`,
between the chain and the flow's draws, the chain and the weighted draws, and the two halves of the
chain (how well the yardstick knows itself). Of 1000 draws, as `infer` makes them, and of 10 000, as
`fit` compares them; n draws of the right posterior are about 0.8 / sqrt(n) away.
"""

import argparse
import time

import numpy as np
import torch

from hpcsbi.inference.sampling.certificate import QUANTILES, certify
from hpcsbi.mcmc.chain import Settings, advance, diagnose, is_finished
from hpcsbi.mcmc.starts import target_and_first_chain
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.distances import wasserstein
from hpcsbi.store.opening import open_complete

SETTINGS = Settings(moves="mixed", burn_in=[100], steps=20_000, converge=True, block=100)
WALKERS, DRAWS = 128, (1000, 10_000)


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
    spectra = (store.read(name, rows) for name in ("flux", "ivar"))
    batch = Batch(*spectra, np.arange(arguments.galaxies))
    found = {}
    seconds, steps, taus, converged = [], [], [], []
    for i in range(arguments.galaxies):
        began = time.process_time()
        one = batch[i : i + 1]
        chain = sampled(posterior, posterior.likelihood, one, arguments.start)
        seconds.append(time.process_time() - began)
        told = diagnose(chain)
        steps.append(chain.steps)
        taus.append(told.tau.max())
        converged.append(told.converged)
        past, half = chain.past.astype(float), len(chain.past) // 2
        found.setdefault("halves of the chain", []).append(
            wasserstein(flat(past[:half]), flat(past[half:]))
        )
        for draws in DRAWS:
            for name, coordinates, weights in sets(posterior, one, draws):
                far = wasserstein(flat(past), coordinates, weights)
                found.setdefault(f"{name}, {draws}", []).append(far)
    print(f"{sum(converged)} of {arguments.galaxies} converged, start={arguments.start}")
    for name, values in (("CPU s", seconds), ("steps", steps), ("autocorrelation time", taus)):
        print(f"{name:22s} median {np.median(values):8.2f}  largest {np.max(values):8.2f}")
    print("Wasserstein distance in sd: of all parameters, and of the worst parameter of a galaxy")
    for name, values in found.items():
        every, worst = np.array(values), np.max(values, axis=1)
        print(
            f"{name:22s} median {np.median(every):.3f}  worst {every.max():.3f};  "
            f"median {np.median(worst):.3f}"
        )
    halves = np.max(found["halves of the chain"], axis=1)
    for draws in DRAWS:
        near = np.max(found[f"weighted, {draws}"], axis=1) <= halves + 0.02
        print(
            f"weighted, {draws}: {near.sum()} of {len(near)} within the halves of the chain + 0.02"
        )


def sets(posterior, batch, draws):
    """Draws of the flow, and the same or better ones with their weights."""
    drawn = posterior.sample(batch, draws)
    yield "flow", drawn.coordinates[0], None
    levels = list(QUANTILES.values())
    certificate = certify(posterior, posterior.likelihood, drawn, batch, levels)
    yield "weighted", *certificate.weighted[0]


def sampled(posterior, likelihood, batch, start):
    """A converged chain."""
    seen = torch.tensor(batch.flux), torch.tensor(batch.ivar)

    @torch.no_grad()
    def log_likelihood(theta):
        return likelihood(*seen, torch.tensor(theta, dtype=torch.float32)[None])[0].numpy()

    rng = np.random.default_rng([batch.seeds[0], 7])
    target, first = target_and_first_chain(
        start, SETTINGS.moves, posterior, batch, log_likelihood, log_likelihood, WALKERS, rng
    )
    chain = first()
    while not is_finished(chain, SETTINGS):
        chain = advance(chain, target, SETTINGS)
    return chain


def flat(past):
    return past.reshape(-1, past.shape[-1])


if __name__ == "__main__":
    main()
