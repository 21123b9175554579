"""Objects in words: edges by name, the flow's own error, numbers to sort by."""

import numpy as np
import pytest

from hpcsbi.flags import Flag
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.report import object_table
from hpcsbi.report.tables import number
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.prior import Prior

PRIOR = Prior(
    {
        "tage": {"low": 0.01, "high": 13.8},
        "tau": {"low": 0.1, "high": 10, "log": True},
        "noise_floor": {"low": 0.003, "high": 0.2, "log": True, "nuisance": True},
    },
    bound_age=True,
)
LEVELS = list(QUANTILES.values())


def quantiles(coordinates):
    return PRIOR.theta(np.quantile(coordinates, LEVELS, axis=0))


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, False), (0.05, False), (0.17, True), (0.6, True)]
)
def test_edges_are_named_where_the_flag_is_set(share, told):
    """More than a tenth of the draws in the outer 2 %, at either end; no nuisance."""
    rng = np.random.default_rng(0)
    middle = (PRIOR.low + PRIOR.high) / 2
    draws = rng.normal(middle, 0.1 * (PRIOR.high - PRIOR.low), (20_000, 3))
    width = 0.02 * (PRIOR.high - PRIOR.low)
    at_edge = rng.random(len(draws)) < share
    draws[at_edge, 1] = PRIOR.low[1] + width[1] * rng.random(at_edge.sum())
    draws[at_edge, 2] = PRIOR.high[2] - width[2] * rng.random(at_edge.sum())

    assert object_table.edges(PRIOR, quantiles(draws), 0.01) == (["tau lower"] if told else [])


def test_the_edge_of_an_age_is_the_universe():
    """At redshift 2 an age of 3.2 Gyr is at the end of what is possible; at 0.01 it is not."""
    universe = age_of_universe(np.array([2.0]))[0]
    draws = np.random.default_rng(0).uniform(0, 1, (5000, 3)) * 0.1 * (PRIOR.high - PRIOR.low)
    draws += (PRIOR.low + PRIOR.high) / 2
    draws[:, 0] = np.minimum(universe - 0.001, universe * (1 - 0.02 * draws[:, 0] % 0.02))

    assert object_table.edges(PRIOR, quantiles(draws), 2.0) == ["tage upper"]
    assert object_table.edges(PRIOR, quantiles(draws), 0.01) == []


def test_the_flag_has_its_edge():
    """EDGE with it, the others as they are; without an edge that is known nothing is added."""
    both = Flag.EDGE | Flag.WINDOW

    assert object_table.flag_words(both, ["tau lower"]) == "EDGE (tau lower), WINDOW"
    assert object_table.flag_words(both, []) == "EDGE, WINDOW"
    assert object_table.flag_words(Flag.WINDOW, ["tau lower"]) == "WINDOW"


def test_the_flows_own_error_is_told():
    """Half widths of the published posterior between the medians, in the worst parameter."""
    published = PRIOR.theta(np.linspace([4, -0.5, -2], [6, 0.5, -1], 5))
    flow = PRIOR.theta(np.linspace([4, 0.0, -2], [6, 1.0, -1], 5))

    assert "2.0 half widths off in tau" in object_table.flow_words(PRIOR, published, flow)
    assert object_table.flow_words(PRIOR, published, None) == ""
    assert object_table.flow_words(PRIOR, published * np.nan, flow) == ""


def test_a_rescue_is_told():
    """Other draws behind the weights than the flow's own: more, or fewer."""
    told = object_table.certificate_words("reweighted", 530.0, 4000, 0.1, 1000)
    fewer = object_table.certificate_words("reweighted", 530.0, 4394, 0.1, 5000)

    assert "530 of 4000" in told and "own 1000 draws had weak weights: these are of" in told
    assert "530 of 4394" in fewer and "own 5000 draws had weak weights" in fewer
    assert "rescue" not in object_table.certificate_words("reweighted", 530.0, 1000, 0.1, 1000)
    assert "infer.certificate=false" in object_table.certificate_words(None, None, None, None)


def test_facts_are_told_as_far_as_they_are_known():
    """Signal to noise and a place on the sky."""
    place = np.array([150.1, 2.2])

    assert object_table.fact_words(12.34, place).startswith("Median S/N 12.3 a pixel; right asc")
    assert (
        object_table.fact_words(None, place * np.nan) == object_table.fact_words(None, None) == ""
    )


def test_rows_carry_numbers_to_sort_by():
    """As precise as they are, whatever is printed; nothing where there is none."""
    levels = np.full((2, 5, 3), np.nan)
    levels[0] = quantiles(np.random.default_rng(0).normal([5, 0, -1.5], 0.1, (500, 3)))
    columns = {
        "id": np.array(["a", "b"]),
        "row": np.array([3, 9]),
        "zred": np.array([0.1234567, 0.2]),
        "chi2": np.array([1.23456, np.nan]),
        "flags": np.array([0, Flag.NO_POSTERIOR]),
        "quantiles": levels,
    }
    for i, level in enumerate(QUANTILES):
        columns |= {f"{name}_{level}": levels[:, i, j] for j, name in enumerate(PRIOR.names)}

    first, second = object_table.table_rows(columns, PRIOR, None)

    assert first["zred"] == ("0.1235", 0.1234567) and first["chi2"][1] == pytest.approx(1.23456)
    assert [key for *_, key in first["quantities"]] == pytest.approx(levels[0, 2])
    assert second["chi2"] == (number(np.nan), "") and {key for *_, key in second["quantities"]} == {
        ""
    }
    assert (
        first["ess"] == (number(np.nan), "")
        and second["flags"] == "NO_POSTERIOR"
        and second["row"] == 9
    )
