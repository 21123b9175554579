"""What the catalogue's row of a galaxy costs on one core, part by part, and how strong it is.

    OMP_NUM_THREADS=1 python benchmarks/galaxy_cost.py FLOW_FOLDER TRAINING_STORE [--spectra 500]

The first test spectra of the store go through `measure`, as in `infer`: draws, certificate, rescue,
derived quantities, checks. CPU time, that of compiling and loading left out. A rate counts strong
rows only: k below 0.7 and 200 effective draws.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps

import numpy as np
import torch
from held_out_pairs import judged_pairs

from hpcsbi.inference.columns import measurement
from hpcsbi.inference.sampling import certificate
from hpcsbi.run.flows import load_posterior
from hpcsbi.statistics.importance_weights import strong

DRAWS, CAP, PIECE, WARM = 1000, 50, 100, 10
RUNNING = []  # parts, the outer ones first
PARTS = {  # functions of these modules
    "weights": (certificate, ["_of_flow"]),
    "rescue": (certificate, ["_rescued"]),
    "derived quantities": (measurement, ["derived_quantiles"]),
    "lines": (measurement, ["observed_line_columns", "line_excess_columns"]),
    "checks": (measurement, ["predictive_columns", "outside_training", "_older_than_universe"]),
    "prior shares": (measurement, ["prior_shares"]),
}


def main() -> None:
    """Print the cost, the parts, and shares of strong weights before and after the rescue."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("training")
    parser.add_argument("--spectra", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    _, spectra = judged_pairs(posterior, options.training, options.spectra + WARM)
    measurement.measure(posterior, spectra[:WARM], DRAWS, CAP, True)
    spectra, spent = spectra[WARM:], Counter()
    for part, (module, names) in PARTS.items():
        for name in names:
            setattr(module, name, timed(getattr(module, name), part, spent))
    posterior.sample = timed(posterior.sample, "drawing", spent)
    first = certificate.certify
    before = []

    def certify(*arguments):
        found = first(*arguments)
        before.append(strong(found.before["ess"], found.before["pareto_k"]))
        return found

    measurement.certify, columns = certify, []
    began = time.process_time()
    for start in range(0, len(spectra), PIECE):
        piece = spectra[start : start + PIECE]
        columns.append(measurement.measure(posterior, piece, DRAWS, CAP, True).columns)
    total = time.process_time() - began
    ess, k = (np.concatenate([each[name] for each in columns]) for name in ("ess", "pareto_k"))
    good, n = strong(ess, k), len(spectra)
    print(
        f"{n} spectra: {total / n * 1e3:.1f} CPU ms each, {good.sum() / total:.1f} strong a second "
        f"and core; strong {np.concatenate(before).mean():.3f} before the rescue, "
        f"{good.mean():.3f} after; effective draws {np.median(ess):.0f}"
    )
    parts = dict(spent.most_common()) | {"all else": total - sum(spent.values())}
    print("ms: " + ", ".join(f"{part} {value / n * 1e3:.1f}" for part, value in parts.items()))


def timed(function: Callable, part: str, spent: Counter) -> Callable:
    """The same, its CPU time added to a part; of parts in one another the outer one has it all."""

    @wraps(function)
    def called(*arguments, **options):
        outside = not RUNNING
        RUNNING.append(part)
        began = time.process_time()
        found = function(*arguments, **options)
        RUNNING.pop()
        if outside:
            spent[part] += time.process_time() - began
        return found

    return called


if __name__ == "__main__":
    main()
