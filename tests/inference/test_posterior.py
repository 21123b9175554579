"""Draws of a trained flow: inside the prior, an object's own, and of the density it tells."""

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.prior import age_of_universe
from hpcsbi.store.store import open_complete


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    run = tmp_path_factory.mktemp("flow")
    training = tiny.pairs(run, survey=True)
    flow = tiny.trained(run, training, representation="projection", steps=150)
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "test")
    return load_posterior(flow), store.read("flux", rows), store.read("ivar", rows)


def test_draws_lie_inside_the_prior(survey):
    """Every draw, as float32 as it is stored, is inside the box and younger than the Universe."""
    posterior, flux, ivar = survey
    zred = np.linspace(0.0, 3.0, 40)
    draws = posterior.sample(flux[:40], ivar[:40], 200, np.arange(40), zred, cap=50)
    some = np.arange(200) < draws.kept[:, None]
    tage = draws.theta[..., posterior.names.index("tage")]

    assert posterior.prior.support(draws.theta)[some].all()
    assert (tage <= age_of_universe(zred)[:, None])[some].all()
    assert np.isnan(draws.theta[~some]).all()
    assert (draws.kept > 0).mean() > 0.8


def test_draws_depend_on_the_object_alone(survey):
    """In another batch, in another place, an object keeps its draws."""
    posterior, flux, ivar = survey
    seeds = np.arange(20) + 7
    together = posterior.sample(flux[:20], ivar[:20], 50, seeds)
    order = np.array([13, 2, 17])
    apart = posterior.sample(flux[order], ivar[order], 50, seeds[order])

    assert np.allclose(together.theta[order], apart.theta, rtol=1e-3, equal_nan=True)
    assert np.array_equal(together.kept[order], apart.kept)


def test_a_hard_object_does_not_hold_up_the_others(survey):
    """An object whose draws all lie outside stops at its cap; the others have all of theirs."""
    posterior, flux, ivar = survey
    far = np.concatenate([flux[:1] * 1e9, flux[1:4]])
    weights = np.concatenate([ivar[:1] * 1e-18, ivar[1:4]])
    draws = posterior.sample(far, weights, 100, np.arange(4), cap=5)

    assert draws.kept[0] == 0 and draws.acceptance[0] == 0
    assert (draws.kept[1:] == 100).all()


def test_log_prob_is_that_of_the_draws(survey):
    """The density that comes with a draw is the density of that theta."""
    posterior, flux, ivar = survey
    draws = posterior.sample(flux[:5], ivar[:5], 20, np.arange(5))

    for i in range(5):
        n = draws.kept[i]
        again = posterior.log_prob(
            draws.theta[i, :n], np.repeat(flux[i : i + 1], n, 0), np.repeat(ivar[i : i + 1], n, 0)
        )
        assert np.median(abs(again - draws.log_prob[i, :n])) < 0.05


@pytest.mark.parametrize("side", [-8.0, 8.0])
def test_draws_that_pile_up_at_a_bound_are_kept(survey, side):
    """Eight sigma out the box ends in float32; rounding beyond it must not cast the draws out."""
    posterior, flux, ivar = survey
    shift = posterior._context(flux[:3], ivar[:3])[1]
    middle = (posterior.prior.low + posterior.prior.high) / 2
    free = posterior.representation.free.numpy()

    def far(z):
        return torch.full_like(z, side), z[..., 0]

    drawn = posterior._transform(torch.zeros(4, 3, 7), far, shift)[0]
    drawn[..., free] = middle[free]

    assert posterior.prior.support(drawn).all()
    high = posterior.prior.columns["logzsol"].high
    assert float(np.float32(high)) > high  # control: it does round outwards


def test_what_stands_under_a_mask_does_not_count(survey):
    """NaN or infinity in a masked pixel leaves the draws as they were."""
    posterior, flux, ivar = survey
    dirty = flux[:6].copy()
    dirty[ivar[:6] == 0] = np.nan
    dirty[:3][ivar[:3] == 0] = np.inf
    clean = posterior.sample(flux[:6], ivar[:6], 20, np.arange(6))

    assert np.isnan(dirty).any() and np.isinf(dirty).any()
    again = posterior.sample(dirty, ivar[:6], 20, np.arange(6))
    assert np.array_equal(again.theta, clean.theta, equal_nan=True)
