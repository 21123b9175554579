"""Bins of age whose edges move: where they are, Prospector, the engine."""

import numpy as np
import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.post_starburst import PostStarburst
from hpcsbi.simulator.theta.prior import Prior

PRIOR = Prior(tiny.columns("post_starburst"))


@pytest.mark.parametrize("more", [{}, {"tflex": 3.5}])
def test_bins_and_masses_are_prospectors(more):
    """By its own transforms, of any row whose bins last a million years."""
    transforms = pytest.importorskip("prospect.models.transforms")
    for theta in PRIOR.sample(20, np.random.default_rng(0)):
        row = dict(zip(PRIOR.names, theta, strict=True)) | more
        told = {name: np.atleast_1d(x) for name, x in PostStarburst.prospector(row).items()}
        agebins = transforms.psb_logsfr_ratios_to_agebins(**told)
        masses = transforms.logsfr_ratios_to_masses_psb(**told)
        if np.diff(10**agebins, axis=1).min() < 1e6:
            continue
        column = {name: [value] for name, value in row.items()}

        assert told["agebins"][:, 1] == pytest.approx(agebins[:, 1], abs=1e-7)
        edges = 10 ** (agebins[:, 1] - 9)
        younger = [PostStarburst.younger(edge, column)[0] for edge in edges]
        assert younger == pytest.approx(masses.cumsum(), abs=1e-5)


def test_flexible_bins_form_equal_masses():
    """A burst makes the bins around it narrow; without ratios the rate is constant."""
    flat = {name: [0.0] for name in PostStarburst.names} | {"tage": [10.0], "tlast": [0.5]}
    assert PostStarburst.mean_age(flat) == pytest.approx(5.0)
    burst = flat | {"logsfr_ratio_1": [-2.0], "logsfr_ratio_3": [2.0]}
    edges = 10 ** (PostStarburst.prospector({n: x[0] for n, x in burst.items()})["agebins"] - 9)
    masses = [
        float(np.diff([PostStarburst.younger(e, burst)[0] for e in ends])[0]) for ends in edges
    ]

    assert masses[1:6] == pytest.approx([masses[1]] * 5, rel=1e-5)
    widths = np.diff(edges, axis=1)[1:6, 0]
    assert widths[1] == pytest.approx(widths[2]) and widths[0] == pytest.approx(100 * widths[1])
    assert edges[5, 1] == pytest.approx(2.0) and edges[-1, 1] == pytest.approx(10.0)


def test_flexible_bins_end_where_the_prior_says():
    """At 2 Gyr to the byte, elsewhere with room for the others; else the line names both."""
    flat = {name: [0.0] for name in PostStarburst.names} | {"tage": [10.0], "tlast": [0.5]}
    some = flat | {"logsfr_ratio_1": [-2.0], "logsfr_ratio_old_1": [0.5]}
    log_age = np.linspace(5, 10.3, 107)
    default, same, other = (
        PostStarburst.weights(log_age, some | more)
        for more in ({}, {"tflex": [2.0]}, {"tflex": [4.0]})
    )
    assert np.array_equal(default, same) and np.abs(default - other).max() > 0.01

    columns = tiny.columns("post_starburst")
    for tflex, message in (
        (1.5, "tlast reaches 1.5 Gyr, .* end at 1.5 .tflex.: let it reach 1.4"),
        (6.2, "tage begins at 6.5 Gyr.*ascend from 6.7 Gyr on"),
    ):
        told = columns | {"tflex": {"given": tflex}}
        with pytest.raises(BadInput, match=message):
            PostStarburst(Prior(told).columns)
    PostStarburst(Prior(columns | {"tflex": {"low": 1.6, "high": 6.0}}).columns)
