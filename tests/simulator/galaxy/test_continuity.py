"""Bins of age with ratios between neighbours: where they are, Prospector, the engine."""

import numpy as np
import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.continuity import Continuity
from hpcsbi.simulator.galaxy.physics import Physics, check_names
from hpcsbi.simulator.theta.prior import Prior

PRIOR = Prior(tiny.columns("continuity"))


def columns(bins, tage=13.7, ratios=0.0):
    return {"tage": [tage]} | {f"logsfr_ratio_{i}": [ratios] for i in range(1, bins)}


@pytest.mark.parametrize("bins", [4, 7, 14])
def test_bins_are_those_of_the_paper(bins):
    """30 and 100 Myr, equal ones in the logarithm to .85 of the age of the Universe, and it."""
    templates = pytest.importorskip("prospect.models.templates")
    model = templates.TemplateLibrary["continuity_sfh"]
    theirs = templates.adjust_continuity_agebins(model, tuniv=13.7, nbins=bins)["agebins"]["init"]
    row = {name: values[0] for name, values in columns(bins).items()}
    ours = Continuity.prospector(row)["agebins"]

    assert ours.shape == (bins, 2)
    assert ours[:, 1] == pytest.approx(np.array(theirs)[:, 1], abs=1e-4)  # 10^7.4772 is 30.004 Myr


def test_masses_are_prospectors():
    """Of ratios that differ."""
    transforms = pytest.importorskip("prospect.models.transforms")
    rng = np.random.default_rng(0)
    column = {name: rng.normal(size=1) for name in columns(7)} | {"tage": [10.0]}
    told = Continuity.prospector({name: values[0] for name, values in column.items()})
    masses = transforms.logsfr_ratios_to_masses(**told)
    edges = 10 ** (told["agebins"][:, 1] - 9)

    younger = [Continuity.younger(edge, column)[0] for edge in edges]
    assert younger == pytest.approx(masses.cumsum(), rel=1e-6)


def test_a_constant_rate_knows_no_bins():
    """With no ratio but one all is constant star formation since tage, in any number of bins."""
    log_age = np.linspace(5, 10.3, 107)
    few, many = (Continuity.weights(log_age, columns(bins, 9.0)) for bins in (4, 11))

    assert few == pytest.approx(many, abs=1e-12)
    assert Continuity.mean_age(columns(7, 9.0)) == pytest.approx(4.5)
    assert Continuity.younger(0.1, columns(7, 10.0)) == pytest.approx(0.01)


def test_numbers_have_no_gap():
    """A ratio that no bin takes is told."""
    names = ("logmass", "logzsol", "dust2", *columns(6))
    check_names(names, Physics())
    with pytest.raises(BadInput, match="logsfr_ratio_8 without logsfr_ratio_6"):
        check_names((*names, "logsfr_ratio_8"), Physics())
