"""Chains on posteriors that are known: moments, resuming, and what diagnostics must notice."""

import numpy as np
import pytest
import tiny
from anchored import MEAN, anchored_space

from hpcsbi.mcmc import chain as chains
from hpcsbi.mcmc.chain import Chain, Settings, Target, advance, begin, diagnose, is_finished
from hpcsbi.mcmc.coordinates import Box
from hpcsbi.mcmc.moves import MOVES
from hpcsbi.mcmc.starts import explore
from hpcsbi.statistics.mixture import Mixture

SD = np.array([0.1, 0.1, 0.2, 0.5, 0.1])
RHO = 0.95  # of mass and age


@pytest.fixture(scope="module")
def covariance():
    found = np.diag(SD**2)
    found[0, 3] = found[3, 0] = RHO * SD[0] * SD[3]
    return found


@pytest.fixture(scope="module")
def anchored():
    return anchored_space()


def gaussian(space, covariance, shift=0.0):
    """A posterior that is normal in the prior's coordinates, well inside the prior."""
    inverse = np.linalg.inv(covariance)

    def log_likelihood(theta):
        off = space.prior.coordinates(theta) - MEAN - shift
        return -0.5 * np.einsum("ij,jk,ik->i", off, inverse, off)

    return Target(log_likelihood, space)


def run(target, settings, walkers=64, seed=0):
    rng = np.random.default_rng(seed)
    if settings.moves == "mixed":
        z, proposal = explore(target, Mixture.normal(5), walkers, rng)
    else:
        z, proposal = MEAN + SD * rng.normal(size=(walkers, 5)), None
    chain = begin(target, z, rng, proposal)
    while not is_finished(chain, settings):
        chain = advance(chain, target, settings)
    return chain


@pytest.mark.slow
@pytest.mark.parametrize("moves", MOVES)
def test_moments_of_a_normal_posterior(moves, covariance, anchored):
    """Means, widths and correlation within four standard errors, from the prior or beside it."""
    space = anchored if moves == "mixed" else Box(tiny.prior())
    chain = run(gaussian(space, covariance), Settings(moves, [50, 100], 20000, True, 100))
    found = diagnose(chain)
    draws = chain.past.reshape(-1, 5)

    assert found.converged and (found.rhat < 1.01).all()
    error = SD / np.sqrt(found.ess)
    assert (abs(draws.mean(0) - MEAN) < 4 * error).all()
    assert draws.std(0) == pytest.approx(SD, rel=4 / np.sqrt(2 * found.ess.min()))
    assert np.corrcoef(draws[:, 0], draws[:, 3])[0, 1] == pytest.approx(RHO, abs=0.02)


@pytest.mark.slow
def test_mixed_moves_mix(covariance, anchored):
    """A proposal fitted to a normal posterior leaves an autocorrelation of a few steps."""
    taus = {}
    for moves in MOVES:
        space = anchored if moves == "mixed" else Box(tiny.prior())
        chain = run(gaussian(space, covariance), Settings(moves, [50, 100], 2000, False, 500))
        taus[moves] = diagnose(chain).tau.max()

    assert taus["mixed"] < 12 and taus["stretch"] > 3 * taus["mixed"]


def test_density_is_that_of_the_coordinates(covariance, anchored):
    """The kept log density is likelihood times prior where the prior is flat, in any space."""
    chain = run(gaussian(anchored, covariance), Settings("mixed", [20], 50, False, 50))
    box = gaussian(Box(tiny.prior()), covariance)

    assert chain.past_log_prob.ravel() == pytest.approx(box(chain.past.reshape(-1, 5)), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 1, 2, 4])
def test_goes_on_from_its_tensors(stop, covariance, anchored):
    """Stopped after any block, in burn-in or behind it, the chain is the same to the bit."""
    target = gaussian(anchored, covariance)
    settings = Settings("mixed", [20, 20], 120, False, 20)
    whole = run(target, settings, 32)

    rng = np.random.default_rng(0)
    z, proposal = explore(target, Mixture.normal(5), 32, rng)
    chain = begin(target, z, rng, proposal)
    for _ in range(stop):
        chain = advance(chain, target, settings)
    chain = Chain.from_tensors({name: array.copy() for name, array in chain.tensors().items()})
    while not is_finished(chain, settings):
        chain = advance(chain, target, settings)

    ours, theirs = chain.tensors(), whole.tensors()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_long_chains_are_thinned(covariance, monkeypatch):
    """What is kept stays bounded, and the autocorrelation time is still in steps."""
    target = gaussian(Box(tiny.prior()), covariance)
    settings = Settings("stretch", [100], 3000, False, 500)
    full = diagnose(run(target, settings))
    monkeypatch.setattr(chains, "KEPT", 400)
    chain = run(target, settings)

    assert len(chain.past) <= 400 and chain.every == 8 and chain.steps == 3000
    assert diagnose(chain).tau == pytest.approx(full.tau, rel=0.3)


def test_lost_walkers_begin_again(covariance, anchored):
    """Walkers far below the others leave their places before the chain counts, and only then."""
    target = gaussian(anchored, covariance)
    rng = np.random.default_rng(0)
    coordinates = rng.multivariate_normal(MEAN, covariance, 64)
    coordinates[:3, 4] += 0.9  # nine standard deviations
    z = anchored.points(coordinates)
    off = Mixture(np.ones(1), np.full((1, 5), 30.0), np.eye(5)[None])  # no help from this one
    chain = begin(target, z, rng, off)
    assert (chain.log_prob[:3] < np.median(chain.log_prob) - 20).all()
    after = advance(chain, target, Settings("mixed", [1], 10, False, 1))

    assert after.round == 1 and (after.log_prob > np.median(after.log_prob) - 20).all()
    assert np.array_equal(target(after.z), after.log_prob)


def test_two_places_are_noticed(covariance):
    """Walkers that stay in two modes do not pass, however long the chain is."""
    space, far = Box(tiny.prior()), np.array([0, 0, 0, 0, 0.8])
    one, two = gaussian(space, covariance, -far), gaussian(space, covariance, far)
    both = Target(
        lambda theta: np.logaddexp(one.log_likelihood(theta), two.log_likelihood(theta)), space
    )
    rng = np.random.default_rng(0)
    z = MEAN + SD * rng.normal(size=(64, 5)) + np.where(np.arange(64)[:, None] % 2, far, -far)
    chain = begin(both, z.clip(space.prior.low, space.prior.high), rng)
    settings = Settings("stretch", [50], 2000, True, 500)
    while not is_finished(chain, settings):
        chain = advance(chain, both, settings)

    assert chain.steps == 2000 and not diagnose(chain).converged


def test_walker_in_an_impossible_place_is_refused(covariance):
    """A start outside the prior is an error, not a walker that never moves."""
    target = gaussian(Box(tiny.prior()), covariance)

    with pytest.raises(ValueError, match=r"1 of 20 walkers.*fit\.start"):
        begin(target, np.vstack([np.tile(MEAN, (19, 1)), 100 + MEAN]), np.random.default_rng(0))


def test_settings_are_checked():
    """Unknown moves and empty rounds are named."""
    with pytest.raises(ValueError, match="moves is 'walk'"):
        Settings("walk", [10], 10, True, 10)
    with pytest.raises(ValueError, match="burn_in"):
        Settings("mixed", [0], 10, True, 10)
