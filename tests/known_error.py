"""Spectra whose theta is known, whose model is off by a known error, and whose noise is small."""

import numpy as np
import tiny
import torch

from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch

GRID, NAMES = Grid(), tuple(tiny.DIGS)
WAVE, N, SIGMA = GRID.wave, 300, 0.004
MEAN = 0.02 * np.sin(WAVE / 300)
TEMPLATES = np.stack([0.02 * np.cos(WAVE / 500), 0.01 * np.sin(WAVE / 150)])


def engine():
    return load_engine(tiny.TABLE, tiny.prior())


def likelihood(engine, mean, templates):
    return Likelihood(
        engine, NAMES, "given", learned=LearnedError(mean, templates, GRID.settings())
    )


def spectra_of(engine):
    """N of them, their theta twice, and their residuals; noise is SIGMA of the model."""
    rng = np.random.default_rng(5)
    theta = tiny.prior().sample(N, rng)
    model = engine.flux(torch.tensor(theta).float(), NAMES).numpy()
    error = 1 + rng.normal(size=(N, 2)) @ TEMPLATES
    flux = model * ((1 + MEAN) * error + SIGMA * rng.normal(size=model.shape))
    ivar = (SIGMA * model) ** -2.0
    spectra = Batch(flux.astype(np.float32), ivar.astype(np.float32), np.arange(N))
    return spectra, np.repeat(theta[:, None], 2, 1).astype(np.float32), flux / model - 1
