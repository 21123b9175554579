"""CPU time of one draw of each of many spectra, by the errors that are integrated out.

    OMP_NUM_THREADS=1 python benchmarks/one_draw_each.py [--table TABLE]

As a search for an optimum asks for it. Errors are added one after the other, as in `ranks.py`; the
second number is of as many draws of a single spectrum by the same likelihood. Least of five rounds.
"""

import argparse
import time

import numpy as np
import torch
import yaml
from ranks import CONF, SHIPPED, of_errors

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.theta.parameters import ZRED
from hpcsbi.simulator.theta.prior import Prior

SPECTRA, ROUNDS = 1024, 5


@torch.no_grad()
def main() -> None:
    """Print microseconds a draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", default=str(SHIPPED))
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = yaml.safe_load((CONF / "prior" / "redshift.yaml").read_text())
    prior = Prior(settings["columns"], settings["bound_age"])
    engine = load_engine(options.table, prior)
    theta = torch.from_numpy(prior.sample(SPECTRA, np.random.default_rng(0), 0.1)).float()
    model = engine.flux(theta, prior.names)
    floor = theta[:, prior.names.index("noise_floor")]
    generator, wave = torch.Generator().manual_seed(0), torch.from_numpy(engine.wave).float()
    flux, ivar, _ = SurveyNoise((50, 60))(model, wave, floor, generator)
    alone = theta.clone()  # draws of the first spectrum, which have its redshift
    alone[:, prior.names.index(ZRED)] = theta[0, prior.names.index(ZRED)]
    cases = {
        "one draw each": (flux, ivar, model[:, None], theta[:, None]),
        "of one spectrum": (flux[:1], ivar[:1], model[None], alone[None]),
    }
    print(f"{engine.pixels} pixels, microseconds a draw")
    for name, likelihood in of_errors(engine, prior).items():
        times = {}
        for case, arguments in cases.items():
            times[case] = min(_seconds(likelihood, arguments) for _ in range(ROUNDS))
        words = (f"{case} {1e6 * value / SPECTRA:.1f}" for case, value in times.items())
        print(f"with {name}: {', '.join(words)}", flush=True)


def _seconds(likelihood, arguments) -> float:
    began = time.process_time()
    likelihood.of_model(*arguments)
    return time.process_time() - began


if __name__ == "__main__":
    main()
