"""Rescue of one object: proposals fitted to its weighted draws until one is good.

In the flow's base space, where a posterior is nearest to normal. Each proposal is fitted to all
draws so far, weighted by all proposals so far; what is published are the draws of the last alone,
which took no part in its fit: draws that did weigh too little, and the evidence with them.

References:
    Cornuet et al. 2012, Scand. J. Stat. 39, 798 (adaptive multiple importance sampling).
    benchmarks/rescue.py has what the numbers of `Effort` are worth.
"""

from collections.abc import Callable
from dataclasses import dataclass

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


class _Tried:
    """All draws of one object, and what each proposal thinks of them.

    Arguments:
        z: draws of the flow, shape (n, n_base).
        log_target: shape (n,).
        tried: draws that the flow needed for those.
    """

    def __init__(self, z: np.ndarray, log_target: np.ndarray, tried: float) -> None:
        self.z, self.log_target, self.proposals, self.counts = z, log_target, [], []
        self.log_density = np.empty((len(z), 0))
        if len(z):
            n_base = z.shape[1]
            self.join(multivariate_t(np.zeros(n_base), np.eye(n_base), np.inf))
            self.counts[0] = tried

    def join(self, proposal: "multivariate_t") -> None:
        """Another proposal, of which nothing is drawn yet."""
        self.proposals.append(proposal)
        self.counts.append(0.0)
        density = np.atleast_1d(proposal.logpdf(self.z)) if len(self.z) else np.empty(0)
        self.log_density = np.column_stack([self.log_density, density])

    def add(self, z: np.ndarray, log_target: np.ndarray) -> np.ndarray:
        """Draws of the last proposal; their log weights by it alone, shape (n,)."""
        density = np.column_stack([proposal.logpdf(z) for proposal in self.proposals])
        self.z, self.log_target = (
            np.concatenate([self.z, z]),
            np.append(self.log_target, log_target),
        )
        self.log_density = np.concatenate([self.log_density, density])
        self.counts[-1] += len(z)
        return log_target - density[:, -1]

    def fitted(self) -> "multivariate_t":
        """A proposal that follows all draws, each weighted by the mixture of all proposals."""
        n_base = self.z.shape[1]
        shares = np.array(self.counts) / max(sum(self.counts), 1)
        some = shares > 0
        mixture = logsumexp(self.log_density[:, some] + np.log(shares[some]), axis=1)
        log_weights = self.log_target - mixture if some.any() else self.log_target
        if np.isfinite(log_weights).sum() < 2 * LEAST:
            return multivariate_t(np.zeros(n_base), FIRST_WIDTH**2 * np.eye(n_base), FREEDOM)
        weights = normalised(flattened(log_weights, LEAST))
        covariance = INFLATED**2 * np.cov(self.z.T, aweights=weights, ddof=0)
        covariance[np.diag_indices(n_base)] += RIDGE
        return multivariate_t(weights @ self.z, covariance, FREEDOM)


def rescued(
    target: LogTarget,
    z: np.ndarray,
    log_target: np.ndarray,
    tried: float,
    effort: Effort,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted draws of the first proposal whose weights are strong, or of the last.

    Arguments:
        target: coordinates and log density of points of the base space; -inf outside the prior,
            NaN where nothing can be said of the object.
        z, log_target: the flow's own draws, finite, shapes (n, n_base) and (n,); n may be 0.
        tried: draws that the flow needed for those.
        effort: how much is tried.
        rng: makes the draws.

    Returns:
        `Prior.coordinates` of the last proposal's draws, shape (n, n_theta), and ln of target over
        proposal, shape (n,).
    """
    known, total = _Tried(z, log_target, tried), 0
    coordinates, log_weights = [], np.empty(0)
    known.join(known.fitted())
    while True:
        n = max(effort.least, int(effort.share * (len(z) + total)))
        new = np.atleast_2d(known.proposals[-1].rvs(n, random_state=rng))
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
            coordinates, log_weights = [], np.empty(0)
            known.join(known.fitted())
