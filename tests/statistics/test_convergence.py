"""Convergence of ensembles whose autocorrelation is known."""

import numpy as np
import pytest

from hpcsbi.statistics.convergence import ensemble_convergence, split_rhat

WALKERS = 32


def chain(slow, steps=4000, seed=0):
    """Autoregressive walkers of two parameters, normal in the long run, (steps, walkers, 2)."""
    noise = np.random.default_rng(seed).normal(size=(steps, WALKERS, 2))
    past = noise.copy()
    for step in range(1, steps):
        past[step] = slow * past[step - 1] + np.sqrt(1 - slow**2) * noise[step]
    return past


def test_rhat_of_independent_draws():
    """One for draws of one distribution, above 1.01 for a walker that is elsewhere or drifts."""
    past = np.random.default_rng(0).normal(size=(2000, 16, 2))
    elsewhere, drifting = past.copy(), past.copy()
    elsewhere[:, 0, 0] += 2
    drifting[:1000, :, 1] += 0.5

    assert split_rhat(past) == pytest.approx([1, 1], abs=2e-3)
    assert split_rhat(elsewhere)[0] > 1.05 and split_rhat(drifting)[1] > 1.02


@pytest.mark.parametrize("slow", [0.0, 0.5, 0.8])
def test_autocorrelation_time_is_the_known_one(slow):
    """(1 + rho) / (1 - rho) steps, and as many independent draws as that leaves."""
    past = chain(slow)
    convergence = ensemble_convergence(past, len(past), 1, len(past) * WALKERS // 4)
    tau = (1 + slow) / (1 - slow)

    assert convergence.tau == pytest.approx(tau, rel=0.1)
    assert convergence.ess == pytest.approx(len(past) * WALKERS / tau, rel=0.1)
    assert convergence.acceptance == 0.25 and convergence.converged


def test_thinning_leaves_the_time_in_steps():
    """Of one step in four the time is told in steps; taken for all steps it would be too short."""
    past = chain(0.9, 8000)
    whole, thinned = ensemble_convergence(past, 8000, 1, 0), past[3::4]

    assert ensemble_convergence(thinned, 8000, 4, 0).tau == pytest.approx(whole.tau, rel=0.15)
    assert (ensemble_convergence(thinned, 2000, 1, 0).tau < whole.tau / 3).all()


def test_short_chains_have_not_converged():
    """Fewer than 50 times tau, or fewer than four positions, of which nothing is known."""
    assert not ensemble_convergence(chain(0.9, 800), 800, 1, 0).converged
    nothing = ensemble_convergence(chain(0.0, 3), 3, 1, 0)

    assert np.isnan([*nothing.tau, *nothing.rhat, *nothing.ess, nothing.acceptance]).all()
    assert not nothing.converged


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_walkers_that_never_moved_have_not_converged(spread):
    """In one place or each in its own, without a warning; the other parameter cannot help."""
    past = chain(0.0)
    past[:, :, 0] = spread * past[0, :, 0]
    convergence = ensemble_convergence(past, len(past), 1, 0)

    assert not convergence.converged and not convergence.rhat[0] < 1e9  # rounding of the means
    assert convergence.rhat[1] < 1.01
