"""What is not inferred, and what theta must hold."""

from itertools import product

import pytest

from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS
from hpcsbi.simulator.galaxy.histories import HISTORIES
from hpcsbi.simulator.galaxy.physics import Physics, check_names
from hpcsbi.simulator.theta.parameters import PARAMETERS

PHYSICS = Physics()
NAMES = ("logmass", "logzsol", "dust2", "tage", "tau", "line_strength")


def test_physics_that_has_no_closed_form_is_refused():
    """Types and widths that the table cannot reproduce are named at composition."""
    for bad in ({"dust_type": 1}, {"imf_type": 5}, {"sigma_smooth": 0.0}, {"gas_logu": 1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Physics(**bad)
    assert Physics(**Physics().settings()) == Physics()


def test_a_missing_column_is_named():
    """What every spectrum needs, and what a history does."""
    with pytest.raises(ValueError, match="needs tau for its star-formation history delayed_tau"):
        check_names(NAMES[:4], PHYSICS)
    with pytest.raises(ValueError, match="needs logmass"):
        check_names(NAMES[1:], PHYSICS)


def columns(family):
    return {*family.names, *family.further}


def test_a_column_that_would_change_nothing_is_refused():
    """All parameters that a prior may have count; another name is not passed over in silence."""
    histories = {name for family in HISTORIES.values() for name in columns(family)}
    dusts = {name for family in ATTENUATIONS.values() for name in family.names}
    for history, dust in product(HISTORIES.values(), ATTENUATIONS.values()):
        others = (histories - columns(history)) | (dusts - {*dust.names})
        physics = Physics(dust_type=dust.dust_types[0])
        check_names([name for name in PARAMETERS if name not in others], physics)

    with pytest.raises(ValueError, match="imf_type, on which no spectrum here depends"):
        check_names((*NAMES, "imf_type"), PHYSICS)
    with pytest.raises(
        ValueError, match=r"fburst, on .*, or add burst_age_fraction for the star-f"
    ):
        check_names((*NAMES, "fburst"), PHYSICS)
    ratios = tuple(f"logsfr_ratio_{i}" for i in range(1, 4))
    with pytest.raises(ValueError, match=r"tau, on .*, or take out logsfr_ratio_1, logsfr_ratio_2"):
        check_names((*NAMES, *ratios), PHYSICS)
