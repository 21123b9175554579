"""What a GPU is worth: pairs a second and time to a held-out score, and galaxies a second.

    python benchmarks/devices.py [--device auto] [--representations projection optimum]
        [--steps 1500] [--batch 512] [--passes 4] [--target 3.0] [--pairs 16384] [--spectra 200]

The survey's prior and noise and the shipped table. For each representation and for one core of the
processor, then for the device where that is a GPU: fresh pairs made a second (parameters, spectra,
noise and context), steps a second with and without them, and a training of --steps whose held-out
score is taken every 100 steps: at which step and after how many seconds it is at --target.

Then, by the flow of the processor on each device, what `infer` does to --spectra fresh spectra:
galaxies a second with certificate, all and strong ones, the effective number of their weighted
draws (a rate without it is none), and by how much of their widths quantiles differ from those of
the processor, of the flow and of the best there is.

Less than five minutes for each device. Seconds of the processor are those of its core, whoever else
is at work; where there is no GPU its lines come alone.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, replace

import numpy as np
import torch
from representations import TABLE, load_prior

from hpcsbi.grid import Grid
from hpcsbi.inference.columns.measurement import measure
from hpcsbi.inference.network.devices import DEVICES, device_of
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser, network_inputs
from hpcsbi.inference.network.training_pairs import FreshPairs, batches
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.inference.summary.representations import REPRESENTATIONS, fit_representation
from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.pairs import fresh_pairs
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import strong

WARM, DRAWS, CAP = 16, 1000, 50
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
    """Seconds, after all that was asked of the device is done: of the clock, or of one core."""
    if device.type == "cpu":
        return time.process_time()
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


def posterior_of(kind: str, tensors: Mapping[str, np.ndarray], device: torch.device) -> Posterior:
    """The flow with these weights, on a device."""
    prior = load_prior("survey")
    model = Model(prior, Grid(), Physics(), SurveyNoise())
    settings = {"training": model.settings(), "representation": kind, "flow": asdict(Flow())}
    ssp = load_engine(TABLE, prior)
    weights = {name: torch.from_numpy(values) for name, values in tensors.items()}
    derived = load_derived(TABLE, ssp)
    return Posterior(settings, weights, "", deepcopy(ssp), derived, device)


def fresh_spectra(posterior: Posterior, n: int) -> Batch:
    """Spectra of truths of the prior that the flow can read, next door: no age is cut."""
    wave, rng = torch.from_numpy(posterior.grid.wave).float(), np.random.default_rng(5)
    model = posterior.prior, posterior.ssp, posterior.model.noise
    with torch.no_grad():
        pairs = fresh_pairs(2 * n, *model, wave, np.zeros(len(posterior.names)), rng)
    flux, ivar = (values.numpy() for values in pairs[2:4])
    return Batch(flux, ivar, np.arange(2 * n), np.zeros(2 * n))[posterior.usable(flux, ivar)][:n]


def inferred(posterior: Posterior, batch: Batch) -> tuple[dict[str, np.ndarray], str]:
    """Columns of a catalogue, and a line that says how fast they were made."""
    measure(posterior, batch[:WARM], DRAWS, CAP, True)  # loads and compiles
    began = waited(posterior.device)
    columns = measure(posterior, batch, DRAWS, CAP, True).columns
    seconds = waited(posterior.device) - began
    good = strong(columns["ess"], columns["pareto_k"])
    share = np.median(columns["ess"] / np.maximum(columns["n_weights"], 1))
    return columns, (
        f"{len(batch)} spectra with certificate in {seconds:.1f} s: "
        f"{len(batch) / seconds:.1f} a second, strong {good.sum() / seconds:.1f} a second, "
        f"effective draws {np.median(columns['ess']):.0f} ({share:.2f} of the weighted)"
    )


def difference(columns: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> str:
    """By how much of their widths quantiles differ."""
    words = []
    for name, whose in (("flow_quantiles", "the flow"), ("quantiles", "the best there is")):
        width = np.ptp(columns[name][:, [1, 3]], axis=1)[:, None]
        apart = np.abs(other[name] - columns[name]) / width
        middle, most = np.nanquantile(apart, [0.5, 0.99])
        words.append(f"of {whose} median {middle:.1e}, 99 % {most:.1e}")
    return f"quantiles beside the processor's, in widths: {'; '.join(words)}"


def main() -> None:
    """Print four lines for each representation and device, and one more for a GPU."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument(
        "--representations", nargs="+", choices=REPRESENTATIONS, default=["projection", "optimum"]
    )
    numbers = {"steps": 1500, "batch": 512, "passes": 4, "pairs": 16384, "spectra": 200}
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--target", type=float, default=3.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = device_of(options.device, "train")
    devices = [torch.device("cpu")] + ([device] if device.type != "cpu" else [])
    for kind in options.representations:
        fits = [trained(kind, where, options) for where in devices]
        tensors = fits[0].tensors()
        posterior = posterior_of(kind, tensors, devices[0])
        batch = fresh_spectra(posterior, options.spectra)
        columns, line = inferred(posterior, batch)
        print(f"{kind}, one core: {line}", flush=True)
        for where in devices[1:]:
            other, line = inferred(posterior_of(kind, tensors, where), batch)
            print(f"{kind}, {name_of(where)}: {line}\n  {difference(columns, other)}", flush=True)


def name_of(device: torch.device) -> str:
    """In words."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "one core"


def trained(kind: str, where: torch.device, options: argparse.Namespace) -> Optimiser:
    """A training to its end, with three lines about it."""
    fit, supply = training(kind, where, options.steps, options.batch)
    rate = first_blocks(supply, fit, options.pairs)
    print(f"{kind}, {name_of(where)}: {rate:.0f} pairs a second, made and measured", flush=True)
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
    return fit


if __name__ == "__main__":
    main()
