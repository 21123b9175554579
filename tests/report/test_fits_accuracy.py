"""Numbers that chains give flow and weights: medians, ranks, CPU time and the break-even number."""

import numpy as np
import pytest

from hpcsbi.report import fits_accuracy

DASH = "\N{EN DASH}"
ONCE = {"tabulate": 10.0, "simulate": 20.0, "augment": 5.0, "train": 65.0}
EACH = {"fit: chain": (5.0, 4), "fit: flow": (0.5, 4), "fit: weights": (0.5, 4)}


def rate(stage, rows, seconds):
    """A line of rates.jsonl."""
    return {"stage": stage, "rows": rows, "worker_seconds": seconds}


def test_rows_leave_out_what_a_method_lacks():
    """Medians, worst values and counts are over the objects that a method has, by hand."""
    distance = np.array([[[0.1], [0.01]], [[0.3], [np.nan]], [[0.2], [0.03]]])
    width = np.array([[[1.0], [1.0]], [[2.0], [np.nan]], [[3.0], [1.1]]])
    c2st = np.array([[0.6, 0.5], [0.9, np.nan], [0.7, 0.5]])

    found = fits_accuracy.accuracy_rows(["tage"], distance, width, c2st)

    assert found["counts"] == [3, 2]
    assert found["rows"][0]["name"] == "age [Gyr]"
    assert found["rows"][0]["distances"] == [("0.200", "0.300"), ("0.020", "0.030")]
    assert found["rows"][0]["widths"][0] == ("2.00", "1.32", "2.68")
    assert found["c2st"] == [("0.700", "0.900"), ("0.500", "0.500")]


def test_a_method_without_objects_has_dashes():
    """Without one object there are no numbers, and no warnings."""
    nothing = np.full((2, 1, 1), np.nan)

    found = fits_accuracy.accuracy_rows(["tau"], nothing, nothing, nothing[..., 0])

    assert found["counts"] == [0]
    assert found["rows"][0]["distances"] == [(DASH, DASH)]
    assert found["rows"][0]["widths"] == [(DASH, DASH, DASH)]


def test_correlation_takes_ten_objects():
    """Ranks that agree have correlation one whatever the scale; nine objects have none."""
    k = np.append(np.linspace(0, 1, 10), np.nan)

    assert fits_accuracy.correlation(k, np.exp(9 * k)) == (pytest.approx(1), 10)
    assert fits_accuracy.correlation(-k, np.exp(9 * k)) == (pytest.approx(-1), 10)
    k[9] = np.inf
    assert fits_accuracy.correlation(k, np.arange(11.0)) == (pytest.approx(1), 10)
    few = fits_accuracy.correlation(k[:9], k[:9])
    assert np.isnan(few[0]) and few[1] == 9
    assert np.isnan(fits_accuracy.correlation(np.ones(12), np.arange(12.0))[0])


def test_agreement_is_with_the_own_chain():
    """A method agrees where it is no farther than that chain's halves and 0.02, NaN aside."""
    halves = np.array([0.1, 0.01, 0.05, np.nan])

    assert fits_accuracy.agreement(np.array([0.11, 0.05, np.nan, 0.1]), halves) == (1, 2)


def test_object_costs_are_over_all_calls():
    """Calls add up, weighted by their objects; other stages do not count."""
    found = fits_accuracy.object_costs(
        [
            *(rate("fit: chain", 1, 9.0), rate("fit: chain", 3, 11.0)),
            *(rate("fit", 4, 99.0), rate("fit: flow", 0, 0.0)),
        ]
    )

    assert found == {"fit: chain": (5.0, 4)}


def test_overhead_counts_the_flow_and_not_the_sweep():
    """Of several trainings only those of this flow count, resumed ones included."""
    costs = [
        {"stage": "simulate", "out": "simulations.zarr", "cpu_seconds": 3},
        {"stage": "train", "out": "flows/a", "cpu_seconds": 10},
        {"stage": "train", "out": "flows/b", "cpu_seconds": 100},
        {"stage": "train", "out": "flows/a", "cpu_seconds": 5},
        {"stage": "infer", "out": "catalogue.zarr", "cpu_seconds": 7},
    ]

    assert fits_accuracy.overhead(costs, "flows/a") == {"simulate": 3, "train": 15}


def test_break_even_is_the_first_galaxy_that_pays():
    """At the number given chains have cost at least as much, one galaxy before they have not."""
    n = fits_accuracy.break_even(100, 5.0, 0.5, 0.7)

    assert n * 5.0 >= 100 + n * 1.2 and (n - 1) * 5.0 < 100 + (n - 1) * 1.2
    assert fits_accuracy.break_even(0, 5.0, 0.5, 0.5) == 0
    assert fits_accuracy.break_even(100, 1.0, 0.5, 0.5) is None
    assert fits_accuracy.break_even(100, 0.5, 0.5, 0.5) is None


def test_the_sentence_has_the_formula():
    """All costs known: number, formula in words, and the figures it is of."""
    text = fits_accuracy.verdict_on_costs(ONCE, EACH)

    assert "from 25 galaxies on" in text
    assert "100 s / (5 \N{MINUS SIGN} 0.5 \N{MINUS SIGN} 0.5) s" in text
    assert "tabulate, simulate, augment and train" in text


@pytest.mark.parametrize("lost", [*ONCE, *EACH])
def test_a_missing_cost_is_named(lost):
    """One cost gone: no number, and the file and stage that lack it."""
    once = {stage: cost for stage, cost in ONCE.items() if stage != lost}
    each = {step: cost for step, cost in EACH.items() if step != lost}

    text = fits_accuracy.verdict_on_costs(once, each)

    assert "costs are missing" in text and lost in text
    assert ("costs.jsonl" if lost in ONCE else "rates.jsonl") in text
    assert "galaxies on" not in text


def test_a_cheap_chain_never_loses():
    """A chain that costs no more than flow and weights is told in a sentence."""
    text = fits_accuracy.verdict_on_costs(ONCE, EACH | {"fit: chain": (0.9, 4)})

    assert "is not dearer" in text and "galaxies on" not in text
