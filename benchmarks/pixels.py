"""What finer pixels are worth: posterior widths of one and the same light on two grids.

    python benchmarks/pixels.py TABLE FINE_TABLE [--prior survey] [--sn 20] [--draws 300]

Of draws of the prior the covariance at the truth (Fisher information of all pixels, with the
variances of the prior), for noise of a constant signal-to-noise ratio, which is that of a pixel of
the first table; a pixel of the other has as much less as it is narrower. No noise floor, no error
of calibration: they are white in every pixel, or what a survey makes of them. Printed of a column:
the median posterior width over that of the prior on both grids, and the median of their ratios.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import yaml

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.theta.prior import Prior

CONF = Path(__file__).parents[1] / "conf"
LEFT_OUT = ("noise_floor",)
STEP = 1e-4  # of a column's width


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs=2)
    parser.add_argument("--prior", default="survey")
    parser.add_argument("--sn", type=float, default=20.0)
    parser.add_argument("--draws", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = yaml.safe_load((CONF / "prior" / f"{options.prior}.yaml").read_text())
    prior = Prior(settings["columns"], settings["bound_age"])
    rng = np.random.default_rng(0)
    coordinates = prior.sample_coordinates(options.draws, rng)
    scale = prior.sample_coordinates(20_000, rng).std(0)
    columns = [
        i for i, name in enumerate(prior.names) if prior.inferred[i] and name not in LEFT_OUT
    ]
    engines = [load_engine(table, prior).double() for table in options.tables]
    first = np.gradient(engines[0].wave)
    widths = [
        of_grid(engine, prior, coordinates, scale, columns, options.sn, first) for engine in engines
    ]
    print(f"{'column':18s} {'coarse':>8s} {'fine':>8s} {'ratio':>8s}")
    for k, i in enumerate(columns):
        coarse, fine = (width[:, k] for width in widths)
        figures = np.median(coarse), np.median(fine), np.median(fine / coarse)
        print(f"{prior.names[i]:18s} {figures[0]:8.3f} {figures[1]:8.3f} {figures[2]:8.3f}")


def of_grid(engine, prior, coordinates, scale, columns, sn, coarse):
    """Posterior over prior width of each draw and column."""
    pixel = np.gradient(engine.wave) / np.interp(
        engine.wave, np.linspace(*engine.wave[[0, -1]], len(coarse)), coarse
    )
    inside = coordinates.clip(prior.low + STEP * scale, prior.high - STEP * scale)
    slopes = []
    for i in columns:
        shift = np.zeros(len(scale))
        shift[i] = STEP * scale[i]
        low, high = (log_flux(engine, prior, inside + side * shift) for side in (-1, 1))
        slopes.append((high - low) / (2 * STEP))  # a prior's width
    slopes = np.stack(slopes, -1)
    information = np.einsum("npa,p,npb->nab", slopes, sn**2 * pixel, slopes)
    covariance = np.linalg.inv(information + np.eye(len(columns)))
    return np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


@torch.no_grad()
def log_flux(engine, prior, coordinates):
    return engine.flux(torch.tensor(prior.theta(coordinates)), prior.names).log().numpy()


if __name__ == "__main__":
    main()
