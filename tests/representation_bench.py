"""Representations fitted to the shipped table, and pairs to try them on."""

import numpy as np
import tiny
import torch

from hpcsbi.inference.summary.representations import fit_representation
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.pairs import fresh_pairs
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

SURVEY = {
    "logmass": {"low": 5, "high": 13},
    "logzsol": {"low": -2, "high": 0.4},
    "dust2": {"low": 0, "high": 4},
    "tage": {"low": 0.01, "high": 13.8},
    "tau": {"low": 0.1, "high": 20, "log": True},
    "line_strength": {"low": 0.03, "high": 3, "log": True, "nuisance": True},
    "noise_floor": {"low": 0.003, "high": 0.2, "log": True, "nuisance": True},
}


engines: list[tuple[Prior, Ssp]] = []


def engine(prior: Prior) -> Ssp:
    """That of the shipped table, made once for a prior."""
    for known, ssp in engines:
        if known == prior:
            return ssp
    engines.append((prior, load_engine(tiny.TABLE, prior)))
    return engines[-1][1]


class Bench:
    """A representation, fitted, and pairs to try it on; its prior is flat or informative, and may
    have an age that is given, and one column that is fixed at 1.
    """

    def __init__(
        self, kind: str, informative: bool = False, given: bool = False, fixed: str | None = None
    ) -> None:
        survey = kind in ("pixels", "projection", "optimum")
        columns = tiny.columns("informative") if informative else SURVEY
        columns = columns | ({"tage": tiny.GIVEN_AGE} if given else {})
        columns = columns | ({fixed: {"given": 1.0}} if fixed else {})
        self.prior = Prior({name: columns[name] for name in list(SURVEY)[: None if survey else 5]})
        self.ssp = engine(self.prior)
        self.wave = torch.tensor(self.ssp.wave).float()
        self.noise = SurveyNoise() if survey else FractionalNoise()
        self.likelihood = of_simulator(self.ssp, self.prior.names, self.noise)
        self.representation = fit_representation(
            kind,
            self.prior,
            self.ssp.k,
            self.ssp,
            lambda pad: self.draw(4000, 0, pad.numpy()),
            self.likelihood,
        )

    def draw(self, n: int, seed: int, pad: np.ndarray | float = 0.0):
        with torch.no_grad():
            rng = np.random.default_rng(seed)
            return fresh_pairs(n, self.prior, self.ssp, self.noise, self.wave, pad, rng)
