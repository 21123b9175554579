"""What a store of fits says, without any fit: the whole stage is in tests/stages/test_learn.py."""

import numpy as np
import pytest
import tiny
from learned_store import FOLDS, OBJECTS, RANKS, RNG, store_of

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.run.learned_errors import class_verdicts, learned_error, verdict_on


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


def test_a_class_is_compared_by_the_objects_that_are_held_out(tmp_path):
    """What it gains by its own error over the common one; the common one is what it was."""
    gains = np.array([1.0, 5.0, 4.9])[:, None] + RNG.normal(size=OBJECTS)
    own = gains + np.array([0.0, 1.0, 0.9])[:, None] + 0.1 * RNG.normal(size=OBJECTS)
    store = store_of(tmp_path / "errors.zarr", gains, of_class=own)
    plain = store_of(tmp_path / "plain.zarr", gains)
    [(name, verdict)] = class_verdicts(store).items()

    assert (name, verdict["meaning"]) == ("odd", "odd ones")
    assert verdict["objects"] == verdict["judged"] == OBJECTS // 2
    assert verdict["gain"] == pytest.approx(1.0, abs=0.1) and verdict["asked_for"]
    assert verdict["own"] - verdict["common"] == pytest.approx(verdict["gain"])
    assert class_verdicts(plain) == {}
    assert verdict_on(store).mean == pytest.approx(verdict_on(plain).mean)
    assert learned_error(store.path).mean == learned_error(plain.path).mean


@pytest.mark.parametrize("worth", [-0.5, 0.0])
def test_a_class_that_gains_nothing_does_not_ask(tmp_path, worth):
    """Fewer objects teach it: that its own error is worse is the rule."""
    gains = np.array([1.0, 5.0, 4.9])[:, None] + RNG.normal(size=OBJECTS)
    own = gains + worth + 0.3 * RNG.normal(size=OBJECTS)
    [verdict] = class_verdicts(store_of(tmp_path / "errors.zarr", gains, of_class=own)).values()

    assert not verdict["asked_for"]
