import numpy as np
import pytest

from hpcsbi.statistics.held_out import folds_of, judgement

RNG = np.random.default_rng(3)


def gains(means, objects=400, scatter=2.0):
    """Of one setting; models share most of what scatters from object to object."""
    shared = scatter * RNG.normal(size=objects)
    own = 0.1 * scatter * RNG.normal(size=(len(means), objects))
    return (np.array(means)[:, None] + shared * (np.array(means)[:, None] != 0) + own)[None]


def test_the_simplest_of_equals_is_asked_for():
    """A third rank that adds a hundredth of an error is not; a second that adds much is."""
    verdict = judgement(gains([5.0, 9.0, 9.001, 9.0]))

    assert verdict.rank == 1 and verdict.objects == 400
    assert verdict.gain == pytest.approx(9 * 400, rel=0.05)
    assert verdict.gain_error == pytest.approx(2 * 20, rel=0.2)


@pytest.mark.parametrize("means", [[-1.0, -2.0], [0.01, -0.5]])
def test_nothing_is_an_answer(means):
    """Where no model is better than none by more than chance."""
    assert judgement(gains(means)).rank is None


def test_objects_that_one_model_lacks_do_not_count():
    """None left: nothing is asked for."""
    values = gains([5.0, 9.0])
    values[0, 1, :100] = np.nan

    assert judgement(values).objects == 300
    assert judgement(np.full((1, 2, 5), np.nan)).rank is None


def test_the_best_setting_is_taken():
    """Each row is one."""
    values = np.concatenate([gains([5.0, 6.0]), gains([5.0, 9.0])])

    assert (judgement(values).setting, judgement(values).rank) == (1, 1)


def test_spectra_of_one_object_are_held_out_together():
    """Each object in one fold, all folds in use, and as even as they can be."""
    objects = np.array([f"object {i}" for i in (0, 1, 2, 1, 3, 4, 0, 5, 6, 1)])
    folds = folds_of(objects, 3)

    assert all(len(set(folds[objects == name])) == 1 for name in objects)
    assert sorted(np.bincount(folds_of(np.arange(100), 7))) == [14] * 5 + [15] * 2
    assert set(folds) == {0, 1, 2}
