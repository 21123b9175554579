"""What the certificate says of flows that are wrong, and of spectra that the model cannot make.

    python benchmarks/negative_controls.py FLOW_FOLDER [--spectra 300]

Test spectra are draws of the flow's prior. The flow as it is; 30 % too narrow, and half a standard
deviation off, in every direction of its base space; weighted with the sigma of the observed flux in
place of the simulator's; and spectra behind a steeper dust curve. Printed before and after the
rescue: median ESS over draws, Pareto k (median, 99 %), share of WEAK_WEIGHTS, predictive p (1 %,
median, share below 0.001).
"""

import argparse
import copy

import numpy as np
import torch

from hpcsbi.inference.columns.row_checks import predictive_columns
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import strong

DRAWS, LEVELS = 1000, [0.16, 0.5, 0.84]
STEEPER = 0.6  # exponent of the extra wavelength dependence


def observed(posterior, theta, steeper=0.0):
    """Noisy spectra of theta."""
    wave = torch.from_numpy(posterior.grid.wave).float()
    rows = torch.from_numpy(theta).float()
    with torch.no_grad():
        clean = posterior.ssp.flux(rows, posterior.names)
    dust2 = rows[:, posterior.names.index("dust2"), None]
    law = (wave / 5500) ** -0.7
    clean = clean * torch.exp(dust2 * (law - law * (wave / 5500) ** -steeper))
    noise = posterior.model.noise
    floor, generator = posterior.likelihood.floor(rows), torch.Generator().manual_seed(1)
    error = posterior.likelihood.model_error(rows) if posterior.likelihood.smooth else None
    flux, ivar, _ = noise(clean, wave, floor, generator, None, error)
    return flux.numpy(), ivar.numpy()


def spoiled(posterior, width=1.0, shift=0.0):
    """The same flow with its base space squeezed or moved: a density of its own, and wrong."""
    other = copy.copy(posterior)

    def invert(context):
        to_flow = posterior.invert(context)

        def mapped(z):
            u, log_det = to_flow(width * z + shift)
            return u, log_det + z.shape[-1] * np.log(width)

        return mapped

    other.invert = invert
    return other


def told(name, posterior, likelihood, flux, ivar):
    """Two lines of the table."""
    batch = Batch(flux, ivar, np.arange(len(flux)))
    drawn = posterior.sample(batch, DRAWS)
    for when, options in (("before", {"effort": None}), ("after", {})):
        found = certify(posterior, likelihood, drawn, batch, LEVELS, **options)
        ess, k, n = (found.numbers[key] for key in ("ess", "pareto_k", "n_weights"))
        high = np.quantile(k, 0.99, method="higher")
        columns = predictive_columns(posterior.prior, likelihood, found.draws, batch)
        p = columns["predictive_p"]
        p = p[np.isfinite(p)]
        print(
            f"| {name} | {when} | {np.median(ess / np.maximum(n, 1)):.3f} "
            f"| {np.median(k):.2f}, {high:.2f} | {1 - strong(ess, k).mean():.3f} "
            f"| {np.quantile(p, 0.01):.4f}, {np.median(p):.3f}, {(p < 1e-3).mean():.3f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("--spectra", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    theta = posterior.prior.sample(options.spectra, np.random.default_rng(0))
    flux, ivar = observed(posterior, theta)
    right = posterior.likelihood
    given = Likelihood(posterior.ssp, posterior.names, "given")
    print("| | rescue | ESS/N | k: 50 %, 99 % | weak | p: 1 %, 50 %, below 0.001 |")
    told("as it is", posterior, right, flux, ivar)
    told("30 % too narrow", spoiled(posterior, width=0.7), right, flux, ivar)
    told("0.5 sd off", spoiled(posterior, shift=0.5), right, flux, ivar)
    told("sigma of the observed flux", posterior, given, flux, ivar)
    some = theta[:, posterior.names.index("dust2")] > 1
    told("steeper dust, dust2 > 1", posterior, right, *observed(posterior, theta[some], STEEPER))


if __name__ == "__main__":
    main()
