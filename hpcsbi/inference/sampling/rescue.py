"""Rescue of one object: proposals fitted to its weighted draws until one is good.

In the flow's base space, where a posterior is nearest to normal. Each proposal is fitted to all
draws so far, weighted by all proposals so far; what is published are the draws of the last alone,
which took no part in its fit: draws that did weigh too little, and the evidence with them.

References:
    Cornuet et al. 2012, Scand. J. Stat. 39, 798 (adaptive multiple importance sampling).
    benchmarks/rescue.py has what the numbers of `Effort` are worth.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_t

from hpcsbi.statistics.importance_weights import (
    FEWEST,
    LARGEST_K,
    effective_sample_size,
    flattened,
    normalised,
    pareto_smoothed,
    strong,
)

__all__ = ["Effort", "rescued"]

FREEDOM = 12  # of Student's t: tails that hold what a fit to few draws has missed
INFLATED = 1.2  # widths, over those of the weighted draws
LEAST = 100  # effective draws of a fit; weights are flattened until there are so many
MARGIN = 1.2  # draws of a further step, over those that a proposal seems to be short of
FIRST_WIDTH = 1.25  # of the first proposal where the flow has no draws
RIDGE = 1e-7  # least variance, where the flow's is 1: draws on a line are no proposal

# Points of the base space, shape (n, n_base): coordinates of theta and ln of the target density.
LogTarget = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Effort:
    """How much is tried for one object.

    Arguments:
        least: draws of a step.
        share: draws of a step over all so far, if that is more.
        patience: draws that a proposal may still be short of, if all so far are not more; one that
            would take longer is given up.
        most: draws in all; the last step may go beyond.
    """

    least: int = 1000
    share: float = 0.25
    patience: int = 3000
    most: int = 64_000


class Proposal(Protocol):
    """A distribution of scipy in the base space."""

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density of points (n, n_base), shape (n,)."""

    def rvs(self, size: int, random_state: np.random.Generator) -> np.ndarray:
        """So many points, shape (n, n_base)."""


class _Tried:
    """All draws of one object, and the densities of the proposals that made them.

    The first proposal is the flow, a standard normal in its base space. What is kept of the
    densities are that of the last proposal and ln of the sum of all, each times its draws.

    Arguments:
        z: draws of the flow, shape (n, n_base).
        log_weights: ln of target over flow, shape (n,).
        tried: draws that the flow needed for those.
    """

    def __init__(self, z: np.ndarray, log_weights: np.ndarray, tried: float) -> None:
        flow = multivariate_t(np.zeros(z.shape[1]), np.eye(z.shape[1]), np.inf)
        self.z, self.proposals, self.counts = z, [flow], [tried]
        self.of_last = _logpdf(flow, z)
        self.log_target = log_weights + self.of_last
        self.log_mixture = self.of_last + (np.log(tried) if tried else 0.0)

    def join(self, proposal: Proposal) -> None:
        """Another proposal, of which nothing is drawn yet."""
        self.proposals.append(proposal)
        self.counts.append(0.0)
        self.of_last = _logpdf(proposal, self.z)

    def add(self, z: np.ndarray, log_target: np.ndarray) -> np.ndarray:
        """Draws of the last proposal; their log weights by it alone, shape (n,)."""
        self.counts[-1] += len(z)
        counts = np.array(self.counts)
        some = counts > 0
        density = np.column_stack([_logpdf(proposal, z) for proposal in self.proposals])
        before = np.logaddexp(self.log_mixture, self.of_last + np.log(len(z)))
        mixture = logsumexp(density[:, some] + np.log(counts[some]), axis=1)
        self.z = np.concatenate([self.z, z])
        self.log_target = np.append(self.log_target, log_target)
        self.log_mixture = np.append(before, mixture)
        self.of_last = np.append(self.of_last, density[:, -1])
        return log_target - density[:, -1]

    def fitted(self) -> Proposal:
        """A proposal that follows all draws, each weighted by the mixture of all proposals."""
        n_base = self.z.shape[1]
        if np.isfinite(self.log_target).sum() < 2 * LEAST:
            return multivariate_t(np.zeros(n_base), FIRST_WIDTH**2 * np.eye(n_base), FREEDOM)
        weights = normalised(flattened(self.log_target - self.log_mixture, LEAST))
        covariance = INFLATED**2 * np.cov(self.z.T, aweights=weights, ddof=0)
        covariance[np.diag_indices(n_base)] += RIDGE
        return multivariate_t(weights @ self.z, covariance, FREEDOM)


def rescued(
    target: LogTarget,
    z: np.ndarray,
    log_weights: np.ndarray,
    tried: float,
    effort: Effort,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted draws of the first proposal whose weights are strong, or of the last.

    Arguments:
        target: coordinates and log density of points of the base space; -inf outside the prior,
            NaN where nothing can be said of the object.
        z: draws of the flow, shape (n, n_base); n may be 0.
        log_weights: of these, ln of target over flow, finite, shape (n,).
        tried: draws that the flow needed for those.
        effort: how much is tried.
        rng: makes the draws.

    Returns:
        `Prior.coordinates` of the last proposal's draws, shape (n, n_theta), and ln of target over
        proposal, shape (n,).
    """
    known, total, short = _Tried(z, log_weights, tried), 0, math.inf
    coordinates, log_weights = [], np.empty(0)
    known.join(known.fitted())
    while True:
        n = max(effort.least, int(effort.share * (len(z) + total)))
        n = int(max(min(n, MARGIN * short), FEWEST))
        new = known.proposals[-1].rvs(n, random_state=rng).reshape(n, -1)
        new_coordinates, new_log_target = target(new)
        coordinates.append(new_coordinates)
        log_weights = np.append(log_weights, known.add(new, new_log_target))
        total += n
        _, k = pareto_smoothed(log_weights)
        size = float(effective_sample_size(log_weights))
        if strong(size, k) or total >= effort.most or np.isnan(new_log_target).all():
            return np.concatenate(coordinates), log_weights
        short = (FEWEST / max(size, 1e-9) - 1) * len(log_weights)
        if not k < LARGEST_K or short > max(effort.patience, total):
            coordinates, log_weights, short = [], np.empty(0), math.inf
            known.join(known.fitted())


def _logpdf(proposal: Proposal, z: np.ndarray) -> np.ndarray:
    """Log density, shape (n,), of any number of points: scipy gives one point a number."""
    return np.reshape(proposal.logpdf(z), len(z)) if len(z) else np.empty(0)
