"""Draws of a trained flow: inside the prior, an object's own, and of the density it tells."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.store.opening import open_complete


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    run = tmp_path_factory.mktemp("flow")
    training = tiny.pairs(run, survey=True)
    flow = tiny.trained(run, training, representation="projection", steps=150)
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "test")
    spectra = (store.read(name, rows) for name in ("flux", "ivar"))
    return load_posterior(flow), Batch(*spectra, np.arange(100))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A flow under a given age, and spectra at their redshifts."""
    run = tmp_path_factory.mktemp("given")
    training = tiny.pairs(run, n=100, under=tiny.given_prior(), validation=30, test=60)
    flow = tiny.trained(run, training, steps=150)
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "test")
    theta, flux, ivar, zred = (store.read(name, rows) for name in ("theta", "flux", "ivar", "zred"))
    return load_posterior(flow), Batch(flux, ivar, np.arange(60), zred), theta


def test_a_given_column_is_that_of_the_redshift(given):
    """In every draw, to the last digit; the base space has one dimension less, and the density of
    draws is that of the inferred columns.
    """
    posterior, batch, _ = given
    prior, tage = posterior.prior, posterior.names.index("tage")
    draws = posterior.sample(batch[:20], 50)
    age = age_of_universe(batch.zred.astype(float))
    z = np.random.default_rng(0).normal(size=(20, 30, 4))
    mapped, log_jacobian = posterior.mapping(draws.conditions)(z)

    assert posterior.n_base == 4 and draws.coordinates.shape == (20, 50, 5)
    assert (draws.kept > 0).mean() > 0.8
    drawn = draws.coordinates[np.arange(50) < draws.kept[:, None]]
    assert np.array_equal(drawn[:, tage], np.repeat(age[:20], draws.kept))
    assert (mapped[..., tage] == age[:20, None]).all()
    assert prior.support(prior.theta(draws.coordinates, np.float32))[draws.kept > 0, 0].all()
    for i in range(5):
        n = draws.kept[i]
        rows = batch[np.full(n, i)]
        again = posterior.log_prob(draws.coordinates[i, :n], rows.flux, rows.ivar)
        assert np.median(abs(again - draws.log_prob[i, :n])) < 0.05
    assert log_jacobian.shape == (20, 30) and np.isfinite(log_jacobian).all()


def test_a_flow_that_is_told_another_age_says_so(given):
    """Draws at another redshift have its age, and other inferred columns; the truth's density has
    its maximum near the age that made the spectrum, over all spectra.
    """
    posterior, batch, theta = given
    far = replace(batch, zred=np.full(60, 0.75))
    here, there = (posterior.sample(each, 100) for each in (batch, far))
    tau = posterior.names.index("tau")
    both = (here.kept == 100) & (there.kept == 100)
    assert both.mean() > 0.5
    moved = np.abs(here.coordinates[both] - there.coordinates[both]).mean(1)
    assert np.median(moved[:, tau]) > 1e-3 and (moved[:, 3] > 0.01).mean() > 0.8

    truth = posterior.prior.coordinates(theta)
    shuffled = truth.copy()
    shuffled[:, 3] = np.roll(truth[:, 3], 7)
    right, wrong = (posterior.log_prob(c, batch.flux, batch.ivar) for c in (truth, shuffled))
    assert np.mean(right - wrong) > 0


def test_nothing_is_drawn_where_nothing_is_known(given):
    """A redshift beyond the range of the given column, or none: no draw, and an error without any;
    the others of the batch are what they were.
    """
    posterior, batch, _ = given
    zred = batch.zred[:6].astype(float)
    zred[[1, 4]] = 2.0, np.nan
    draws = posterior.sample(replace(batch[:6], zred=zred), 20)
    alone = posterior.sample(batch[:6], 20)

    assert (draws.kept == 0).tolist() == [False, True, False, False, True, False]
    assert np.array_equal(draws.coordinates[[0, 2, 3, 5]], alone.coordinates[[0, 2, 3, 5]])
    with pytest.raises(ValueError, match="tage is given by the redshift of each object"):
        posterior.sample(replace(batch, zred=None), 20)


