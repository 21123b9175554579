"""Numbers and tables stand on the page as a reader expects them."""

import numpy as np
import pytest

from hpcsbi.report import tables
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.verdict import verdict


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((10.412, 10.437, 10.481), ("10.437", "+0.044", "\N{MINUS SIGN}0.025")),
        ((-1.5, -1.0, -0.5), ("\N{MINUS SIGN}1.00", "+0.50", "\N{MINUS SIGN}0.50")),
        ((3.0, 3.0, 3.0), ("3.000", "+0.000", "\N{MINUS SIGN}0.000")),
        ((np.nan, 1.0, 2.0), None),
    ],
)
def test_quantities_have_the_digits_of_their_errors(values, expected):
    """Median and distances carry two digits of the error; without a posterior there is none."""
    assert tables.quantity(*values) == expected


def test_costs_are_summed_by_stage():
    """Calls of one stage add up, stages keep their order, and the total is that of all."""
    calls = [("train", 60, 30), ("infer", 5, 5), ("train", 30, 15)]
    keys = ("stage", "cpu_seconds", "wall_seconds")
    rows, total = tables.cost_rows([dict(zip(keys, call, strict=True)) for call in calls])

    assert [(row["stage"], row["calls"], row["cpu"]) for row in rows] == [
        ("train", 2, "1.5 min"),
        ("infer", 1, "5.0 s"),
    ]
    assert (total["calls"], total["wall"]) == (3, "50.0 s")


def test_copies_in_two_parts_are_counted():
    """A spectrum with copies in training and validation is found; an honest split has none."""
    base = np.array([0, 0, 1, 1, 2])

    assert tables.pair_rows(np.array([0, 0, 1, 1, 2]), base)[1] == 0
    rows, shared = tables.pair_rows(np.array([0, 1, 1, 1, 2]), base)
    assert shared == 1
    assert rows == [("training", 1, 1), ("validation", 3, 2), ("test", 1, 1)]


def test_priors_differ_by_their_distributions():
    """Ranges, columns and distributions that differ are told, and nothing else."""
    bell = {"kind": "normal", "mean": 0.3, "sd": 1}
    flat = Prior({"dust2": {"low": 0, "high": 4}, "tage": {"low": 0, "high": 4}})
    other = Prior({"dust2": {"low": 0, "high": 4, "distribution": bell}})

    assert tables.prior_difference(flat, flat) == tables.prior_difference(other, other)
    assert tables.prior_difference(flat, other) == (
        "the prior with dust2 from 0 to 4 by normal(mean=0.3, sd=1) (here 0 to 4), without tage"
    )


def test_priors_differ_by_what_is_given():
    """In words, on either side."""
    age = {"low": 6.5, "high": 13.5}
    given, inferred = Prior({"tage": age | {"given": "age_of_universe"}}), Prior({"tage": age})
    words = "6.5 to 13.5, given by the age of universe"

    assert tables.prior_difference(inferred, given) == (
        f"the prior with tage from {words} (here 6.5 to 13.5)"
    )
    assert tables.prior_difference(given, inferred).endswith(f"(here {words})")
    assert tables.prior_difference(given, given) == "the same prior"
    fixed = Prior({"tage": {"given": 7.5}})
    assert tables.prior_difference(inferred, fixed) == (
        "the prior with tage fixed at 7.5 (here 6.5 to 13.5)"
    )
    assert tables.prior_difference(fixed, inferred).endswith("13.5 (here fixed at 7.5)")


def test_verdict_rows_mark_what_failed():
    """Rows below the threshold are marked, and the chance scatter of coverage is given."""
    rng = np.random.default_rng(0)
    ranks = np.column_stack([rng.integers(0, 101, 1000), rng.integers(0, 50, 1000)])

    rows = tables.verdict_rows(verdict(ranks, 100, rng.random(1000), ("logmass", "tage")))

    assert not rows["passed"]
    assert [row["low"] for row in rows["rows"]] == [False, True, False]
    assert rows["rows"][0]["name"] == "log M/Msun formed"
    assert rows["levels"] == ["50 %", "68 %", "90 %", "95 %"]
    assert "±1.6" in rows["errors"]
    assert tables.verdict_rows({})["rows"] == []


def test_a_blunt_posterior_is_told_to_train_longer():
    """Many improbable predictions are told, also of a flow whose ranks are right; few are not."""
    blunt, sharp = (
        tables.calibration_numbers({"n_draws": np.ones(100), "predictive_p": p}, 0)[-1][1]
        for p in (np.repeat([0.001, 0.5], 50), np.full(100, 0.5))
    )

    assert "0.500 of spectra" in blunt and "train longer" in blunt
    assert "train longer" not in sharp
