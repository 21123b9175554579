"""The arrays of a table: which the engine takes, what their error may be, which nodes count."""

import numpy as np
import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.simulator.table.ssp_arrays import check_accuracy, check_table, nodes_inside
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_store


def test_a_table_without_a_good_measurement_is_refused():
    """No figures, too large ones and NaN are refused; good ones pass."""
    check_accuracy("t", {"median": 5e-5, "p99": 1e-3})
    for bad in ({}, {"median": 2e-4, "p99": 1e-3}, {"median": float("nan"), "p99": 1e-3}):
        with pytest.raises(ValueError, match=r"run jobs/tabulate\.py"):
            check_accuracy("t", bad)


def test_nodes_bracket_the_prior():
    """No more of them than that takes; a prior that reaches beyond them is refused."""
    nodes = np.arange(-2.0, 0.41, 0.2)
    of = lambda low, high: nodes_inside(nodes, Prior({"logzsol": {"low": low, "high": high}}))  # noqa: E731

    assert nodes[of(-1.1, -0.5)][[0, -1]] == pytest.approx([-1.2, -0.4])
    assert nodes[of(-2.0, 0.4)] == pytest.approx(nodes)
    for value, around in ((-0.5, [-0.6, -0.4]), (-2.0, [-2.0, -1.8]), (0.4, [0.2, 0.4])):
        fixed = nodes_inside(nodes, Prior({"logzsol": {"given": value}}))
        assert nodes[fixed] == pytest.approx(around)
    with pytest.raises(BadInput, match=r"spans -2.0 to 0.45, the table -2.00 to 0.40: narrow"):
        of(-2.0, 0.45)


def test_a_table_must_tell_the_columns_of_the_prior():
    """And reach as far; the shipped one does for the prior of surveys, not for gas of its own."""
    table = open_store(tiny.TABLE)
    check_table(table, Prior(tiny.columns("survey")))
    with pytest.raises(BadInput, match=r"ssp_demo\.zarr has no stars, .*gas_logu takes: make it"):
        check_table(table, Prior(tiny.columns("gas")))
    with pytest.raises(BadInput, match="narrow the prior"):
        check_table(table, Prior(tiny.columns("survey") | {"logzsol": {"low": -2.4, "high": 0}}))
