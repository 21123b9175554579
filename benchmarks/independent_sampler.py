"""Nested sampling by nautilus of the spectra that were fitted: does it find what the chains found?

    python benchmarks/independent_sampler.py RUN_FOLDER FLOW_FOLDER [--fits fits.zarr] [--first 3]

It starts from the whole prior and never sees the flow. Printed for each converged chain of the
run's fits: the largest 1-D Wasserstein distance over the parameters between the two, in sd of the
chain; ln evidence by nautilus and by the certificate of the catalogue; likelihoods and CPU seconds.
"""

import argparse
import time
from pathlib import Path

import nautilus
import numpy as np
import torch

from hpcsbi.run.flows import load_posterior
from hpcsbi.statistics.distances import wasserstein
from hpcsbi.store.opening import open_complete

LIVE, EFFECTIVE = 2000, 5000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("flow")
    parser.add_argument("--fits", default="fits.zarr")
    parser.add_argument("--first", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    spectra = open_complete(options.run / "spectra.zarr", "ingest")
    catalogue = open_complete(options.run / "catalogue.zarr", "infer")
    fits = open_complete(options.run / options.fits, "fit")
    for row in np.flatnonzero(fits.read("converged"))[: options.first]:
        spectrum = fits.read("spectrum")[row]
        flux, ivar = (spectra.read(name, np.array([spectrum]))[0] for name in ("flux", "ivar"))
        began = time.process_time()
        theta, evidence, calls = nested(posterior, flux, ivar, float(fits.read("zred")[row]))
        seconds = time.process_time() - began
        chain, own = (posterior.prior.coordinates(a) for a in (fits.read("samples")[row], theta))
        far = wasserstein(chain.astype(float), own)
        told, error = (catalogue.read(name)[spectrum] for name in EVIDENCE)
        print(
            f"{fits.read('id')[row]}: {far.max():.3f} sd ({posterior.names[far.argmax()]}), "
            f"ln evidence {evidence:.2f} against {told:.2f} +- {error:.2f}, "
            f"{calls} likelihoods, {seconds:.0f} CPU s",
            flush=True,
        )


EVIDENCE = ("log_evidence", "log_evidence_error")


def nested(posterior, flux, ivar, zred):
    """Equally weighted theta, ln evidence and number of likelihoods."""
    prior, seen = posterior.prior, (torch.tensor(flux)[None], torch.tensor(ivar)[None])
    limit = zred if prior.bound_age else None
    width = prior.upper(limit) - prior.low

    @torch.no_grad()
    def log_likelihood(u):
        theta = torch.tensor(prior.theta(prior.low + width * u), dtype=torch.float32)
        return posterior.likelihood(*seen, theta[None])[0].numpy()

    sampler = nautilus.Sampler(
        lambda u: u, log_likelihood, n_dim=len(width), n_live=LIVE, vectorized=True,
        pass_dict=False, seed=1, pool=None,
    )  # fmt: skip
    sampler.run(n_eff=EFFECTIVE)
    u = sampler.posterior(equal_weight=True)[0]
    return prior.theta(prior.low + width * u), sampler.log_z, sampler.n_like


if __name__ == "__main__":
    main()
