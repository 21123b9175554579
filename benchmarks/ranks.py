"""CPU time of a likelihood against the rank of what is integrated out, over that of rank 3.

    OMP_NUM_THREADS=1 python benchmarks/ranks.py [--table ssp.zarr] [--prior survey] [--draws 4096]

Rank 3 is the flux calibration alone. `any` integrates templates out that reach all pixels, by the
loop of the calibration; `smooth` has the calibration and a smooth error of the model of so many
templates in all, of which six reach a pixel. Last stands one error of the model after the other.
Draws lie close to a truth, as those of a posterior do; one object, table included, least of some
rounds in which all take turns.
"""

import argparse
import time

import numpy as np
import torch
import yaml
from histories import CONF
from likelihood_speed import near

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.additive_errors import KM
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.templates import DEGREE, SmoothError
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.theta.parameters import ZRED
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED

RANKS = (0, 3, 6, 10, 20, 30, 60, 100)
ORDERS = 3  # templates of the calibration
DRAWS, ROUNDS = 4096, 9
ERRORS = {  # one after the other; those that pixels or theta do not allow are passed over
    "calibration": 0.04,
    "model_error": 0.01,
    "line_error": 1.0,
    "redshift_error": 30.0,
    "width_error": 80.0,
    "sky_error": 2.0,
}
SLOPES, WIDE = ("redshift_error", "width_error"), 440 * KM  # pixels from which there are none


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", default=str(SHIPPED))
    parser.add_argument("--prior", default="survey")
    parser.add_argument("--draws", type=int, default=DRAWS)
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
    theta = near(truth[0], prior)[None, : options.draws]
    if ZRED in prior.names:  # known of the object, and so the same in all of its draws
        theta[..., prior.names.index(ZRED)] = truth[0, prior.names.index(ZRED)]
    kinds = {"any": of_any_rank, "smooth": of_smooth_rank}
    cases = {
        (kind, rank): made(engine, prior, rank)
        for kind, made in kinds.items()
        for rank in RANKS
        if kind == "any" or rank > ORDERS + DEGREE
    }
    cases |= {("errors", name): made for name, made in of_errors(engine, prior).items()}
    seconds = dict.fromkeys(cases, np.inf)
    for _ in range(ROUNDS):
        for case, likelihood in cases.items():
            with torch.no_grad():
                began = time.process_time()
                likelihood(flux, ivar, theta)
            seconds[case] = min(seconds[case], time.process_time() - began)
    unit = seconds["any", ORDERS]
    print(f"{len(wave)} pixels; rank {ORDERS} takes {1e6 * unit / options.draws:.2f} us of CPU")
    for rank in RANKS:
        ratios = [
            f"{kind} {seconds[kind, rank] / unit:5.2f}" for kind in kinds if (kind, rank) in cases
        ]
        print(f"rank {rank:3d}: {', '.join(ratios)}")
    for (kind, name), likelihood in cases.items():
        if kind == "errors":
            ratio = seconds[kind, name] / unit
            print(f"with {name}: rank {len(likelihood.amplitudes)}, {ratio:5.2f}")


def of_errors(engine, prior):
    """Likelihoods with the first of ERRORS, the first two, and so on."""
    made, settings = {}, {}
    for name, size in ERRORS.items():
        if name in SLOPES and (np.diff(engine.wave) / engine.wave[1:]).max() > WIDE:
            continue
        if name == "sky_error" and ZRED not in prior.names:
            continue
        settings[name] = size
        made[name] = of_simulator(engine, prior.names, SurveyNoise(**settings))
    return made


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
