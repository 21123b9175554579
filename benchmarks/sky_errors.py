"""What an error of the sky does to the evidence of spectra that were inferred without one.

    python benchmarks/sky_errors.py RUN [--errors 0.5 1 2 5]

RUN is a folder with catalogue.zarr (`infer.keep_draws`), spectra.zarr and ssp.zarr. Draws of each
posterior are weighted by the likelihood with the error over that without: the mean weight is the
ratio of the evidences, and the effective draws say how far it can be believed.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.theta.parameters import ZRED
from hpcsbi.statistics.importance_weights import effective_sample_size
from hpcsbi.store.opening import open_store


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--errors", nargs="+", type=float, default=[0.5, 1.0, 2.0, 5.0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    catalogue, spectra = (open_store(options.run / f"{x}.zarr") for x in ("catalogue", "spectra"))
    model = Model.of(catalogue.settings)
    engine = load_engine(str(options.run / "ssp.zarr"), model.prior)
    names = (*model.prior.names, ZRED)
    plain = of_simulator(engine, names, model.noise)
    for i, name in enumerate(catalogue.read("id")):
        row = np.array([i])
        flux, ivar = (torch.from_numpy(spectra.read(each, row)) for each in ("flux", "ivar"))
        draws = torch.from_numpy(catalogue.read("samples", row))
        draws = draws[:, torch.isfinite(draws[0]).all(-1)].float()
        zred = torch.full((*draws.shape[:2], 1), float(spectra.read("zred", row)[0]))
        theta, words = torch.cat([draws, zred], -1), []
        for error in options.errors:
            other = of_simulator(engine, names, replace(model.noise, sky_error=error))
            with torch.no_grad():
                weights = (other(flux, ivar, theta) - plain(flux, ivar, theta))[0].numpy()
            gain = np.logaddexp.reduce(weights) - np.log(len(weights))
            words.append(f"{error:g}: {gain:+.1f} ({effective_sample_size(weights):.0f} effective)")
        print(f"{name}, ln Z with an error of {', '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
