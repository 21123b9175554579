"""A column of the prior: what it may be is told before anything is computed."""

import pytest

from hpcsbi.simulator.theta.column import YOUNGEST, Column, check_column
from hpcsbi.simulator.theta.cosmology import age_of_universe


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
        ("tage", Column(1, 9, given="redshift"), "tage .Gyr. is no redshift"),
        (
            "zred",
            Column(0, 1, given="age_of_universe"),
            "zred: spectra are those of the rest frame",
        ),
        ("zred", Column(0, 1), "zred: .*it has given: redshift, low and high, or leave it out"),
        ("zred", Column(given=0.3), "zred: spectra are those of the rest frame"),
        ("zred", Column(0, 30, given="redshift"), "zred spans 0 to 30"),
        ("tau", Column(1, 9, given="age_of_universe"), "tau .Gyr. is no age"),
        ("tage", Column(1, 9, True, True, given="age_of_universe"), "leave out log, nuisance"),
        ("tage", Column(0.1, 9, given="age_of_universe"), "low is 0.1, and the Universe is 0.181"),
        ("tage", Column(high=9), "tage has no low: a column has low and high, or is fixed and has"),
        ("tage", Column(given="age_of_universe"), "has no low and no high"),
        ("tage", Column(given="x"), "given is 'x': choose from age_of_universe, redshift, or a"),
        ("tage", Column(1, 9, given=True), "given is True: choose from age_of_universe, redshift"),
        ("gas_logu", Column(given=-5), "gas_logu spans -5 to -5 .* -4.0 to -1.0"),
        ("tage", Column(given=float("nan")), "tage spans nan to nan"),
        ("dust2", Column(0, 4, given=1), "dust2 is fixed at 1, not inferred: leave out low, high"),
        ("dust2", Column(high=4, given=1), "fixed at 1, not inferred: leave out high"),
        ("tau", Column(log=True, nuisance=True, given=1.0), "fixed .*: leave out log, nuisance"),
        ("logmass", Column(given=10), "logmass: given=10, and how bright a spectrum is tells it"),
    ],
)
def test_bad_columns_are_refused(name, column, message):
    """A wrong one is told by name, value and mend."""
    with pytest.raises(ValueError, match=message):
        check_column(name, column)


def test_a_given_age_may_be_as_young_as_spectra_come():
    """The bound is the age at redshift 20, where ingest ends; a distribution cannot be given."""
    check_column("tage", Column(YOUNGEST, 13.8, given="age_of_universe"))

    assert YOUNGEST - 1e-4 < age_of_universe(20.0) < YOUNGEST
    bell = {"kind": "normal", "mean": 9, "sd": 1}
    with pytest.raises(ValueError, match="leave out distribution"):
        check_column("tage", Column(1, 9, distribution=bell, given="age_of_universe"))


def test_a_column_is_flat_unless_it_says_more():
    """Equal columns are equal, with a distribution too, and may be keys."""
    bell = {"kind": "normal", "mean": 0, "sd": 1}

    assert Column(0, 1).distribution is None
    assert Column(0, 1, distribution=bell) == Column(0, 1, distribution=dict(bell))
    assert Column(0, 1, distribution=bell) != Column(0, 1)
    assert len({Column(0, 1, distribution=bell), Column(0, 1, distribution=dict(bell))}) == 1


def test_a_fixed_column_has_no_range():
    """The number is both its bounds, and all that its settings hold; any column of a family may."""
    for name, value in (("dust_index", -0.7), ("sigma_smooth", 200), ("tage", 0.05), ("dust2", 0)):
        column = Column(given=value)
        check_column(name, column)
        assert column.is_fixed and (column.low, column.high) == (value, value)
        assert column.settings() == {"given": value} and Column(**column.settings()) == column
    assert not Column(1, 9, given="age_of_universe").is_fixed and not Column(0, 1).is_fixed
    assert not Column(0, 1, given=True).is_fixed  # a type that no number is
