"""Mixtures of normals: proposals in the base space of a flow, fitted to weighted points."""

import math
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from hpcsbi.statistics.importance_weights import flattened, normalised, systematic

__all__ = ["Care", "Mixture", "adapted_mixture"]

WIDE = 1.5


@dataclass(frozen=True)
class Care:
    """How carefully a mixture is fitted.

    Arguments:
        points: equally weighted points that a fit looks at.
        rounds: of expectation maximisation.
        fewest: effective points of a fit; weights are flattened until there are so many.
        inflated: factor on the widths of the fitted normals.
        defence: share of the wide normal.
    """

    points: int = 2000
    rounds: int = 15
    fewest: int = 100
    inflated: float = 1.2
    defence: float = 0.2


@dataclass(frozen=True)
class Mixture:
    """A density: shares of normals.

    Arguments:
        shares: add up to one, shape (components,).
        means: shape (components, n_dim).
        covariances: shape (components, n_dim, n_dim).
    """

    shares: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def normal(cls, n_dim: int, width: float = 1.0) -> "Mixture":
        """One isotropic normal about zero."""
        return cls(np.ones(1), np.zeros((1, n_dim)), width**2 * np.eye(n_dim)[None])

    @cached_property
    def _factors(self) -> np.ndarray:
        return np.linalg.cholesky(self.covariances)

    @cached_property
    def _whitening(self) -> np.ndarray:
        return np.linalg.inv(self._factors)

    def components(self, x: np.ndarray) -> np.ndarray:
        """Log of share times density of each component, shape (n, components).

        Arguments:
            x: points, shape (n, n_dim).
        """
        log_det = np.log(np.diagonal(self._whitening, axis1=1, axis2=2)).sum(1)
        fixed = np.log(self.shares) + log_det - 0.5 * x.shape[1] * math.log(2 * math.pi)
        pairs = zip(self.means, self._whitening, strict=True)
        radii = [(((x - mean) @ white.T) ** 2).sum(1) for mean, white in pairs]
        return fixed - 0.5 * np.stack(radii, axis=1)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density, shape (n,)."""
        return logsumexp(self.components(x), axis=1)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw n points, shape (n, n_dim)."""
        which = rng.choice(len(self.shares), n, p=self.shares)
        noise = rng.normal(size=(n, self.means.shape[1]))
        x = self.means[which]
        for i, factor in enumerate(self._factors):
            x[which == i] += noise[which == i] @ factor.T
        return x


def adapted_mixture(
    x: np.ndarray,
    log_weights: np.ndarray,
    components: int,
    rng: np.random.Generator,
    care: Care = Care(),
) -> Mixture:
    """A proposal that follows weighted points and is wider than they are.

    Normals are fitted to the points, widened, and joined by a wide normal about zero, where the
    flow put its draws: what the points have missed still gets draws and no weight is unbounded.

    Arguments:
        x: points in the base space, shape (n, n_dim).
        log_weights: unnormalised, shape (n,); where nearly all are -inf the wide normal is all.
        components: normals to fit.
        rng: makes the first guess.
        care: how carefully.
    """
    wide = Mixture.normal(x.shape[1], WIDE)
    if np.isfinite(log_weights).sum() < 2 * care.fewest:
        return wide
    flat = flattened(log_weights, care.fewest)
    fitted = _fit(
        x[systematic(normalised(flat), care.points, rng.random())], components, care.rounds, rng
    )
    return Mixture(
        np.append((1 - care.defence) * fitted.shares, care.defence),
        np.concatenate([fitted.means, wide.means]),
        np.concatenate([care.inflated**2 * fitted.covariances, wide.covariances]),
    )


def _fit(x: np.ndarray, components: int, rounds: int, rng: np.random.Generator) -> Mixture:
    """Expectation maximisation from random points; covariances stay away from singular.

    In units in which all points have covariance 1, so that what is added to each covariance is a
    thousandth of theirs, whatever their shape.
    """
    from sklearn.exceptions import ConvergenceWarning  # half a CPU second, for hard spectra
    from sklearn.mixture import GaussianMixture

    n, n_dim = x.shape
    factor = np.linalg.cholesky(np.cov(x.T) + 1e-6 * np.eye(n_dim))
    white = np.linalg.solve(factor, x.T).T
    model = GaussianMixture(
        components,
        tol=0.0,
        reg_covar=1e-3,
        max_iter=rounds,
        weights_init=np.full(components, 1 / components),
        means_init=white[rng.choice(n, components, replace=False)],
        precisions_init=np.repeat(np.eye(n_dim)[None] / 0.3, components, 0),
    )
    with warnings.catch_warnings():  # the rounds are a budget
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(white)
    covariances = factor @ model.covariances_ @ factor.T
    return Mixture(model.weights_, model.means_ @ factor.T, covariances)
