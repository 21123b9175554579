"""Columns of fits.zarr that need the chain alone: which of its draws are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.mcmc.fit_columns import chain_indices, spaced_indices


@given(st.integers(1, 500), st.integers(2, 200), st.integers(1, 3000))
def test_kept_draws_are_of_all_walkers_and_far_apart(steps, walkers, wanted):
    """Each walker gives its share, at steps as far from each other as the number allows."""
    wanted = min(wanted, steps * walkers)
    kept = chain_indices(steps, walkers, wanted)
    step, walker = np.divmod(kept, walkers)
    share = np.bincount(walker, minlength=walkers)

    assert len(set(kept.tolist())) == wanted and (np.diff(kept) > 0).all()
    assert kept[0] >= 0 and step.max() < steps
    assert np.ptp(share) <= 2 or wanted == 1
    for each in np.unique(walker):
        assert (np.diff(step[walker == each]) >= (steps * walkers - 1) // max(1, wanted - 1)).all()


@pytest.mark.parametrize(
    ("choose", "worth"), [(chain_indices, True), (lambda t, w, n: spaced_indices(t * w, n), False)]
)
def test_kept_draws_are_worth_their_number(choose, worth):
    """Means of kept draws scatter as those of so many independent ones, walkers slow or not.

    Equal spaces along the steps put end to end, as they were once chosen, meet 5 walkers of 64.
    """
    steps, walkers, wanted, slow = 400, 64, 2000, 0.8
    rng = np.random.default_rng(0)
    means = []
    for _ in range(60):
        noise = rng.normal(size=(steps, walkers)) * np.sqrt(1 - slow**2)
        noise[0] = rng.normal(size=walkers)
        chain = np.stack(list(accumulated(noise, slow)))
        means.append(chain.ravel()[choose(steps, walkers, wanted)].mean())
    expected = 1 / np.sqrt(wanted)

    assert (np.std(means) < 1.6 * expected) == worth


def accumulated(noise, slow):
    """An autoregressive chain, step after step."""
    now = np.zeros(noise.shape[1])
    for first, step in zip([True, *[False] * len(noise)], noise, strict=False):
        now = step if first else slow * now + step
        yield now
