"""Chains that start without the flow: do they converge, and on what the others find?

    python benchmarks/yardstick_without_flow.py FLOW_FOLDER [--pairs training.zarr --first 20]
        [--spectra spectra.zarr ...] [--starts prior optimiser flow] [--steps 20000]

Of the first test spectra of a store of pairs, and of all spectra of stores that `ingest` made. For
each spectrum and start, with the settings of conf/config.yaml: converged or not, CPU seconds, steps
and the longest autocorrelation time; then the largest 1-D Wasserstein distance over the parameters,
in sd of the first chain and in `Prior.coordinates`, to the chain of the first start, and to the
weighted draws of the flow where their weights are strong (-: they are weak).
"""

import argparse
import time

import numpy as np
import torch

from hpcsbi.flags import NOT_INFERRED
from hpcsbi.inference.sampling.certificate import QUANTILES, certify
from hpcsbi.mcmc.chain import Settings, advance, diagnose, is_finished
from hpcsbi.mcmc.likelihoods import log_likelihoods
from hpcsbi.mcmc.starts import STARTS, target_and_first_chain
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.distances import wasserstein
from hpcsbi.store.opening import open_complete

WALKERS, PROPOSALS = 128, 10_000


def chain_of(posterior, start, batch, settings):
    """The chain at its end and its CPU seconds."""
    began, rng = time.process_time(), np.random.default_rng([batch.seeds[0], 7])
    scout, log_likelihood = log_likelihoods(posterior, "table", "simulator", batch)
    target, first = target_and_first_chain(
        start, "mixed", posterior, batch, scout, log_likelihood, WALKERS, rng
    )
    chain = first()
    while not is_finished(chain, settings):
        chain = advance(chain, target, settings)
    return chain, time.process_time() - began


def certified(posterior, batch):
    """Inferred coordinates of weighted draws and their weights; None where they are weak."""
    drawn = posterior.sample(batch, PROPOSALS)
    levels = list(QUANTILES.values())
    found = certify(posterior, posterior.likelihood, drawn, batch, levels)
    if not found.reweighted[0]:
        return None
    coordinates, weights = found.weighted[0]
    return coordinates[:, posterior.prior.inferred], weights


def spectra_of(options):
    """Name, flux, ivar and redshift of every spectrum."""
    if options.pairs:
        store = open_complete(options.pairs, "augment")
        first = split_of(store.settings, store.rows, "test").start
        rows = slice(first, first + options.first)
        names = ("flux", "ivar", "zred")
        for i, row in enumerate(zip(*(store.read(name, rows) for name in names), strict=True)):
            yield f"simulated {i}", *row[:2], float(row[2])
    for path in options.spectra:
        store = open_complete(path, "ingest")
        columns = (store.read(name) for name in ("id", "flux", "ivar", "zred", "flags"))
        for name, flux, ivar, zred, flags in zip(*columns, strict=True):
            if not flags & NOT_INFERRED:
                yield str(name), flux, ivar, float(zred)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("--pairs")
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--spectra", nargs="*", default=[])
    parser.add_argument("--starts", nargs="*", default=STARTS)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    settings = Settings("mixed", [100], options.steps, True, 100)
    totals = {start: [] for start in options.starts}
    for number, (name, flux, ivar, zred) in enumerate(spectra_of(options)):
        batch = Batch(flux[None], ivar[None], np.array([number]), np.array([zred]))
        best, ruler = certified(posterior, batch), None
        for start in options.starts:
            chain, seconds = chain_of(posterior, start, batch, settings)
            found, draws = diagnose(chain), chain.past.reshape(-1, chain.past.shape[-1])
            ruler = draws if ruler is None else ruler
            near = f"{wasserstein(draws, best[0], best[1]).max():.3f}" if best else "-"
            totals[start].append((found.converged, seconds, found.tau.max()))
            print(
                f"{name:28s} {start:10s} {'converged' if found.converged else 'NOT converged':13s} "
                f"{seconds:6.1f} CPU s {chain.steps:6d} steps  tau {found.tau.max():6.1f}  "
                f"R-hat {found.rhat.max():.3f}  to the first "
                f"{wasserstein(ruler, draws).max():.3f}  to the certified {near}",
                flush=True,
            )
    for start, rows in totals.items():
        converged, seconds, tau = np.array(rows).T
        print(
            f"{start}: {converged.sum():.0f} of {len(rows)} converged; CPU s median "
            f"{np.median(seconds):.1f}, largest {seconds.max():.1f}; tau {np.median(tau):.1f}, "
            f"{tau.max():.1f}"
        )


if __name__ == "__main__":
    main()
