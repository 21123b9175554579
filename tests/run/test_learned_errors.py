"""What a store of fits says, without any fit: the whole stage is in tests/stages/test_learn.py."""

import numpy as np
import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.run.learned_errors import WHOLE, learned_error, verdict_on
from hpcsbi.simulator.noise import SurveyNoise
from hpcsbi.simulator.physics import Physics
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

RNG = np.random.default_rng(0)
OBJECTS, FOLDS, RANKS, PIXELS = 60, 3, 3, Grid().pixels


def store_of(path, gains):
    """Fits of one strength; gains of (ranks, objects) that are held out, others are vast."""
    parts = {
        "prior": tiny.prior(True).settings(),
        "grid": Grid().settings(),
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


def test_the_error_is_that_of_all_objects_and_of_the_rank_that_held_out_ones_ask_for(tmp_path):
    """What an object gained under an error that it taught does not count."""
    gains = np.array([1.0, 5.0, 5.0])[:, None] + 0.1 * RNG.normal(size=(RANKS, OBJECTS))
    store = store_of(tmp_path / "errors.zarr", gains)
    verdict = verdict_on(store)

    assert (verdict.rank, verdict.objects) == (1, OBJECTS)
    np.testing.assert_allclose(verdict.mean[0], gains.mean(1))
    error = learned_error(store.path)
    assert error.mean[0] == pytest.approx(0.01 * FOLDS + 0.001) and len(error.templates) == 1
    assert error.settings()["grid"] == Grid().settings()


def test_where_nothing_is_asked_for_the_error_is_none(tmp_path):
    """No mean and no template: the flow's noise as it was."""
    store = store_of(tmp_path / "errors.zarr", RNG.normal(size=(RANKS, OBJECTS)) - 3)
    error = learned_error(store.path)

    assert not any(error.mean) and error.templates == ()


def test_another_store_is_no_error(tmp_path):
    """And says so."""
    with pytest.raises(BadInput, match="is no learned error"):
        learned_error(tiny.TABLE)
    with pytest.raises(FileNotFoundError):
        learned_error(tmp_path / "errors.zarr")
