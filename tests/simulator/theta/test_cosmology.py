"""The age of the Universe, and the redshift at which it had one."""

import warnings

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import WMAP9, z_at_value
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.simulator.theta.cosmology import age_of_universe, redshift_at_age


@given(st.lists(st.floats(-0.019, 20.4), min_size=1, max_size=20))
def test_there_and_back(zred):
    """The inverse gives the redshift again, blueshifts too, in any shape."""
    zred = np.array(zred)

    assert redshift_at_age(age_of_universe(zred)) == pytest.approx(zred, abs=1e-9)
    assert redshift_at_age(age_of_universe(zred[:, None])).shape == (len(zred), 1)


@pytest.mark.parametrize("age", [0.5, 3.0, 6.5, 13.0, 13.8])
def test_the_inverse_is_astropys(age):
    """Agreement with a root finder; a Universe older than today's is blueshifted."""
    theirs = z_at_value(WMAP9.age, age * units.Gyr, zmin=-0.5, zmax=30)

    assert redshift_at_age(age) == pytest.approx(float(theirs), abs=1e-7)
    assert (redshift_at_age(age) < 0) == (age > 13.77)


@given(st.lists(st.floats(-0.3, 1000), min_size=1, max_size=20))
def test_the_age_is_astropys(zred):
    """Within the table and beyond it, row by row."""
    theirs = WMAP9.age(np.array(zred)).to_value("Gyr")

    np.testing.assert_allclose(age_of_universe(np.array(zred)), theirs, rtol=1e-10)


def test_what_is_no_redshift_has_no_age():
    """NaN, and the Universe turned inside out: no number and no warning; nothing of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ages = age_of_universe(np.array([np.nan, -1.0, -3.0, 0.0]))
        far = redshift_at_age(np.array([0.1, 20.0]))

    assert np.isnan(ages[:3]).all() and ages[3] == pytest.approx(13.769, abs=1e-3)
    assert np.isnan(far).all()
    assert age_of_universe(np.empty(0)).shape == (0,)
