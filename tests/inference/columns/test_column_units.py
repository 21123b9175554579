"""Units and UCDs are those of the standards, and nothing that a catalogue tells lacks them."""

import warnings

import pytest
from astropy import units
from astropy.io.votable.ucd import parse_ucd

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.catalogue_columns import ARRAYS
from hpcsbi.inference.columns.column_units import OF_ARRAYS, of_parameter, of_quantity
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.parameters import PARAMETERS

ALL = {
    **OF_ARRAYS,
    **{name: of_parameter(name) for name in PARAMETERS},
    **{each.name: of_quantity(each.name) for each in QUANTITIES},
}


@pytest.mark.parametrize("name", ALL)
def test_units_and_ucds_parse(name):
    """By astropy, in both forms, every word one of UCD1+ in its place."""
    meant = ALL[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)  # VOUnit would rather have 0.1 nm
        for form in ("fits", "vounit"):
            units.Unit(meant.unit, format=form, parse_strict="raise")
    parse_ucd(meant.ucd, check_controlled_vocabulary=True)


def test_a_wrong_word_would_be_noticed():
    """The check is one."""
    with pytest.raises(ValueError, match="wrong"):
        parse_ucd("phys.mass;phys.SFR.wrong", check_controlled_vocabulary=True)


def test_units_are_those_of_the_model():
    """Where the model itself names a unit in one word, it is the same."""
    for name, meant in ((name, of_parameter(name)) for name in PARAMETERS):
        word = PARAMETERS[name].unit.split(",")[0]
        if word in ("Gyr", "km/s"):
            assert meant.unit == word, name
        else:
            assert meant.unit == "", name
        assert meant.words
    for each in QUANTITIES:
        of_ours = {"Gyr": "Gyr", "mag": "mag", "1": "", "1 / yr": "yr**-1"}
        if each.unit in of_ours:
            assert of_quantity(each.name).unit == of_ours[each.unit], each.name


def test_nothing_is_left_out():
    """Every array is a thing of its own or has names along it; what is unknown is refused."""
    along = {"parameter", "quantity", "axis", "name"}
    assert {name for name, (dims, *_) in ARRAYS.items() if not along & {*dims}} <= {*OF_ARRAYS}
    with pytest.raises(BadInput, match="no unit"):
        of_parameter("mass_of_the_moon")
