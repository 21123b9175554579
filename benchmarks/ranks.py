"""CPU time of a likelihood against the rank of what is integrated out, over that of rank 3.

    OMP_NUM_THREADS=1 python benchmarks/ranks.py [--table ssp.zarr] [--prior survey]

Rank 3 is the flux calibration alone. `any` integrates templates out that reach all pixels, by the
loop of the calibration; `smooth` has the calibration and a smooth error of the model of so many
templates in all, of which six reach a pixel. Draws lie close to a truth, as those of a posterior
do; one object, table included, least of some rounds in which all take turns.
"""

import argparse
import time

import numpy as np
import torch
import yaml
from histories import CONF
from likelihood_speed import near

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.likelihood import Likelihood
from hpcsbi.simulator.noise import SurveyNoise
from hpcsbi.simulator.prior import Prior
from hpcsbi.simulator.templates import DEGREE, SmoothError
from hpcsbi.stages.tabulate import SHIPPED

RANKS = (0, 3, 6, 10, 20, 30, 60, 100)
ORDERS = 3  # templates of the calibration
DRAWS, ROUNDS = 4096, 9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", default=str(SHIPPED))
    parser.add_argument("--prior", default="survey")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = yaml.safe_load((CONF / "prior" / f"{options.prior}.yaml").read_text())
    prior = Prior(settings["columns"], settings["bound_age"])
    engine = load_engine(options.table, prior)
    truth = torch.from_numpy(prior.sample(1, np.random.default_rng(0), 0.1)).float()
    wave, generator = torch.from_numpy(engine.wave).float(), torch.Generator().manual_seed(0)
    floor = truth[:, prior.names.index("noise_floor")]
    with torch.no_grad():
        flux, ivar, _ = SurveyNoise((50, 60))(
            engine.flux(truth, prior.names), wave, floor, generator
        )
    theta = near(truth[0], prior)[None, :DRAWS]
    kinds = {"any": of_any_rank, "smooth": of_smooth_rank}
    cases = {
        (kind, rank): made(engine, prior, rank)
        for kind, made in kinds.items()
        for rank in RANKS
        if kind == "any" or rank > ORDERS + DEGREE
    }
    seconds = dict.fromkeys(cases, np.inf)
    for _ in range(ROUNDS):
        for case, likelihood in cases.items():
            with torch.no_grad():
                began = time.process_time()
                likelihood(flux, ivar, theta)
            seconds[case] = min(seconds[case], time.process_time() - began)
    unit = seconds["any", ORDERS]
    print(f"{len(wave)} pixels; rank {ORDERS} takes {1e6 * unit / DRAWS:.2f} us of CPU")
    for rank in RANKS:
        ratios = [
            f"{kind} {seconds[kind, rank] / unit:5.2f}" for kind in kinds if (kind, rank) in cases
        ]
        print(f"rank {rank:3d}: {', '.join(ratios)}")


def of_any_rank(engine, prior, rank):
    """A likelihood with so many templates that reach all pixels."""
    likelihood = Likelihood(engine, prior.names, "survey")
    if rank:
        curves = np.random.default_rng(1).normal(size=(rank, engine.pixels))
        likelihood.amplitudes.curves = torch.from_numpy(0.01 * curves)
        likelihood.amplitudes.everywhere = rank
    return likelihood


def of_smooth_rank(engine, prior, rank):
    """The calibration and a smooth error, of so many templates in all."""
    pieces = rank - ORDERS - DEGREE
    smooth = SmoothError(float(np.ptp(engine.wave)) / pieces, 0.01)
    likelihood = Likelihood(engine, prior.names, "survey", None, 0.04, smooth)
    assert len(likelihood.amplitudes) == rank
    return likelihood


if __name__ == "__main__":
    main()
