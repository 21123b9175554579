"""What a representation is worth: held-out log density after equal CPU time, in one run.

    python benchmarks/representations.py [--seconds 120] [--cases digs survey]

For each prior with its noise, the same flow learns from each representation for the same CPU time
(of all threads: simulation, representation and network), with a learning rate that ends at zero.
The score is the mean log density of the truth on 5000 fresh pairs, in `Prior.coordinates`, with its
standard error.
"""

import argparse
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import torch
import yaml

from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser, network_inputs
from hpcsbi.inference.network.training_pairs import FreshPairs, batches
from hpcsbi.inference.summary.representations import fit_representation
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.theta.prior import Prior

TABLE = Path(str(files("hpcsbi"))) / "data" / "ssp_demo.zarr"
CASES = {
    "digs": (FractionalNoise(), ("plain", "equivariant", "equivariant, no anchor")),
    "survey": (SurveyNoise(), ("pixels", "projection, no anchor", "projection", "optimum")),
}
PROBE = 192
PASSES = {"optimum": 4}  # through each block of pairs, where it is not one


def load_prior(name: str) -> Prior:
    """Prior of conf/prior."""
    text = (Path(__file__).parents[1] / "conf" / "prior" / f"{name}.yaml").read_text()
    return Prior(**{key: value for key, value in yaml.safe_load(text).items() if key[0] != "_"})


def run(fit: Optimiser, supply: FreshPairs, passes: int) -> float:
    """Train to the end of the budget; CPU seconds it took."""
    start = time.process_time()
    for u, context in batches(supply, fit.representation, 0, fit.steps, passes):
        fit.update(u, context)
    return time.process_time() - start


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    options = parser.parse_args()
    seconds = options.seconds
    torch.set_num_threads(1)
    for name in options.cases:
        noise, kinds = CASES[name]
        prior = load_prior(name)
        ssp = load_engine(TABLE, prior)
        wave = torch.tensor(ssp.wave).float()
        supply = FreshPairs(prior, ssp, noise, wave, batch=512, seed=1)
        held_out = replace(supply, batch=313, seed=2).make(0, torch.zeros(len(prior.names)))
        for case in kinds:
            kind, _, bare = case.partition(", ")
            anchor = None if bare else ssp
            likelihood, passes = of_simulator(ssp, prior.names, noise), PASSES.get(kind, 1)
            representation = fit_representation(
                kind, prior, ssp.k, anchor, supply.sample, likelihood
            )
            probe = Optimiser(Flow(), representation, PROBE, 2e-3, seed=1)
            steps = int(seconds / (run(probe, supply, passes) / PROBE))
            fit = Optimiser(Flow(), representation, steps, 2e-3, seed=1)
            spent = run(fit, supply, passes)
            with torch.no_grad():
                u, context, log_det = network_inputs(representation, held_out)
                scores = fit.network.log_prob(u, context) + log_det
            error = scores.std() / len(scores) ** 0.5
            print(
                f"{name:>7}  {case:<24} {steps:6d} steps {spent:4.0f} CPU s "
                f"{scores.mean():7.3f} +- {error:.3f} nat",
                flush=True,
            )


if __name__ == "__main__":
    main()
