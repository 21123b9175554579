"""Truths, noisy spectra of them, and sigma by formulas, to try likelihoods on."""

import numpy as np
import tiny
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.theta.prior import Prior

NAMES = tuple(tiny.DIGS)
SURVEY = tuple(tiny.DIGS | tiny.NUISANCE)
FREE = (*SURVEY, "model_error")
COLUMN = {"low": 0.001, "high": 0.1, "log": True, "nuisance": True}
WAVE = torch.from_numpy(Grid().wave).float()


def spectra(engine, noise, n, seed, names=SURVEY):
    """Truths, noisy spectra of them, and a few draws around each truth."""
    rng = np.random.default_rng(seed)
    prior = tiny.prior(survey="noise_floor" in names)
    prior = Prior({**prior.columns, "model_error": COLUMN}) if "model_error" in names else prior
    theta = torch.from_numpy(prior.sample(n, rng)).float()
    column = dict(zip(names, theta.T, strict=True))
    model = engine.flux(theta, names)
    generator = torch.Generator().manual_seed(seed)
    nuisances = column.get("noise_floor"), generator, None, column.get("model_error")
    flux, ivar, _ = noise(model, WAVE, *nuisances)
    near = theta[:, None] * (1 + 0.01 * torch.randn(n, 5, len(names), generator=generator))
    near[:, 0] = theta
    return near, flux, ivar


def sigma_of(kind, model, ivar, floor):
    """Sigma of one spectrum, numpy float64, valid pixels only."""
    quoted = ivar**-0.5
    return {
        "fractional": 0.05 * model,
        "survey": np.hypot(quoted, floor * model),
        "given": quoted,
    }[kind]
