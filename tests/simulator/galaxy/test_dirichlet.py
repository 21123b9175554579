"""Bins of age whose fractions are a Dirichlet draw: the draw, Prospector, the engine."""

import numpy as np
import pytest
import tiny
from scipy import stats

from hpcsbi.simulator.galaxy.dirichlet import Dirichlet
from hpcsbi.simulator.theta.prior import Prior

PRIOR = Prior(tiny.columns("dirichlet"))


def fractions(column):
    """Of the rate of each bin in the sum of all, shape (n, bins)."""
    ends = 10 ** (Dirichlet.prospector({n: x[0] for n, x in column.items()})["agebins"] - 9)
    masses = np.diff([Dirichlet.younger(end, column) for end in [1e-9, *ends[:, 1]]], axis=0)
    rates = masses / np.diff(ends, axis=1)
    return (rates / rates.sum(0)).T


def test_fractions_are_a_dirichlet_draw():
    """Each is beta distributed with 1 and 6, whichever bin it is of; their sum is one."""
    theta = PRIOR.sample(3000, np.random.default_rng(0))
    theta[:, PRIOR.names.index("tage")] = 10.0
    column = dict(zip(PRIOR.names, theta.T, strict=True))
    share = fractions(column)

    assert share.sum(1) == pytest.approx(np.ones(3000))
    for bin in range(7):
        assert stats.kstest(share[:, bin], stats.beta(1, 6).cdf).pvalue > 1e-4
        assert stats.kstest(share[:, bin], stats.beta(1, 5).cdf).pvalue < 1e-6  # negative control
    assert np.corrcoef(share.T)[0, 1] == pytest.approx(-1 / 6, abs=0.1)


def test_masses_are_prospectors():
    """By its own transform."""
    transforms = pytest.importorskip("prospect.models.transforms")
    for theta in PRIOR.sample(10, np.random.default_rng(1)):
        row = dict(zip(PRIOR.names, theta, strict=True))
        told = Dirichlet.prospector(row)
        masses = transforms.zfrac_to_masses(**told)
        column = {name: [value] for name, value in row.items()}
        younger = [Dirichlet.younger(10 ** (end - 9), column)[0] for end in told["agebins"][:, 1]]
        assert younger == pytest.approx(masses.cumsum(), abs=1e-6)
