import numpy as np
import pytest

from hpcsbi.statistics.held_out import judgement

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
