"""Every move that `fit` offers leaves known densities as they are, to 1 % of their widths."""

import emcee
import numpy as np
import pytest
from emcee.model import Model
from scipy.special import ndtr, ndtri

from hpcsbi.mcmc.moves import MOVES, moves_of
from hpcsbi.statistics.mixture import Mixture

WALKERS, BATCHES = 512, 20
LARGEST = 0.02  # of a variance: 1 % of a width
# Steps by which the error of a variance is a seventh of LARGEST or less: no false alarm in 10^6.
STEPS = {"MHMove": 1000, "DEMove": 3000, "StretchMove": 2500}


def normal(y):
    return -0.5 * (y**2).sum(1)


class Normal:
    """Normal in d dimensions, the first two strongly correlated."""

    def __init__(self, n_dim):
        self.factor = np.eye(n_dim)
        self.factor[1, :2] = 0.95, np.sqrt(1 - 0.95**2)

    def point(self, y):
        return y @ self.factor.T

    def plain(self, x):
        """Normal deviates: independent and of unit width if and only if the draws are right."""
        return np.linalg.solve(self.factor, x.T).T

    def __call__(self, x):
        return normal(self.plain(x))


class Banana(Normal):
    """The second coordinate follows the square of the first."""

    def point(self, y):
        x = y.copy()
        x[:, 1] = 0.3 * y[:, 1] + 0.5 * (y[:, 0] ** 2 - 1)
        return x

    def plain(self, x):
        y = x.copy()
        y[:, 1] = (x[:, 1] - 0.5 * (x[:, 0] ** 2 - 1)) / 0.3
        return y


class Truncated(Normal):
    """Half a normal, a flat box, and normals: the densities end where they are largest."""

    def point(self, y):
        x = y.copy()
        x[:, 0], x[:, 1] = ndtri((1 + ndtr(y[:, 0])) / 2), ndtr(y[:, 1])
        return x

    def plain(self, x):
        y = x.copy()
        y[:, 0], y[:, 1] = ndtri(2 * ndtr(x[:, 0]) - 1), ndtri(x[:, 1])
        return y

    def __call__(self, x):
        inside = (x[:, 0] >= 0) & (x[:, 1] >= 0) & (x[:, 1] <= 1)
        return np.where(inside, normal(x) + x[:, 1] ** 2 / 2, -np.inf)


TARGETS = {
    "normal5": Normal(5), "normal7": Normal(7), "banana": Banana(5), "truncated": Truncated(5),
}  # fmt: skip


def off_and_wide(target):
    """A proposal that is not the target: one normal beside it, and one wider than it."""
    n_dim = len(target.factor)
    x = target.point(np.random.default_rng(1).normal(size=(4000, n_dim)))
    spread, far = np.cov(x.T) + 0.05 * np.eye(n_dim), x.mean(0) + 0.5 * x.std(0)
    return Mixture(np.array([0.4, 0.6]), np.stack([far, x.mean(0)]), np.stack([spread, 2 * spread]))


def variance(move, target, steps, walkers=WALKERS):
    """Mean square of the plain deviates of a chain that starts right, and its standard error."""
    random = np.random.RandomState(3)
    x = target.point(np.random.default_rng(2).normal(size=(walkers, len(target.factor))))
    state = emcee.State(x, log_prob=target(x))
    model = Model(target, lambda x: (target(x), None), map, random)
    squares = np.empty(steps)
    for i in range(steps):
        state = move.propose(model, state)[0]
        squares[i] = (target.plain(state.coords) ** 2).mean()
    batches = squares.reshape(BATCHES, -1).mean(1)
    return squares.mean(), batches.std(ddof=1) / np.sqrt(BATCHES)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", MOVES)
def test_moves_keep_detailed_balance(kind, target):
    """Alone, each of the moves gives the right widths."""
    target = TARGETS[target]
    for move, _ in moves_of(kind, off_and_wide(target)):
        found, error = variance(move, target, STEPS[type(move).__name__])
        assert error < LARGEST / 4
        assert abs(found - 1) < LARGEST, type(move).__name__


@pytest.mark.parametrize("target", ["normal5", "normal7"])
def test_a_wrong_jacobian_is_seen(target):
    """emcee 3.1.6's snooker move, which breaks detailed balance, fails the same test."""
    found, error = variance(emcee.moves.DESnookerMove(), TARGETS[target], 1500, 64)

    assert found < 1 - LARGEST - 5 * error
