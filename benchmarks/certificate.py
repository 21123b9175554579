"""What the certificate says of a flow, where it is hard, what the rescue saves and what it costs.

    python benchmarks/certificate.py FLOW_FOLDER [--spectra 1000] [--corner 200] [--draws 1000]

Spectra are made afresh: draws of the flow's prior, and of corners of it drawn on purpose. A corner
that the prior does not have is replaced by the part of the prior that comes nearest, and the table
says so. Printed for each: ESS over draws (median, 1 %); the shares with k < 0.7 and with strong
weights (k < 0.7 and ESS of 200) before and after the rescue; CPU milliseconds a spectrum of
drawing, weighting and rescuing; and the mean log density of the truth in `Prior.coordinates`: that
of the flow, what the exact posterior has more, and the error of that (spectra with strong weights).
"""

import argparse
import time

import numpy as np
import torch

from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.inference.sampling.rescue import Effort
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import LARGEST_K, strong

LEVELS = [0.025, 0.16, 0.5, 0.84, 0.975]


def corners(prior):
    """What lies in each corner, by name: functions of theta's columns."""
    tage, dust2 = prior.columns["tage"], prior.columns["dust2"]
    young = max(0.1, tage.low + 0.05 * (tage.high - tage.low)) if tage.low >= 0.1 else 0.1
    dusty = min(9.5, dust2.high - 0.05 * (dust2.high - dust2.low))
    return {
        "prior": lambda theta: theta["tage"] > -1,
        f"tage < {young:.3g} Gyr": lambda theta: theta["tage"] < young,
        "logzsol > 0": lambda theta: theta["logzsol"] > 0,
        f"dust2 > {dusty:.3g}": lambda theta: theta["dust2"] > dusty,
        "tage/tau > 10": lambda theta: theta["tage"] / theta["tau"] > 10,
    }


def draw(prior, n, inside, rng):
    """n rows of theta in a corner, and redshifts for priors that need one."""
    found, zred = [], None
    while sum(map(len, found)) < n:
        theta = prior.sample(100 * n, rng, 0.1 if prior.bound_age else None)
        found.append(theta[inside(dict(zip(prior.names, theta.T, strict=True)))])
    if prior.bound_age:
        zred = np.full(n, 0.1)
    return np.concatenate(found)[:n], zred


def observe(posterior, theta, seed):
    """Noisy spectra of theta."""
    rows = torch.from_numpy(theta).float()
    column = dict(zip(posterior.names, rows.T, strict=True))
    nuisances = column.get("noise_floor"), torch.Generator().manual_seed(seed), None
    noise = posterior.model.noise
    wave = torch.from_numpy(posterior.grid.wave).float()
    with torch.no_grad():
        clean = posterior.ssp.flux(rows, posterior.names)
    flux, ivar, _ = noise(clean, wave, *nuisances, column.get("model_error"))
    return flux.numpy(), ivar.numpy()


def judge(posterior, theta, zred, draws, seed):
    """One row of the table."""
    flux, ivar = observe(posterior, theta, seed)
    batch = Batch(flux, ivar, np.arange(len(theta)) + 1_000_000 * seed, zred)
    likelihood = posterior.likelihood
    posterior.sample(batch[:1], draws)  # what is compiled loads once
    clock = [time.process_time()]
    drawn = posterior.sample(batch, draws, cap=50)
    clock.append(time.process_time())
    found = []
    for effort in (None, Effort()):
        found.append(certify(posterior, likelihood, drawn, batch, LEVELS, effort).numbers)
        clock.append(time.process_time())
    drawing, weighting, both = np.diff(clock) * 1e3 / len(theta)
    with torch.no_grad():
        truth = torch.from_numpy(theta).float()[:, None]
        exact = likelihood(torch.from_numpy(flux), torch.from_numpy(ivar), truth)[:, 0].numpy()
    good = strong(found[1]["ess"], found[1]["pareto_k"])
    log_prior = -np.log(posterior.prior.upper(zred) - posterior.prior.low).sum(-1)
    score = posterior.log_prob(posterior.prior.coordinates(theta), flux, ivar)
    score -= np.log(np.maximum(drawn.acceptance, 1e-6))
    gap = (exact + log_prior - found[1]["log_evidence"] - score)[good]
    return {
        "share": np.percentile(found[0]["ess"] / draws, [50, 1]),
        "k": [(one["pareto_k"] < LARGEST_K).mean() for one in found],
        "strong": [strong(one["ess"], one["pareto_k"]).mean() for one in found],
        "ms": [drawing, weighting, both - weighting],
        "score": [score[good].mean(), gap.mean(), gap.std() / np.sqrt(len(gap))],
    }


def main():
    """Print the table of one flow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("--spectra", type=int, default=1000)
    parser.add_argument("--corner", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    print(f"{options.flow}: {options.draws} draws")
    print("| | n | ESS/N 50 %, 1 % | k < 0.7 | strong | ms: draw, weigh, rescue | ln q, exact - |")
    for seed, (name, inside) in enumerate(corners(posterior.prior).items(), 1):
        n = options.spectra if name == "prior" else options.corner
        theta, zred = draw(posterior.prior, n, inside, np.random.default_rng(seed))
        row = judge(posterior, theta, zred, options.draws, seed)
        print(
            f"| {name} | {n} | {row['share'][0]:.3f}, {row['share'][1]:.3f} "
            f"| {row['k'][0]:.4f} -> {row['k'][1]:.4f} "
            f"| {row['strong'][0]:.4f} -> {row['strong'][1]:.4f} "
            f"| {', '.join(f'{ms:.1f}' for ms in row['ms'])} "
            "| {:.3f}, {:.3f} +- {:.3f} |".format(*row["score"]),
            flush=True,
        )


if __name__ == "__main__":
    main()
