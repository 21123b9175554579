"""One spectrum under several star-formation histories: evidence, ages and a figure, without a flow.

    python benchmarks/histories.py SPECTRA ID [--table ssp.zarr] [--priors survey burst ...]
        [--figure histories.png]

SPECTRA is a store of ingest, ID one of its ids. Nested sampling (nautilus) of each prior of
conf/prior under the likelihood of surveys, with the prior's ages bounded by the redshift. Printed
for each: ln evidence, likelihoods, CPU seconds, misfit, predictive p and derived quantities
(16, 50, 84 %); the figure has the star formation rate against lookback time.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import nautilus
import numpy as np
import torch
import yaml

from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.histories import family_of
from hpcsbi.simulator.likelihood import of_simulator
from hpcsbi.simulator.noise import SurveyNoise
from hpcsbi.simulator.predictive import predict
from hpcsbi.simulator.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete

CONF = Path(__file__).parents[1] / "conf"
PRIORS = ("survey", "burst", "truncated", "continuity", "post_starburst")
LIVE, EFFECTIVE = 1000, 2000
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
        theta, evidence, calls = nested(prior, likelihood, flux, ivar, zred)
        seconds = time.process_time() - began
        draws = theta[np.random.default_rng(0).permutation(len(theta))[:2000]]
        misfit, p = predict(likelihood, draws[None], flux, ivar)
        print(
            f"{name}: {len(prior.inferred_names)} parameters, ln evidence {evidence:.2f}, {calls} "
            f"likelihoods, {seconds:.0f} CPU s; chi2 {misfit[0]:.2f} a pixel, p {p[0]:.2f}"
        )
        derived = load_derived(options.table, engine)
        values = dict(zip(derived.names, derived(draws, prior.names).T, strict=True))
        for quantity in SHOWN:
            low, middle, high = np.quantile(values[quantity], [0.16, 0.5, 0.84])
            print(f"    {quantity} {middle:.3g} ({low:.3g} to {high:.3g})")
        rate = rates(prior, draws)
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


def nested(prior, likelihood, flux, ivar, zred):
    """Equally weighted theta, ln evidence and number of likelihoods."""
    seen = torch.tensor(flux), torch.tensor(ivar)
    upper = prior.upper(zred)

    def theta_of(u):
        unit = prior.given.join(u, 0.5)
        coordinates = prior.from_unit(unit, 1 - unit, np.broadcast_to(upper, unit.shape))
        coordinates[:, ~prior.inferred] = prior.given.at(zred)
        return prior.theta(coordinates, np.float32)

    @torch.no_grad()
    def log_likelihood(u):
        return likelihood(*seen, torch.from_numpy(theta_of(u))[None])[0].numpy()

    sampler = nautilus.Sampler(
        lambda u: u, log_likelihood, n_dim=len(prior.inferred_names), n_live=LIVE, vectorized=True,
        pass_dict=False, seed=1, pool=None,
    )  # fmt: skip
    sampler.run(n_eff=EFFECTIVE)
    u = sampler.posterior(equal_weight=True)[0]
    return theta_of(u), sampler.log_z, sampler.n_like


if __name__ == "__main__":
    main()
