"""What it costs the numbers to stop drawing when the weights look good, and what it saves.

    python benchmarks/stopping.py FLOW_FOLDER TRAINING_ZARR [--spectra 200] [--runs 16]

Of each test spectrum --runs times 1000 draws of the flow are weighted by the exact likelihood. A
run of fixed length takes all of its thousand; one that stops takes 125 at a time until its weights
are strong (200 effective draws and Pareto k below 0.7; with a margin: so many times 200), and all
of them where they never are. Printed, for spectra by the share of effective draws: draws taken,
mean of Z over that of all runs together less one (0 if unbiased) with its error, the scatter of
ln Z about it, and the share of truths in the central 68 and 95 % of the weighted draws.
"""

import argparse
from itertools import pairwise

import numpy as np
import torch

from hpcsbi.run.flows import load_posterior
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import (
    FEWEST,
    effective_sample_size,
    normalised,
    pareto_k,
    strong,
)
from hpcsbi.store.opening import open_complete

DRAWS, STEP = 1000, 125
MARGINS = (1.0, 1.5)  # of the effective draws that are asked for
EDGES = (0.0, 0.2, 0.4, 0.6, 1.0)  # of the share of effective draws


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("training")
    parser.add_argument("--spectra", type=int, default=200)
    parser.add_argument("--runs", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior, store = load_posterior(options.flow), open_complete(options.training, "augment")
    test = split_of(store.settings, store.rows, "test")
    rows = slice(test.start, min(test.start + options.spectra, test.stop))
    theta, flux, ivar, zred = (store.read(name, rows) for name in ("theta", "flux", "ivar", "zred"))
    prior, share, told = posterior.prior, [], []
    truth = prior.coordinates(theta)
    possible = prior.inside(truth, zred)  # pairs have any redshift, whatever the age
    for i in np.flatnonzero(possible):
        one = slice(i, i + 1)
        seeds = np.array([object_seed(0, f"stopping {i}")])
        batch = Batch(flux[one], ivar[one], seeds, zred[one])
        coordinates, log_weights = weighted(posterior, batch, options.runs * DRAWS)
        if len(log_weights) < options.runs * DRAWS:
            continue
        share.append(float(effective_sample_size(log_weights)) / len(log_weights))
        told.append(compared(coordinates, log_weights, truth[i, prior.inferred], options.runs))
    print_table(np.array(share), np.array(told))


def weighted(posterior, batch: Batch, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the flow inside of the prior, inferred columns alone, and ln of their weights."""
    drawn = posterior.sample(batch, n, cap=10)
    coordinates = drawn.coordinates[:, : int(drawn.kept[0])]
    with torch.no_grad():
        flux, ivar = (torch.tensor(array) for array in (batch.flux, batch.ivar))
        own = torch.from_numpy(posterior.prior.theta(coordinates, np.float32))
        log_likelihood = posterior.likelihood(flux, ivar, own)[0].numpy()
    log_prior = posterior.prior.log_density(coordinates, batch.zred_column)[0]
    log_weights = log_likelihood + log_prior - drawn.log_prob[0, : coordinates.shape[1]]
    return coordinates[0][:, posterior.prior.inferred], np.where(
        np.isfinite(log_weights), log_weights, -np.inf
    )


def compared(
    coordinates: np.ndarray, log_weights: np.ndarray, truth: np.ndarray, runs: int
) -> np.ndarray:
    """Draws, Z over that of all, and the truth's mean shares in intervals, (rules, runs, 4)."""
    whole = log_mean(log_weights)
    table = np.zeros((1 + len(MARGINS), runs, 4))
    for run, (x, w) in enumerate(
        zip(np.split(coordinates, runs), np.split(log_weights, runs), strict=True)
    ):
        lengths = [DRAWS, *(stop(w, margin) for margin in MARGINS)]
        for rule, n in enumerate(lengths):
            below = normalised(w[:n]) @ (x[:n] < truth)
            inside = [np.mean(np.abs(below - 0.5) < level / 2) for level in (0.68, 0.95)]
            table[rule, run] = n, np.exp(log_mean(w[:n]) - whole), *inside
    return table


def stop(log_weights: np.ndarray, margin: float) -> int:
    """How many draws are taken."""
    for n in range(STEP, DRAWS, STEP):
        size = float(effective_sample_size(log_weights[:n]))
        if size >= margin * FEWEST and strong(size, pareto_k(log_weights[:n])):
            return n
    return DRAWS


def log_mean(log_weights: np.ndarray) -> float:
    """ln of the mean weight."""
    return float(np.logaddexp.reduce(log_weights)) - np.log(len(log_weights))


def print_table(share: np.ndarray, told: np.ndarray) -> None:
    """A line for each rule and range of the share of effective draws."""
    rules = ["fixed", *(f"stop at {margin * FEWEST:.0f}" for margin in MARGINS)]
    print(f"{'ESS/N':>9s} {'spectra':>7s} {'rule':>12s} {'draws':>6s} {'Z/Z0 - 1':>17s} "
          f"{'sd ln Z':>8s} {'in 68 %':>8s} {'in 95 %':>8s}")  # fmt: skip
    for low, high in [*pairwise(EDGES), (0.0, 1.0)]:
        some = told[(share >= low) & (share < high)]
        for rule, name in enumerate(rules if len(some) else []):
            n, ratio, in_68, in_95 = some[:, rule].transpose(2, 0, 1)
            error = ratio.mean(1).std() / np.sqrt(len(ratio))
            print(
                f"{low:.1f} - {high:.1f} {len(some):7d} {name:>12s} {n.mean():6.0f} "
                f"{ratio.mean() - 1:+9.4f} +- {error:.4f} {np.log(ratio).std():8.3f} "
                f"{in_68.mean():8.3f} {in_95.mean():8.3f}"
            )


if __name__ == "__main__":
    main()
