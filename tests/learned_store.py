"""A store of learned errors without any fit, as `learn` would write it."""

import numpy as np
import tiny

from hpcsbi.grid import Grid
from hpcsbi.run.learned_errors import COMMON, WHOLE
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

RNG = np.random.default_rng(0)
OBJECTS, FOLDS, RANKS, PIXELS = 60, 3, 3, Grid().pixels


def store_of(path, gains, grid=None, of_class=None):
    """Fits of one strength; gains of (ranks, objects) that are held out, others are vast.

    With gains `of_class`, too: of the odd objects under errors that these alone taught.
    """
    parts = {
        "prior": tiny.prior(True).settings(),
        "grid": (grid or Grid()).settings(),
        "physics": vars(Physics()),
    }
    settings = {
        "flow": {"simulations": parts, "noise": SurveyNoise().settings()},
        "strengths": [1.0],
    }
    fold_of, odd = np.arange(OBJECTS) % FOLDS, np.arange(OBJECTS) % 2 == 1
    fits = [(COMMON, fold) for fold in [*range(FOLDS), WHOLE]]
    attributes = {"notice": "", "left_out": {"AGN": 3}}
    if of_class is not None:
        fits += [(0, fold) for fold in range(FOLDS)]
        settings["classes"] = ["age"]
        attributes |= {"classes": {"odd": "odd ones"}, "too_small": {"even": 1}}
    rows, at = {"row": len(fits)}, {"row": len(fits), "rank": RANKS}
    arrays = {
        "fold": Array(rows, "int32"),
        "strength": Array(rows, "float64"),
        "gain": Array({**at, "object": OBJECTS}, "float64"),
        "mean": Array({**at, "pixel": PIXELS}, "float64"),
        "templates": Array({**at, "template": RANKS - 1, "pixel": PIXELS}, "float64"),
        "rank": Array({"rank": RANKS}, "int32", values=np.arange(RANKS, dtype=np.int32)),
        "fold_of": Array({"object": OBJECTS}, "int32", values=fold_of.astype(np.int32)),
    }
    if of_class is not None:
        ids = np.array([f"object {i}" for i in range(OBJECTS)], object)
        names = np.array(["odd"], object)
        arrays |= {
            "class": Array(rows, "int32"),
            "class_name": Array({"class": 1}, "string", values=names),
            "member": Array({"class": 1, "object": OBJECTS}, "int8", values=odd[None].astype("i1")),
            "object": Array({"object": OBJECTS}, "string", values=ids),
        }
    store = create(path, arrays, settings, 1, attributes)
    for row, (number, fold) in enumerate(fits):
        known = gains if number == COMMON else np.where(odd, of_class, np.nan)
        seen = np.where((fold_of == fold) | np.isnan(known), known, 1e6)
        mean = np.full((RANKS, PIXELS), 0.01 * row) + 0.001 * np.arange(RANKS)[:, None]
        templates = 0.001 * RNG.normal(size=(RANKS, RANKS - 1, PIXELS))
        each = {"gain": seen, "mean": mean, "templates": templates}
        each = {name: values[None] for name, values in each.items()}
        if of_class is not None:
            each["class"] = np.array([number], np.int32)
        store.write(row, fold=np.array([fold], np.int32), strength=np.ones(1), **each)
    return store
