"""Truths and draws from posteriors that are known, right or wrong in a known way."""

import numpy as np


def gaussian(width=1.0, shift=0.0, n=1000, draws=200, seed=0):
    """Truths and draws: prior N(0, 1), likelihood N(theta, 1), so posterior N(x / 2, 1 / 2)."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, 2))
    x = theta + rng.normal(size=theta.shape)
    spread = width * np.sqrt(0.5) * rng.normal(size=(n, draws, 2))
    return theta, x[:, None] / 2 + shift + spread


def correlated(truth, drawn, n=2000, draws=100, seed=0, bend=0.0):
    """Truths and draws in five dimensions, two of them correlated, of widths that vary."""
    rng = np.random.default_rng(seed)
    one, other = np.eye(5), np.eye(5)
    one[0, 1] = one[1, 0] = truth
    other[0, 1] = other[1, 0] = drawn
    theta = rng.multivariate_normal(np.zeros(5), one, (n, 1))
    samples = rng.multivariate_normal(np.zeros(5), other, (n, draws))
    theta[..., 3] = (theta[..., 3] + bend * (theta[..., 2] ** 2 - 1)) / np.sqrt(1 + 2 * bend**2)
    place, width = 3 * rng.normal(size=(n, 1, 5)), np.exp(rng.normal(size=(n, 1, 5)))
    return (place + width * theta)[:, 0], place + width * samples
