"""Flows are ranked by the same spectra, and what these do not tell apart is tied."""

import numpy as np
import pytest

from hpcsbi.report.ranking import cells, standings


def flows_that_differ(rng, spectra: int, steps: np.ndarray) -> np.ndarray:
    """Scores of flows: what a spectrum gives to all, and little of each flow's own."""
    shared = rng.standard_t(4, spectra)
    return shared - steps[:, None] + 0.2 * rng.standard_normal((len(steps), spectra))


@pytest.mark.slow
def test_the_truly_best_is_among_the_tied():
    """It is left out in at most 5 % of comparisons of nine equal flows, and differences show."""
    rng = np.random.default_rng(0)
    left_out = [
        not standings(flows_that_differ(rng, 200, np.zeros(9)))[0].tied for _ in range(2000)
    ]
    apart = [standings(flows_that_differ(rng, 200, np.array([0, 0.1]))) for _ in range(200)]

    assert 0.01 < np.mean(left_out) < 0.06
    assert np.mean([found[1].tied for found in apart]) < 0.01
    # The errors of the two means would not show it.
    unpaired = [two.behind > 1.65 * np.hypot(one.error, two.error) for one, two in apart]
    assert np.mean(unpaired) < 0.1


@pytest.mark.slow
def test_errors_are_those_of_repeated_draws():
    """The standard errors of score and difference are the scatter over many sets of spectra."""
    rng = np.random.default_rng(1)
    found = [standings(flows_that_differ(rng, 400, np.array([0, 0.5]))) for _ in range(400)]
    behind = np.array([two[1].behind for two in found])
    score = np.array([two[0].score for two in found])

    assert behind.mean() == pytest.approx(0.5, abs=0.01)
    assert np.mean([two[1].behind_error for two in found]) == pytest.approx(behind.std(), rel=0.1)
    assert np.mean([two[0].error for two in found]) == pytest.approx(score.std(), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("log_prob", [np.zeros((2, 1)), np.array([[0.0, np.nan], [0.0, 1.0]])])
def test_scores_that_cannot_be_compared(log_prob):
    """One spectrum has no scatter, and a density that is no number no mean."""
    with pytest.raises(ValueError, match="finite"):
        standings(log_prob)


def test_a_flow_is_tied_with_its_copy():
    """Of equal flows one is the best and none is behind it; one that is worse throughout is."""
    shared = np.random.default_rng(2).normal(size=50)

    first, copy, worse = standings(np.stack([shared, shared, shared - 1.0]))

    assert [each.best for each in (first, copy, worse)] == [True, False, False]
    assert [each.tied for each in (first, copy, worse)] == [True, True, False]
    assert (copy.behind, copy.behind_error) == (0, 0)
    assert worse.behind == pytest.approx(1.0) and worse.behind_error < 1e-12


ROW = {
    "name": "a", "best": False, "tied": True, "hidden": 8, "transforms": 2, "log_prob": 4.58512,
    "log_prob_error": 0.0123, "behind": 0.5, "behind_error": 0.0, "calibrated": True,
    "cpu_seconds": 90.0, "draws_per_second": 12345.6,
}  # fmt: skip


def test_cells_have_two_digits_of_the_error():
    """A difference without an error stands alone, and the best is behind nobody."""
    told = cells(ROW)

    assert (told["mark"], told["score"], told["behind"]) == ("tied", "4.585 ± 0.012", "0.5")
    assert (told["calibrated"], told["speed"]) == ("passed", "12,346")
    assert cells(ROW | {"best": True})["behind"] == ""
    assert cells(ROW | {"best": True})["mark"] == "best"


def test_what_a_flow_lacks_is_empty():
    """A flow that was not trained has a name and a row of nothing."""
    nothing = dict.fromkeys(ROW) | {"name": "a", "best": False, "tied": False}

    assert {key: value for key, value in cells(nothing).items() if value} == {"name": "a"}
    assert cells(nothing | {"calibrated": False})["calibrated"] == "FAILED"
