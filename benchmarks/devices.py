"""What a GPU is worth to a training: pairs a second, and time to a stated held-out score.

    python benchmarks/devices.py [--device auto] [--representations projection optimum]
        [--steps 1500] [--batch 512] [--passes 4] [--target 3.0] [--pairs 16384]

The survey's prior and noise and the shipped table. For each representation and for one core of the
processor, then for the device where that is a GPU: fresh pairs made a second (parameters, spectra,
noise and context), steps a second with and without them, and a training of --steps whose held-out
score is taken every 100 steps: at which step and after how many seconds it is at --target. Less
than five minutes for each device. Where there is no GPU the processor's lines come alone.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from representations import TABLE, load_prior

from hpcsbi.inference.network.devices import DEVICES, device_of
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser, network_inputs
from hpcsbi.inference.network.training_pairs import FreshPairs, batches
from hpcsbi.inference.summary.representations import REPRESENTATIONS, fit_representation
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator

HELD_OUT, EVERY = 2000, 100


def training(
    kind: str, device: torch.device, steps: int, batch: int
) -> tuple[Optimiser, FreshPairs]:
    """A training at its first step, and its pairs, on the device."""
    prior, noise = load_prior("survey"), SurveyNoise()
    ssp = load_engine(TABLE, prior)
    supply = FreshPairs(prior, ssp, noise, torch.tensor(ssp.wave).float(), batch, seed=1)
    likelihood = of_simulator(ssp, prior.names, noise)
    representation = fit_representation(kind, prior, ssp.k, ssp, supply.sample, likelihood)
    return Optimiser(Flow(), representation, steps, 2e-3, seed=1, device=device), supply


def waited(device: torch.device) -> float:
    """Seconds, after all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def first_blocks(supply: FreshPairs, fit: Optimiser, pairs: int) -> float:
    """Pairs a second from parameters to context."""
    steps = max(pairs // supply.batch, 1)
    wanted = batches(supply, fit.representation, 0, steps)
    next(wanted)  # loads and compiles
    began = waited(fit.representation.device)
    made = sum(len(u) for u, _ in batches(supply, fit.representation, 0, steps))
    return made / (waited(fit.representation.device) - began)


def scores(
    fit: Optimiser, supply: FreshPairs, passes: int, held_out: tuple[torch.Tensor, ...]
) -> Iterator[tuple[int, float, float]]:
    """Step, seconds of training so far, and held-out score, every EVERY steps."""
    device = fit.representation.device
    spent, began = 0.0, waited(device)
    for u, context in batches(supply, fit.representation, 0, fit.steps, passes):
        fit.update(u, context)
        if fit.step % EVERY == 0 or fit.step == fit.steps:
            spent += waited(device) - began
            yield fit.step, spent, fit.score(held_out)
            began = waited(device)


def main() -> None:
    """Print three lines for each representation and device."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument(
        "--representations", nargs="+", choices=REPRESENTATIONS, default=["projection", "optimum"]
    )
    for name, value in {"steps": 1500, "batch": 512, "passes": 4, "pairs": 16384}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--target", type=float, default=3.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = device_of(options.device, "train")
    devices = [torch.device("cpu")] + ([device] if device.type != "cpu" else [])
    for kind in options.representations:
        for where in devices:
            name = torch.cuda.get_device_name() if where.type == "cuda" else "one core"
            fit, supply = training(kind, where, options.steps, options.batch)
            rate = first_blocks(supply, fit, options.pairs)
            print(f"{kind}, {name}: {rate:.0f} pairs a second, made and measured", flush=True)
            truth = replace(supply, batch=HELD_OUT // 16, seed=2).make(0, torch.zeros(7))
            inputs = network_inputs(fit.representation, truth)
            reached = "not reached"
            for step, spent, score in scores(fit, supply, options.passes, inputs):
                if score >= options.target and reached == "not reached":
                    reached = f"after {step} steps and {spent:.0f} s"
            print(
                f"  {options.steps} steps of {options.batch} in {spent:.0f} s "
                f"({step / spent:.0f} a second), held out {score:.3f} nat\n"
                f"  {options.target} nat: {reached}",
                flush=True,
            )


if __name__ == "__main__":
    main()
