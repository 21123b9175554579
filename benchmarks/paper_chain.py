"""The paper's chain on one galaxy: measured with the table, extrapolated with Prospector and FSPS.

    SPS_HOME=... python benchmarks/paper_chain.py FLOW_FOLDER PAIRS [--direct 20] [--row 0]

128 walkers from the best fit by plain stretch moves, burn-in of 4096, 4096, 2048 and 512 steps,
then 128 that count. With the table all of them are run, in CPU seconds. With FSPS `--direct` steps
go on from where the table's walkers ended, and their wall time is multiplied up (FSPS runs in a
process of its own); both chains should lie in the same region. Then the chain of fit's defaults,
from the flow to convergence. The table is the one that the flow was trained with.
"""

import argparse
import time

import numpy as np
import torch

from hpcsbi.mcmc.chain import Settings, advance, begin, diagnose, is_finished
from hpcsbi.mcmc.likelihoods import log_likelihoods
from hpcsbi.mcmc.starts import target_and_first_chain
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.opening import open_complete

PAPER = Settings("stretch", [4096, 4096, 2048, 512], 128, False, 512)
DEFAULT = Settings("mixed", [100], 20_000, True, 100)
WALKERS = 128


def run(chain, target, settings):
    """A chain to its end, and what it cost."""
    began = time.process_time()
    while not is_finished(chain, settings):
        chain = advance(chain, target, settings)
    return chain, time.process_time() - began


def told(name, chain, seconds, evaluations):
    """One line, with the quantiles of the chain that counts."""
    flat = chain.past.reshape(-1, chain.past.shape[-1])
    low, middle, high = np.quantile(flat, [0.16, 0.5, 0.84], axis=0)
    diagnosis = diagnose(chain)
    cells = ", ".join(
        f"{m:.3f} +- {(h - lo) / 2:.3f}" for lo, m, h in zip(low, middle, high, strict=True)
    )
    print(f"{name}: {chain.steps} steps count, {evaluations} likelihoods, {seconds:.1f} s "
          f"({evaluations / seconds:.0f} / s), tau {diagnosis.tau.max():.0f}, "
          f"R-hat {diagnosis.rhat.max():.2f}: {cells}", flush=True)  # fmt: skip
    return middle, (high - low) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("pairs")
    parser.add_argument("--direct", type=int, default=20, help="steps with FSPS")
    parser.add_argument("--row", type=int, default=0, help="which of the test spectra")
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior, store = load_posterior(options.flow), open_complete(options.pairs, "augment")
    row = split_of(store.settings, store.rows, "test").start + options.row
    theta, *spectrum = (store.read(name, slice(row, row + 1)) for name in ("theta", "flux", "ivar"))
    batch = Batch(*spectrum, np.zeros(1, int))
    print("truth, coordinates of the prior:", posterior.prior.coordinates(theta[0]).round(3))

    def start(engine, where, moves):
        scout, likelihood = log_likelihoods(posterior, engine, "given", batch)
        rng = np.random.default_rng(options.row)
        return target_and_first_chain(
            where, moves, posterior, batch, scout, likelihood, WALKERS, rng
        )

    target, first = start("table", "optimiser", "stretch")
    total = sum(PAPER.burn_in) + PAPER.steps
    chain, seconds = run(first(), target, PAPER)
    table = told("paper's chain, table", chain, seconds, WALKERS * total)
    target, first = start("table", "flow", "mixed")
    converged, own = run(first(), target, DEFAULT)
    best = told(
        "converged, table", converged, own, WALKERS * (converged.steps + DEFAULT.burn_in[0])
    )
    if options.direct:
        target, _ = start("prospector", "optimiser", "stretch")
        target(chain.z[:2])  # FSPS starts once
        few = Settings("stretch", [], options.direct, False, 5)
        began = time.monotonic()
        direct, _ = run(begin(target, chain.z, np.random.default_rng(1)), target, few)
        wall, steps = time.monotonic() - began, options.direct + 1
        middle, _ = told("FSPS, short", direct, wall, WALKERS * steps)
        wall *= total / steps
        print(f"FSPS, the paper's chain extrapolated: {wall / 3600:.1f} h of one core")
        print(
            f"  {wall / seconds:.0f} times the table's, {wall / own:.0f} times a converged chain's"
        )
        apart = (middle - table[0]) / table[1]
        print("medians, FSPS - paper's chain by the table, sd:", apart.round(2))
    print("medians, paper's chain - converged, sd:", ((table[0] - best[0]) / best[1]).round(2))
    print("widths, paper's chain / converged:", (table[1] / best[1]).round(2))


if __name__ == "__main__":
    main()
