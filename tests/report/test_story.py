"""The head of the page says what the stores say, the bad as plainly as the good."""

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.report import story

PASSED = {"passed": True, "n": 776, "reasons": [], "predictive": {}}


def test_a_calibration_is_told_with_its_limit():
    """Passed, failed with the first reason, not there, and a blunt flow behind it."""
    failed = PASSED | {"passed": False, "reasons": ["ranks of tage are not uniform", "other"]}
    blunt = PASSED | {"flow": PASSED | {"predictive": {"predictive_p": {"improbable": 0.4}}}}

    assert story.calibration_sentence(PASSED).startswith("Yes, on 776")
    assert "not for every galaxy" in story.calibration_sentence(PASSED)
    told = story.calibration_sentence(failed)
    assert told.startswith("NO") and "ranks of tage" in told and "other" not in told
    assert "jobs/calibrate.py" in story.calibration_sentence(None)
    assert "40 % of spectra are improbable" in story.calibration_sentence(blunt)
    assert "train longer" not in story.calibration_sentence(PASSED)


def test_without_chains_the_command_is_told():
    """With the run and the flow, or it would not work as printed."""
    told = story.chains_sentence({"rows": 0}, "run=runs/a fit.flow=runs/a/flows/b")

    assert "python jobs/fit.py run=runs/a fit.flow=runs/a/flows/b fit.objects=20" in told


def test_chains_are_told_by_what_a_classifier_sees():
    """C2ST of flow and weights, and the break-even number."""
    fits = {
        "rows": 4,
        "converged": 3,
        "methods": ["flow", "re-weighted", "halves of the chain"],
        "accuracy": {"c2st": [("0.974", "1"), ("0.506", "1"), ("0.5", "1")]},
        "break_even": "Cheaper from 21 on.",
    }

    told = story.chains_sentence(fits, "")

    assert "3 converged" in told and "flow 0.974, re-weighted 0.506" in told and "21" in told
    assert "none has converged" in story.chains_sentence(fits | {"accuracy": None}, "")


def test_the_cost_of_an_object_is_that_of_all_drivers():
    """Seconds of both calls of infer over the rows of both; other stages do not count."""
    notes = [
        {"stage": "infer", "rows": 3, "worker_seconds": 3.0},
        {"stage": "infer", "rows": 1, "worker_seconds": 5.0},
        {"stage": "ingest", "rows": 9, "worker_seconds": 99.0},
    ]

    assert "took 2 s a core for each of 4" in story.rate_sentences(notes)[0]
    assert story.rate_sentences(notes[2:]) == []


def columns(**more):
    values = {
        "n_draws": np.array([100, 100, 0]),
        "zred": np.array([0.01, 0.2, 0.9]),
        "logmass": np.array([9.0, 11.0, np.nan]),
        "flags": np.zeros(3, "int32"),
        "ess": np.array([300.0, 100.0, np.nan]),
        "pareto_k": np.array([0.2, 0.2, np.nan]),
    }
    return values | more


def test_what_came_out_is_of_objects_with_a_posterior():
    """Counts, ranges and weights; the third object, without one, is in none but the first."""
    told = " ".join(story.outcome_sentences(columns()))

    assert "3 objects, 2 with a posterior" in told
    assert "from 0.01 to 0.2;" in told and "from 9.00 to 11.00" in told
    assert "1 of 2 have good importance weights" in told and "unchecked" in told
    assert "does not fit" not in told and "edge" not in told
    good = columns(ess=np.array([300.0, 300.0, np.nan]))
    assert "unchecked" not in " ".join(story.outcome_sentences(good))


def test_misfits_and_edges_are_told():
    """Of objects with a posterior alone."""
    flags = np.array([Flag.WINDOW | Flag.EDGE, Flag.LINES, Flag.CORRELATED | Flag.EDGE], "int32")

    told = " ".join(story.outcome_sentences(columns(flags=flags)))

    assert "does not fit 2 of 2" in told and "1 of 2 pile up at an edge" in told


def test_nothing_inferred_is_told():
    """Counts alone."""
    nothing = columns(n_draws=np.zeros(3, int))

    assert story.outcome_sentences(nothing) == ["3 objects, 0 with a posterior."]