def test_draws_lie_inside_the_prior(survey):
    """Every draw is inside the box and younger than the Universe, also as float32 in a file."""
    posterior, batch = survey
    zred = np.linspace(0.0, 3.0, 40)
    draws = posterior.sample(replace(batch[:40], zred=zred), 200, cap=50)
    some = np.arange(200) < draws.kept[:, None]
    prior, written = posterior.prior, posterior.prior.theta(draws.coordinates, np.float32)
    tage = prior.theta(draws.coordinates)[..., posterior.names.index("tage")]

    assert prior.inside(draws.coordinates, zred[:, None])[some].all()
    assert prior.support(written, zred[:, None])[some].all()
    assert prior.support(written.astype(float))[some].all()
    assert (tage <= age_of_universe(zred)[:, None])[some].all()
    assert np.isnan(draws.coordinates[~some]).all() and np.isnan(written[~some]).all()
    assert (draws.kept > 0).mean() > 0.8


def test_draws_depend_on_the_object_alone(survey):
    """In another batch, in another place, an object keeps its draws."""
    posterior, batch = survey
    together = posterior.sample(batch[:20], 50)
    order = np.array([13, 2, 17])
    apart = posterior.sample(batch[order], 50)

    assert np.allclose(together.coordinates[order], apart.coordinates, atol=1e-3, equal_nan=True)
    assert np.array_equal(together.kept[order], apart.kept)


def test_a_hard_object_does_not_hold_up_the_others(survey):
    """An object whose draws all lie outside stops at its cap; the others have all of theirs."""
    posterior, batch = survey
    far = np.concatenate([batch.flux[:1] * 1e9, batch.flux[1:4]])
    weights = np.concatenate([batch.ivar[:1] * 1e-18, batch.ivar[1:4]])
    draws = posterior.sample(Batch(far, weights, np.arange(4)), 100, cap=5)

    assert draws.kept[0] == 0 and draws.acceptance[0] == 0
    assert (draws.kept[1:] == 100).all()


def test_log_prob_is_that_of_the_draws(survey):
    """The density that comes with a draw is the density of its coordinates."""
    posterior, batch = survey
    draws = posterior.sample(batch[:5], 20)

    for i in range(5):
        n = draws.kept[i]
        same = batch[np.full(n, i)]
        again = posterior.log_prob(draws.coordinates[i, :n], same.flux, same.ivar)
        assert np.median(abs(again - draws.log_prob[i, :n])) < 0.05


@pytest.mark.parametrize("side", [-8.0, 8.0])
def test_draws_that_pile_up_at_a_bound_are_kept(survey, side):
    """Eight sigma out the box ends in float32; rounding beyond it must not cast the draws out.

    Neither does it carry what is written out of the prior: draws and quantiles.
    """
    posterior, batch = survey
    prior, free = posterior.prior, posterior.representation.free

    def piled(context):
        to_flow = posterior.invert(context)

        def mapped(z):
            u, log_det = to_flow(z)
            return torch.where(free, u, side), log_det

        return mapped

    other = copy.copy(posterior)
    other.invert = piled
    drawn = other.sample(batch[:20], 50, cap=50)
    draws = drawn.coordinates[drawn.kept == 50]
    low, high = prior.bounds

    assert len(draws) > 5 and prior.inside(draws).all()
    boxed, at = ~free.numpy(), (prior.low, prior.high)[side > 0]
    assert np.allclose(draws[..., boxed], at[boxed], atol=1e-6)
    written = prior.theta(draws, np.float32)
    quantiles = drawn.quantiles(prior, [0.025, 0.5])[:, drawn.kept == 50].astype(np.float32)
    for theta in (written.astype(float), quantiles.astype(float)):
        assert prior.support(theta).all()  # to the last digit of the bounds as they were given
        assert prior.inside(prior.coordinates(theta)).all()
    assert (np.float32(low) < low).any() and (np.float32(high) > high).any()  # control: outwards


def test_what_stands_under_a_mask_does_not_count(survey):
    """NaN or infinity in a masked pixel leaves the draws as they were."""
    posterior, batch = survey
    few = batch[:6]
    dirty = few.flux.copy()
    dirty[few.ivar == 0] = np.nan
    dirty[:3][few.ivar[:3] == 0] = np.inf
    clean = posterior.sample(few, 20)

    assert np.isnan(dirty).any() and np.isinf(dirty).any()
    again = posterior.sample(replace(few, flux=dirty), 20)
    assert np.array_equal(again.coordinates, clean.coordinates, equal_nan=True)
