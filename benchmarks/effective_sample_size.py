"""How close a flow of the default configuration is to the exact posterior of its test spectra.

    python benchmarks/effective_sample_size.py FLOW_FOLDER TRAINING_ZARR [--spectra 300]

Each test spectrum gets 10 000 draws, weighted by exact likelihood and prior. Printed: effective
sample size over draws, Pareto k, and the mean log density of the truth under the flow and under the
exact posterior, whose evidence comes from the same weights, in `Prior.coordinates`. The likelihood
is that of the simulator.
"""

import argparse
import time

import numpy as np
import torch

from hpcsbi.run.flows import load_posterior
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import effective_sample_size, pareto_k
from hpcsbi.store.opening import open_complete

DRAWS = 10_000


def main() -> None:
    """Print the figures of one flow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("training")
    parser.add_argument("--spectra", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    posterior, store = load_posterior(arguments.flow), open_complete(arguments.training, "augment")
    likelihood = of_simulator(posterior.ssp, posterior.names, Model.of(store.settings).noise)
    test = split_of(store.settings, store.rows, "test")
    rows = slice(test.start, min(test.start + arguments.spectra, test.stop))
    theta, flux, ivar = (store.read(name, rows) for name in ("theta", "flux", "ivar"))
    log_prior = -np.log(posterior.prior.high - posterior.prior.low).sum()
    score = posterior.log_prob(posterior.prior.coordinates(theta), flux, ivar)
    start, ess, k, exact, kept = time.process_time(), [], [], [], []
    for i in range(len(theta)):
        one = slice(i, i + 1)
        seeds = np.array([object_seed(0, f"weights {i}")])
        drawn = posterior.sample(Batch(flux[one], ivar[one], seeds), DRAWS, cap=1)
        n = int(drawn.kept[0])
        with torch.no_grad():
            draws = posterior.prior.theta(drawn.coordinates[0, :n])
            draws = torch.from_numpy(np.concatenate([draws, theta[one]])).float()
            spectrum = (torch.from_numpy(a[one]) for a in (flux, ivar))
            like = likelihood(*spectrum, draws[None])[0]
        weights = like[:n].numpy() + log_prior - drawn.log_prob[0, :n]
        evidence = np.logaddexp.reduce(weights) - np.log(DRAWS)
        exact.append(float(like[n]) + log_prior - evidence)
        ess.append(float(effective_sample_size(weights)) / DRAWS)
        k.append(pareto_k(weights))
        kept.append(n / DRAWS)
    seconds = (time.process_time() - start) / len(theta)
    score = score - np.log(kept)
    ess, k, gap = np.array(ess), np.array(k), np.array(exact) - score
    percent = np.percentile(ess, [1, 5, 10, 50])
    print(f"{len(theta)} spectra, {DRAWS} draws, {seconds:.2f} CPU s each")
    print("ESS/N: 1 % {:.3f}, 5 % {:.3f}, 10 % {:.3f}, median {:.3f}".format(*percent))
    print(f"Pareto k: median {np.median(k):.2f}, 99 % {np.percentile(k, 99):.2f}, ", end="")
    print(f"below 0.7: {(k < 0.7).mean():.3f}; ESS above 1000: {(ess * DRAWS > 1000).mean():.3f}")
    print(f"mean log density: flow {score.mean():.3f}, exact {np.mean(exact):.3f}, ", end="")
    print(f"gap {gap.mean():.3f} +- {gap.std() / np.sqrt(len(gap)):.3f} nat")


if __name__ == "__main__":
    main()
