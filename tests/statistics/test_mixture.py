"""Mixtures of normals: densities, draws, and proposals that follow weighted points."""

import numpy as np
import pytest
from scipy import stats

from hpcsbi.statistics.importance_weights import effective_sample_size
from hpcsbi.statistics.mixture import WIDE, Care, Mixture, adapted_mixture

COVARIANCES = np.array([[[0.3, 0.25], [0.25, 0.4]], [[0.05, 0.0], [0.0, 2.0]]])
TWO = Mixture(np.array([0.7, 0.3]), np.array([[-2.0, 0.0], [1.5, 1.0]]), COVARIANCES)


def weights_of(target, proposal, n=4000, seed=1):
    """Points of a proposal, and the log weights that make them those of the target."""
    x = proposal.sample(n, np.random.default_rng(seed))
    return x, target.log_prob(x) - proposal.log_prob(x)


def test_density_is_a_sum_of_normals():
    """That of scipy, far tails included; components add up to it."""
    x = np.random.default_rng(0).normal(scale=4, size=(500, 2))
    parts = zip(TWO.shares, TWO.means, TWO.covariances, strict=True)
    right = np.stack(
        [np.log(w) + stats.multivariate_normal(*normal).logpdf(x) for w, *normal in parts]
    )

    assert TWO.components(x) == pytest.approx(right.T)
    assert TWO.log_prob(x) == pytest.approx(np.logaddexp(*right))


def test_draws_have_the_moments():
    """Mean and covariance of the mixture within five standard errors."""
    n = 40_000
    x = TWO.sample(n, np.random.default_rng(0))
    mean = TWO.shares @ TWO.means
    off = TWO.means - mean
    covariance = np.einsum("i,ijk->jk", TWO.shares, COVARIANCES + off[:, :, None] * off[:, None])

    assert (abs(x.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / n)).all()
    assert np.cov(x.T) == pytest.approx(covariance, rel=0.05, abs=0.05)


def test_adapted_mixture_follows_the_points():
    """Two peaks in the weights of wide draws: the next proposal has many more effective draws."""
    wide = Mixture.normal(2, 3.0)
    x, log_weights = weights_of(TWO, wide)
    adapted = adapted_mixture(x, log_weights, 2, np.random.default_rng(0))
    before, after = (
        effective_sample_size(weights_of(TWO, proposal)[1]) for proposal in (wide, adapted)
    )
    # Control: points without their weights are no news of the target.
    blind = adapted_mixture(x, np.zeros(len(x)), 2, np.random.default_rng(0))

    assert after > 2 * before and after > 1.5 * effective_sample_size(weights_of(TWO, blind)[1])


def test_adapted_mixture_keeps_its_defence():
    """A share of the wide normal about zero bounds the weights of what the points have missed."""
    x, log_weights = weights_of(TWO, Mixture.normal(2, 3.0))
    adapted = adapted_mixture(x, log_weights, 3, np.random.default_rng(0), Care(defence=0.3))
    far = np.random.default_rng(2).normal(scale=3, size=(200, 2))

    assert len(adapted.shares) == 4 and adapted.shares.sum() == pytest.approx(1)
    assert adapted.shares[-1] == 0.3 and not adapted.means[-1].any()
    least = Mixture.normal(2, WIDE).log_prob(far) + np.log(0.3)
    assert (adapted.log_prob(far) >= least - 1e-9).all()


def test_widths_are_inflated():
    """One normal: its points' covariance times the square of the factor, whatever its shape."""
    thin = np.array([[1.0, 0.999], [0.999, 1.0]]) * [[1e-4, 1e-2], [1e-2, 1]]
    x = np.random.default_rng(0).multivariate_normal([0.5, -1.0], thin, 4000)
    adapted = adapted_mixture(x, np.zeros(4000), 1, np.random.default_rng(0), Care(inflated=1.5))
    scale = np.sqrt(np.outer(np.diag(thin), np.diag(thin)))

    assert adapted.means[0] == pytest.approx([0.5, -1.0], abs=0.1)
    assert adapted.covariances[0] / scale == pytest.approx(2.25 * thin / scale, rel=0.1)


def test_too_few_points_make_no_fit():
    """Where nearly all weights are zero only the wide normal is left."""
    x = np.random.default_rng(0).normal(size=(1000, 2))
    log_weights = np.where(np.arange(1000) < 150, 0.0, -np.inf)
    few, enough = (
        adapted_mixture(x, weights, 2, np.random.default_rng(0))
        for weights in (log_weights, np.zeros(1000))
    )

    assert np.array_equal(few.covariances, [WIDE**2 * np.eye(2)]) and len(enough.shares) == 3
