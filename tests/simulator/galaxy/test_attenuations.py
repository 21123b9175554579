"""Which dust it is, by FSPS's number and theta's columns; a wrong pair is told in one line."""

import pytest

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS, attenuation_of
from hpcsbi.simulator.galaxy.dust import CURVES
from hpcsbi.simulator.theta.parameters import PARAMETERS

OTHERS = ("logmass", "logzsol", "tage", "tau")


def test_every_family_is_found_by_its_columns():
    """Each with each of its types, in any company; no two are mistaken for each other."""
    for family in ATTENUATIONS.values():
        for number in family.dust_types:
            assert attenuation_of(number, (*OTHERS, *reversed(family.names))) is family
    assert {n for family in ATTENUATIONS.values() for n in family.dust_types} == {*CURVES}
    names = {name for family in ATTENUATIONS.values() for name in family.names}
    assert names <= {*PARAMETERS}
    for family in ATTENUATIONS.values():
        assert {*family.example} == {*family.names}


@pytest.mark.parametrize(
    ("number", "names", "told"),
    [
        (2, ("dust2", "dust_index"), r"dust_type is 2, .* dust2, or dust2 and dust1_fraction; "
         r"theta has dust2 and dust_index: .* another physics.dust_type \(4\)\."),
        (4, ("dust2",), r"dust_type is 4, .* dust2 and dust_index, or dust2 and dust_index and "
         r"dust1_fraction; theta has dust2: .* \(0 or 2\)"),
        (4, ("dust2", "dust1_fraction"), r"theta has dust2 and dust1_fraction: .* \(0 or 2\)"),
        (2, (), r"theta has no such column: change conf/prior"),
    ],
)  # fmt: skip
def test_a_wrong_pair_names_both_sides(number, names, told):
    """A slope that nothing reads, a curve without its slope."""
    with pytest.raises(BadInput, match=told):
        attenuation_of(number, (*OTHERS, *names))
