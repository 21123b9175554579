"""Families of histories: each keeps what the engine, FSPS and a chain ask of it."""

import numpy as np
import pytest
import torch
from history_checks import LARGEST

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.histories import HISTORIES, family_of
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior

LOG_AGE = np.arange(5.5, 10.31, 0.05)
LOWEST = {"tage": 2.5}  # below it not all bins of age ascend


def prior_of(family):
    """Over all that a parameter may be, in units of which none is zero."""
    known = {name: parameter(name) for name in family.names}
    return Prior(
        {
            name: {"low": max(p.low, LOWEST.get(name, 0.1)), "high": p.high}
            for name, p in known.items()
        }
    )


@pytest.mark.parametrize("family", HISTORIES.values(), ids=HISTORIES)
def test_every_family_keeps_its_word(family):
    """Mass of one, components that mix to it, NaN for no history, coordinates that are undone."""
    prior = prior_of(family)
    theta = prior.sample(30, np.random.default_rng(0))
    history = family(prior.columns)
    column = dict(zip(family.names, theta.T, strict=True))
    weights, components = history.weights(LOG_AGE, column), history.components(LOG_AGE)
    values = {name: torch.tensor(x).float() for name, x in column.items()}
    index, share = history.mixture(LOG_AGE, values)
    mixed = (share[:, :, None] * torch.from_numpy(components)[index.long()]).sum(1).numpy()

    assert weights.sum(1) == pytest.approx(np.ones(30))
    assert index.dtype == torch.int32 and share.shape == index.shape and share.shape[1] % 4 == 0
    assert np.abs(mixed.cumsum(1) - weights.cumsum(1)).max() < LARGEST
    nothing = {name: torch.full((1,), torch.nan) for name in family.names}
    assert history.mixture(LOG_AGE, nothing)[1].isnan().all()
    curved = theta[:, [family.names.index(name) for name in family.curved]]
    assert history.theta(history.straight(curved))[0] == pytest.approx(curved, rel=1e-6)


@pytest.mark.parametrize("family", HISTORIES.values(), ids=HISTORIES)
def test_prospector_knows_the_templates(family):
    """And takes the values of a row under its own names."""
    templates = pytest.importorskip("prospect.models.templates").TemplateLibrary

    assert {*family.example} == {*family.names}
    known = {"sf_trunc", "mass"}.union(
        *(templates[name] for name in family.templates)
    )  # FSPS's own
    assert {*family.prospector(family.example)} <= known


def test_columns_tell_the_family():
    """Others of theta do not matter; without those of any the likely ones are named."""
    for kind, family in HISTORIES.items():
        assert family_of(("logmass", *family.names, "dust2")) is HISTORIES[kind]
    with pytest.raises(BadInput, match="needs tau for its star-formation history delayed_tau"):
        family_of(("logmass", "tage"))
    with pytest.raises(BadInput, match="needs tau for its star-formation history delayed_tau_bur"):
        family_of(("tage", "fburst", "burst_age_fraction"))


@pytest.mark.parametrize("family", HISTORIES.values(), ids=HISTORIES)
def test_times_are_those_of_the_mass(family):
    """Shares, lookback times and mean ages against sums over finely spaced populations."""
    prior = prior_of(family)
    theta = prior.sample(30, np.random.default_rng(0))
    column = dict(zip(family.names, theta.T, strict=True))
    log_age = np.arange(3.0, 10.301, 0.002)
    weights = family(prior.columns).weights(log_age, column)
    ages = 10 ** (log_age - 9)

    assert family.mean_age(column) == pytest.approx(weights @ ages, rel=1e-3)
    for age in (0.01, 0.1, 1.0):
        summed = (weights * (ages <= age)).sum(1)
        fewer, more = (family.younger(age * side, column) for side in (0.99, 1.01))
        assert (fewer <= summed + 1e-6).all() and (more >= summed - 1e-6).all()
        assert (more - fewer < 0.05).mean() > 0.8  # but for bursts at that very age
    for share in (0.1, 0.5, 0.9):
        times = family.lookback(share, column)
        before, after = (family.younger(times * (1 + side), column) for side in (-1e-9, 1e-9))
        # Between the two where much forms at once.
        assert (before <= 1 - share + 1e-6).all() and (after >= 1 - share - 1e-6).all()
    everything = family.younger(20.0, column)
    assert everything == pytest.approx(np.ones(30), rel=1e-12)
