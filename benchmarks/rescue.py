"""What the rescue's numbers are worth: spectra saved, draws, time, and truth of the evidence.

    python benchmarks/rescue.py FLOW_FOLDER PAIRS [--spectra 100]

Of the test split of the pairs (those of `augment` that the flow's run made) the first spectra whose
weights are weak without a rescue. For each setting: share that is strong after it, draws and CPU
milliseconds a spectrum of the rescue, proposals, and ln evidence less that of 40 000 draws of the
last proposal (median, mean, standard deviation; nat), which took no part in stopping.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from held_out_pairs import judged_pairs

from hpcsbi.inference.sampling import rescue
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.inference.sampling.rescue import Effort
from hpcsbi.run.flows import load_posterior
from hpcsbi.statistics.importance_weights import strong

EFFORTS = {
    "as it is": Effort(),
    "steps of 500": Effort(least=500),
    "steps of 2000": Effort(least=2000),
    "steps do not grow": Effort(share=0),
    "patience 1000": Effort(patience=1000),
    "patience 8000": Effort(patience=8000),
    "at most 16 000": Effort(most=16_000),
}
CONSTANTS = {
    "nearly normal": {"FREEDOM": 1000},
    "tails of 4 degrees": {"FREEDOM": 4},
    "inflated by 1.1": {"INFLATED": 1.1},
    "inflated by 1.3": {"INFLATED": 1.3},
    "fits to 50": {"LEAST": 50},
    "fits to 200": {"LEAST": 200},
}
LEVELS = [0.16, 0.5, 0.84]


def weak_spectra(posterior, pairs, n):
    """Spectra that the flow alone does not certify, and its draws."""
    _, batch = judged_pairs(posterior, pairs, 20 * n)
    some = []
    for start in range(0, len(batch), 50):
        part = batch[start : start + 50]
        drawn = posterior.sample(part, 1000, cap=50)
        numbers = certify(posterior, posterior.likelihood, drawn, part, LEVELS, None).numbers
        weak = ~strong(numbers["ess"], numbers["pareto_k"])
        some.extend(start + np.flatnonzero(weak))
        if len(some) >= n:
            break
    print(f"weak: {len(some)} of {start + len(part)}")
    batch = batch[np.array(some[:n])]
    return batch, posterior.sample(batch, 1000, cap=50)


def tried(posterior, batch, drawn, effort):
    """Numbers of the certificate, and CPU milliseconds a spectrum of the rescue."""
    clock = [time.process_time()]
    for each in (None, effort):
        found = certify(posterior, posterior.likelihood, drawn, batch, LEVELS, each)
        clock.append(time.process_time())
    weighing, both = np.diff(clock)
    return found.numbers, (both - weighing) / len(batch) * 1e3


def main():
    """Print the table of one flow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("pairs")
    parser.add_argument("--spectra", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    batch, drawn = weak_spectra(posterior, options.pairs, options.spectra)
    long = Effort(least=40_000, most=400_000)
    truth = tried(posterior, batch, drawn, long)[0]["log_evidence"]
    settings = [(name, effort, {}) for name, effort in EFFORTS.items()]
    settings += [(name, Effort(), constants) for name, constants in CONSTANTS.items()]
    print("| | strong | draws: mean, 90 % | CPU ms | ln evidence: median, mean, sd |")
    for name, effort, constants in settings:
        before = {constant: getattr(rescue, constant) for constant in constants}
        for constant, value in constants.items():
            setattr(rescue, constant, value)
        # Other random numbers than those of the long run.
        other = replace(batch, seeds=batch.seeds + 10**6)
        numbers, ms = tried(posterior, other, drawn, effort)
        for constant, value in before.items():
            setattr(rescue, constant, value)
        good, n = strong(numbers["ess"], numbers["pareto_k"]), numbers["n_weights"]
        off = (numbers["log_evidence"] - truth)[good & np.isfinite(truth)]
        print(
            f"| {name} | {good.mean():.3f} | {n.mean():.0f}, {np.quantile(n, 0.9):.0f} | {ms:.0f} "
            f"| {np.median(off):.3f}, {off.mean():.3f}, {off.std():.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
