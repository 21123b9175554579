"""A store of learned errors without any fit, as `learn` would write it."""

import numpy as np
import tiny

from hpcsbi.grid import Grid
from hpcsbi.run.learned_errors import WHOLE
from hpcsbi.simulator.noise import SurveyNoise
from hpcsbi.simulator.physics import Physics
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

RNG = np.random.default_rng(0)
OBJECTS, FOLDS, RANKS, PIXELS = 60, 3, 3, Grid().pixels


def store_of(path, gains, grid=None):
    """Fits of one strength; gains of (ranks, objects) that are held out, others are vast."""
    parts = {
        "prior": tiny.prior(True).settings(),
        "grid": (grid or Grid()).settings(),
        "physics": vars(Physics()),
    }
    settings = {"flow": {"simulations": parts, "noise": SurveyNoise().settings()}}
    fold_of = np.arange(OBJECTS) % FOLDS
    rows, at = {"row": FOLDS + 1}, {"row": FOLDS + 1, "rank": RANKS}
    arrays = {
        "fold": Array(rows, "int32"),
        "strength": Array(rows, "float64"),
        "gain": Array({**at, "object": OBJECTS}, "float64"),
        "mean": Array({**at, "pixel": PIXELS}, "float64"),
        "templates": Array({**at, "template": RANKS - 1, "pixel": PIXELS}, "float64"),
        "rank": Array({"rank": RANKS}, "int32", values=np.arange(RANKS, dtype=np.int32)),
        "fold_of": Array({"object": OBJECTS}, "int32", values=fold_of.astype(np.int32)),
    }
    store = create(path, arrays, settings, 1, {"notice": ""})
    for row, fold in enumerate([*range(FOLDS), WHOLE]):
        seen = np.where(fold_of == fold, gains, 1e6)
        mean = np.full((RANKS, PIXELS), 0.01 * row) + 0.001 * np.arange(RANKS)[:, None]
        templates = 0.001 * RNG.normal(size=(RANKS, RANKS - 1, PIXELS))
        each = {"gain": seen, "mean": mean, "templates": templates}
        each = {name: values[None] for name, values in each.items()}
        store.write(row, fold=np.array([fold], np.int32), strength=np.ones(1), **each)
    return store
