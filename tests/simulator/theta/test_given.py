"""Columns that are known of each object: what they are, and where nothing is known of them."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.simulator.theta import parameters
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.given import Given
from hpcsbi.simulator.theta.prior import Prior

LOW, HIGH = 6.5, 13.75
PRIOR = tiny.given_prior()
GIVEN, TAGE = PRIOR.given, PRIOR.names.index("tage")


def test_the_column_is_the_age_of_the_universe():
    """At a redshift, one a row, also of a redshift that float32 has rounded; NaN for none."""
    zred = np.linspace(0, 3, 50)

    assert GIVEN.names == ("tage",) and len(GIVEN) == 1
    assert np.array_equal(GIVEN.at(zred)[:, 0], age_of_universe(zred))
    assert GIVEN.at(zred[:, None]).shape == (50, 1, 1) and GIVEN.at(0.3).shape == (1,)
    assert np.isnan(GIVEN.at(np.array([np.nan, -2.0]))).all()
    with pytest.raises(ValueError, match="tage is given by the redshift of each object"):
        GIVEN.at(None)


def test_a_redshift_outside_of_the_range_is_not_covered():
    """On both sides; a rounding of the redshift that belongs to a bound is inside."""
    theta = np.tile(PRIOR.bounds[0], (2, 1))
    theta[:, TAGE] = LOW, HIGH
    ends = GIVEN.redshift(theta)

    for zred in (ends, ends.astype(np.float32)):
        assert GIVEN.covers(zred).all()
        assert GIVEN.at(zred)[:, 0] == pytest.approx([LOW, HIGH], abs=1e-6)
        assert ((GIVEN.at(zred) >= LOW) & (GIVEN.at(zred) <= HIGH)).all()
    beyond = np.array([ends[0] + 1e-5, ends[1] - 1e-5, np.nan, 5.0])
    assert not GIVEN.covers(beyond).any()


@given(st.lists(st.floats(LOW, HIGH), min_size=1, max_size=30))
def test_redshift_and_theta_agree(ages):
    """The redshift of theta is where the Universe has the age that theta says."""
    theta = np.tile(PRIOR.bounds[1], (len(ages), 1))
    theta[:, TAGE] = ages

    assert age_of_universe(GIVEN.redshift(theta)) == pytest.approx(np.array(ages), abs=1e-8)
    assert GIVEN.covers(GIVEN.redshift(theta)).all()


def test_columns_are_put_together_in_their_order():
    """What is inferred and what is given, of any leading shape and kind of number."""
    inferred = np.arange(24.0).reshape(2, 3, 4)
    whole = GIVEN.join(inferred, np.array([[9.0], [10.0], [11.0]]))

    assert np.array_equal(whole[..., PRIOR.inferred], inferred)
    assert np.array_equal(whole[..., TAGE], [[9, 10, 11]] * 2)
    assert GIVEN.join(np.arange(4), -1).tolist() == [0, 1, 2, -1, 3]


def test_without_a_given_column_nothing_is_known_and_everything_covered():
    """No redshift is needed, and columns are what they were."""
    none, columns = tiny.prior().given, np.arange(5.0)

    assert not none and none.inferred.all() and none.redshift(columns[None]) is None
    assert none.at(None).shape == (0,) and none.at(np.zeros((3, 1))).shape == (3, 1, 0)
    assert none.covers(np.array([0.0, 30.0, np.nan])).all()
    assert none.join(columns, np.nan) is columns


def test_one_number_has_one_column(monkeypatch):
    """Two ages that are both that of the Universe are refused by name."""
    other = replace(parameters.PARAMETERS["tau"], name="other", age=True, high=14.0)
    monkeypatch.setitem(parameters.PARAMETERS, "other", other)
    columns = dict(PRIOR.columns)
    columns["other"] = columns["tage"]

    with pytest.raises(ValueError, match="tage and other are both given as age_of_universe"):
        Prior(columns)
    assert Given({name: columns[name] for name in PRIOR.names}).names == ("tage",)


FIXED = {"dust2": {"given": 0.03}, "tau": {"given": 1.0}}


def test_fixed_columns_are_known_without_a_redshift():
    """One number for all objects, whatever their redshift, and covered everywhere."""
    given = Prior(tiny.DIGS | FIXED).given

    assert given.names == ("dust2", "tau") and given.fixed.all() and given.inferred.sum() == 3
    for zred, shape in ((None, ()), (0.3, ()), (np.array([0.0, 30.0, np.nan]), (3,))):
        assert given.at(zred).shape == (*shape, 2) and (given.at(zred) == [0.03, 1.0]).all()
        assert given.covers(zred).all()
    assert given.redshift(np.ones((2, 5))) is None
    whole = given.join(np.arange(6.0).reshape(2, 3), given.at(None))
    assert whole.tolist() == [[0, 1, 0.03, 2, 1], [3, 4, 0.03, 5, 1]]


def test_fixed_columns_stand_beside_a_given_age():
    """Each is what it is alone."""
    given, zred = Prior(dict(PRIOR.columns) | FIXED).given, np.array([0.0, 0.5, 3.0, np.nan])

    assert given.names == ("dust2", "tage", "tau") and given.fixed.tolist() == [True, False, True]
    assert np.array_equal(given.at(zred)[:, [1]], GIVEN.at(zred), equal_nan=True)
    assert (given.at(zred)[:, [0, 2]] == [0.03, 1.0]).all()
    assert np.array_equal(given.covers(zred), GIVEN.covers(zred))
    theta = np.tile(PRIOR.bounds[1], (2, 1))
    assert np.array_equal(given.redshift(theta), GIVEN.redshift(theta))
    with pytest.raises(ValueError, match="tage is given by the redshift of each object"):
        given.at(None)


def test_a_fixed_age_is_no_older_than_the_universe():
    """Where the prior bounds ages; nothing is known of an object that would be."""
    columns, zred = tiny.DIGS | {"tage": {"given": 5.0}}, np.array([0.0, 1.0, 1.4, 3.0, np.nan])

    assert Prior(columns, True).given.covers(zred).tolist() == [True, True, False, False, False]
    assert Prior(columns).given.covers(zred).all()


REDSHIFT = {"zred": {"low": 0.0, "high": 0.8, "given": "redshift"}}


def test_the_redshift_itself_may_be_a_column():
    """As it is, a rounding beyond its range among it; an age beside it would be the same twice."""
    given = Prior(tiny.DIGS | REDSHIFT).given
    zred = np.array([0.0, 0.3, 0.8, 0.8 + 1e-7, 0.9, -0.1, np.nan])
    theta = np.tile(np.arange(6.0), (7, 1))
    theta[:, 5] = zred

    assert given.names == ("zred",) and given.covers(zred).tolist() == [True] * 4 + [False] * 3
    assert np.array_equal(given.at(zred)[:3, 0], zred[:3]) and given.at(zred)[3, 0] == 0.8
    assert np.array_equal(given.redshift(theta), zred, equal_nan=True)
    with pytest.raises(ValueError, match="zred is given by the redshift of each object"):
        given.at(None)
    both = Prior(dict(PRIOR.columns) | FIXED).columns
    with pytest.raises(ValueError, match="given as age_of_universe and redshift: give one"):
        Prior(dict(both) | REDSHIFT)
