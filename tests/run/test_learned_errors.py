"""What a store of fits says, without any fit: the whole stage is in tests/stages/test_learn.py."""

import numpy as np
import pytest
import tiny
from learned_store import FOLDS, OBJECTS, RANKS, RNG, store_of

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.run.learned_errors import learned_error, verdict_on


def test_the_error_is_that_of_all_objects_and_of_the_rank_that_held_out_ones_ask_for(tmp_path):
    """What an object gained under an error that it taught does not count."""
    gains = np.array([1.0, 5.0, 4.9])[:, None] + 0.1 * RNG.normal(size=OBJECTS)
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
