"""A column of the prior: what it may be is told before anything is computed."""

import pytest

from hpcsbi.simulator.column import Column, check_column


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("age", Column(0, 1), "'age' is unknown; did you mean tage?"),
        ("logmass", Column(8, 13, log=True), "logmass is in log, but it is a logarithm"),
        ("tage", Column(4, 4), "low 4 is not below high 4"),
        ("tau", Column(0.01, 1), "tau spans 0.01 to 1.*0.1 to 100.0.*narrow it"),
        ("tage", Column(float("nan"), 4), "low nan is not below high 4"),
        ("tage", Column(0, "four"), "tage: low 0 and high 'four' must be numbers"),
        ("logzsol", Column(-3, 0), "logzsol spans -3 to 0"),
        ("dust2", Column(0, 4, log=True), "dust2 is in log, but low is 0"),
    ],
)
def test_bad_columns_are_refused(name, column, message):
    """A wrong one is told by name, value and mend."""
    with pytest.raises(ValueError, match=message):
        check_column(name, column)


def test_a_column_is_flat_unless_it_says_more():
    """Equal columns are equal, with a distribution too, and may be keys."""
    bell = {"kind": "normal", "mean": 0, "sd": 1}

    assert Column(0, 1).distribution is None
    assert Column(0, 1, distribution=bell) == Column(0, 1, distribution=dict(bell))
    assert Column(0, 1, distribution=bell) != Column(0, 1)
    assert len({Column(0, 1, distribution=bell), Column(0, 1, distribution=dict(bell))}) == 1
