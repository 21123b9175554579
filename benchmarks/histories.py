"""One spectrum under several star-formation histories: evidence, ages and a figure, no flow.

    python benchmarks/histories.py SPECTRA ID [--table ssp.zarr] [--priors survey burst ...]
        [--figure histories.png]

SPECTRA is a store of ingest, ID one of its ids. Importance sampling in rounds (as the start of a
chain is found) of each prior of conf/prior under the likelihood of surveys, at the redshift of the
object. Printed of each: ln evidence, effective draws, Pareto's k, CPU seconds, misfit, predictive p
and derived quantities (16, 50, 84 %); the figure has star formation rates against lookback time.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import yaml

from hpcsbi.mcmc.chain import Target
from hpcsbi.mcmc.coordinates import Anchored
from hpcsbi.mcmc.starts import explore
from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.galaxy.histories import family_of
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.probability.predictive import predict
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.statistics.importance_weights import (
    effective_sample_size,
    log_evidence,
    normalised,
    pareto_smoothed,
    systematic,
)
from hpcsbi.statistics.mixture import Mixture
from hpcsbi.store.opening import open_complete

CONF = Path(__file__).parents[1] / "conf"
PRIORS = ("survey", "burst", "truncated", "continuity", "post_starburst")
WALKERS, DRAWS, ENOUGH, ROUNDS = 128, 40_000, 1000, 3
SHOWN = ("logmass_surviving", "sfr_100myr", "mass_weighted_age", "t50", "t90", "av")
TIMES = np.geomspace(0.01, 13.0, 120)  # Gyr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("spectra")
    parser.add_argument("id")
    parser.add_argument("--table", default=str(SHIPPED))
    parser.add_argument("--priors", nargs="+", default=PRIORS)
    parser.add_argument("--figure", default="histories.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spectra = open_complete(options.spectra, "ingest")
    row = np.flatnonzero(spectra.read("id") == options.id)
    flux, ivar = (spectra.read(name, row) for name in ("flux", "ivar"))
    zred = float(spectra.read("zred", row)[0])
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in options.priors:
        settings = yaml.safe_load((CONF / "prior" / f"{name}.yaml").read_text())
        prior = Prior(settings["columns"], settings["bound_age"])
        engine = load_engine(options.table, prior)
        likelihood = of_simulator(engine, prior.names, noise())
        began = time.process_time()
        theta, *figures = sampled(prior, engine, likelihood, flux, ivar, zred)
        evidence, error, ess, k = figures
        seconds = time.process_time() - began
        misfit, p = predict(likelihood, theta[None], flux, ivar)
        print(
            f"{name}: {len(prior.inferred_names)} parameters, ln evidence {evidence:.2f} +- "
            f"{error:.2f} ({ess:.0f} effective of {DRAWS}, k {k:.2f}), {seconds:.0f} CPU s; "
            f"chi2 {misfit[0]:.2f} a pixel, p {p[0]:.2f}"
        )
        derived = load_derived(options.table, engine)
        values = dict(zip(derived.names, derived(theta, prior.names).T, strict=True))
        for quantity in SHOWN:
            low, middle, high = np.quantile(values[quantity], [0.16, 0.5, 0.84])
            print(f"    {quantity} {middle:.3g} ({low:.3g} to {high:.3g})")
        rate = rates(prior, theta)
        low, middle, high = np.quantile(rate, [0.16, 0.5, 0.84], axis=0)
        [line] = axes.loglog(TIMES, middle, label=f"{name}, ln Z {evidence:.1f}")
        axes.fill_between(TIMES, low, high, alpha=0.2, color=line.get_color())
    axes.set(xlabel="lookback time [Gyr]", ylabel="SFR [Msun / yr]", ylim=(1e-3, None))
    axes.legend()
    figure.savefig(options.figure, dpi=120)


def noise():
    """That of surveys, as conf/noise has it."""
    settings = yaml.safe_load((CONF / "noise" / "survey.yaml").read_text())
    return SurveyNoise(**{key: value for key, value in settings.items() if key[0] != "_"})


def rates(prior, theta):
    """Star formation rate between TIMES, Msun / yr, shape (draws, times)."""
    column = dict(zip(prior.names, theta.T.astype(float), strict=True))
    edges = np.append(TIMES / 1.05, TIMES[-1] * 1.05)
    shares = [family_of(prior.names).younger(edge, column) for edge in edges]
    formed = 10 ** column["logmass"] * np.diff(shares, axis=0) / (np.diff(edges)[:, None] * 1e9)
    return formed.T


def sampled(prior, engine, likelihood, flux, ivar, zred):
    """Equally weighted theta, ln evidence with its error, effective draws and Pareto's k."""
    seen = torch.tensor(flux), torch.tensor(ivar)
    batch = Batch(flux, ivar, np.zeros(1, dtype=int), np.array([zred]))

    @torch.no_grad()
    def log_likelihood(theta):
        return likelihood(*seen, torch.tensor(theta, dtype=torch.float32)[None])[0].numpy()

    rng = np.random.default_rng(0)
    target = Target(log_likelihood, Anchored(prior, engine, batch))
    first = Mixture.normal(len(prior.inferred_names))
    for _ in range(ROUNDS):
        z, first = explore(target, first, WALKERS, rng)
        z = first.sample(DRAWS, rng)
        log_weights = target(z) - first.log_prob(z)
        smoothed, k = pareto_smoothed(log_weights)
        if effective_sample_size(log_weights) > ENOUGH:
            break
    coordinates = target.space(z)[0]
    chosen = rng.permutation(systematic(normalised(smoothed), 2000, rng.random()))
    evidence, error = log_evidence(smoothed)
    theta = prior.theta(coordinates[chosen], np.float32)
    return theta, evidence, error, effective_sample_size(log_weights), k


if __name__ == "__main__":
    main()
