"""Each parameter is told once and wholly; a name that is none is refused."""

import pytest
from matplotlib.mathtext import MathTextParser

from hpcsbi.errors import BadInput
from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.parameters import PARAMETERS, ZRED, parameter
from hpcsbi.simulator.theta.prior import Prior


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_can_be_a_column(name):
    """Its name leads to it, its whole range is a prior, and its labels are words for a figure."""
    known = parameter(name)

    assert known.name == name and known.unit and known.header
    column = Column(known.low, known.high, given="redshift" if name == ZRED else None)
    assert Prior({name: column}).units == {name: known.unit}
    for text in filter(None, (known.label, known.log_label)):
        MathTextParser("agg").parse(text)


@pytest.mark.parametrize(
    "name, message", [("log_mass", "did you mean logmass"), ("sigma", "'sigma' is unknown.*tau")]
)
def test_other_names_are_refused(name, message):
    """The likely name is told, or all of them."""
    with pytest.raises(BadInput, match=message):
        parameter(name)
