"""Where a chain starts: the flow's draws, the prior, or the best fit; and in which space.

Only the first leans on the flow. A posterior that the other two give as well is not its doing.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from hpcsbi.chain import Chain, Target, begin
from hpcsbi.errors import BadInput
from hpcsbi.mixture import Care, Mixture, adapted
from hpcsbi.posterior import Posterior
from hpcsbi.prior import Prior
from hpcsbi.spaces import Base, Box, Probit, Space
from hpcsbi.weights import effective_sample_size, flattened, normalised, systematic

__all__ = ["STARTS", "explore", "started"]

STARTS = ("flow", "prior", "optimiser")
TRIED = 4000  # prior draws, the best of which is where the optimiser starts
NEAR = 0.05  # width in probits of the walkers around the best fit
WIDE = 0.3  # of what is tried first around it: a narrow look takes the peak for the posterior
COMPONENTS = 12  # normals of the independent proposal
CARE = Care(points=4000, rounds=30, fewest=400, inflated=1.15, defence=0.05)
ROUNDS, DRAWS, GOOD = 30, 8000, 0.5  # of explore; it ends when so large a share of draws counts

LogLikelihood = Callable[[np.ndarray], np.ndarray]


def started(
    start: str,
    moves: str,
    posterior: Posterior,
    spectrum: tuple[np.ndarray, np.ndarray, float | None],
    scout: LogLikelihood,
    log_likelihood: LogLikelihood,
    walkers: int,
    rng: np.random.Generator,
) -> tuple[Target, Callable[[], Chain]]:
    """What is sampled, and a function that makes the chain before its first step.

    Arguments:
        start: one of STARTS.
        moves: one of `chain.MOVES`; the plain stretch moves walk in the box.
        posterior: the flow.
        spectrum: flux, ivar of shape (pixels,) and redshift or None.
        scout: cheap log likelihood of theta that finds the first walkers.
        log_likelihood: that of the chain.
        walkers: number of them.
        rng: makes the start and seeds the chain.

    Raises:
        ValueError: an unknown start.
    """
    if start not in STARTS:
        raise BadInput(f"fit.start is {start!r}: choose from {', '.join(STARTS)}.")
    prior, zred = posterior.prior, spectrum[2]
    if moves == "stretch":
        space: Space = Box(prior, zred)
    else:
        space = Base(posterior, *spectrum) if start == "flow" else Probit(prior, zred)
    target = Target(log_likelihood, space)

    def first() -> Chain:
        proposal = None
        if moves == "stretch":
            z = space.points(_walkers(start, posterior, spectrum, scout, walkers, rng))
        else:
            z, proposal = explore(
                Target(scout, space), _first(start, prior, zred, scout, rng), walkers, rng
            )
        return begin(target, z, rng, proposal)

    return target, first


def explore(
    target: Target, first: Mixture, walkers: int, rng: np.random.Generator
) -> tuple[np.ndarray, Mixture]:
    """Walkers near the posterior, and a proposal fitted to it: importance sampling in rounds.

    Each round fits normals to the weighted draws of the one before, flattened while they are few,
    and so comes down from the prior to a posterior that is e^20 times smaller in some ten rounds.
    What is still wrong here costs the chain time, not truth.

    Arguments:
        target: what is sampled.
        first: proposal of the first round.
        walkers: number of them.
        rng: makes the draws.

    Returns:
        z, shape (walkers, n_theta), and the proposal.

    References:
        Cappe et al. 2008, Stat. Comput. 18, 447 (population Monte Carlo).
    """
    proposal = first
    for _ in range(ROUNDS):
        z = proposal.sample(DRAWS, rng)
        log_weights = target(z) - proposal.log_prob(z)
        proposal = adapted(z, log_weights, COMPONENTS, rng, CARE)
        if effective_sample_size(log_weights) > GOOD * DRAWS:
            break
    some = np.isfinite(log_weights)
    if not some.any():
        raise BadInput("no draw has a posterior density above zero: is the flux finite?")
    weights = normalised(flattened(log_weights, walkers))
    return z[rng.permutation(systematic(weights, walkers, rng.random()))], proposal


def best_fit(
    prior: Prior, zred: float | None, log_likelihood: LogLikelihood, rng: np.random.Generator
) -> np.ndarray:
    """Probits of the most probable theta that a simplex finds from the best prior draw.

    Arguments:
        prior, zred: see `Probit`.
        log_likelihood: of theta.
        rng: draws from the prior.

    Returns:
        shape (n_theta,).
    """
    space = Probit(prior, zred)
    tried = space.points(prior.sample(TRIED, rng, zred))

    def badness(z: np.ndarray) -> float:
        theta = space(z.clip(-5, 5)[None])[0]
        return min(-float(log_likelihood(theta)[0]), 1e100)

    best = tried[log_likelihood(space(tried)[0]).argmax()]
    options = {"maxfev": 2000, "xatol": 1e-3, "fatol": 1e-2, "adaptive": True}
    return minimize(badness, best, method="Nelder-Mead", options=options).x.clip(-5, 5)


def _first(
    start: str,
    prior: Prior,
    zred: float | None,
    scout: LogLikelihood,
    rng: np.random.Generator,
) -> Mixture:
    """The first proposal of `explore`."""
    n_theta = len(prior.names)
    if start != "optimiser":
        return Mixture.normal(n_theta)
    means = np.stack([best_fit(prior, zred, scout, rng), np.zeros(n_theta)])
    covariances = np.stack([WIDE**2 * np.eye(n_theta), np.eye(n_theta)])
    return Mixture(np.array([0.5, 0.5]), means, covariances)


def _walkers(
    start: str,
    posterior: Posterior,
    spectrum: tuple[np.ndarray, np.ndarray, float | None],
    scout: LogLikelihood,
    walkers: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Theta of walkers in the box, shape (walkers, n_theta)."""
    flux, ivar, zred = spectrum
    prior = posterior.prior
    if start == "prior":
        return prior.sample(walkers, rng, zred)
    if start == "flow":
        limits = None if zred is None else np.array([zred])
        seeds = rng.integers(2**62, size=1)
        drawn = posterior.sample(flux[None], ivar[None], walkers, seeds, limits, cap=1000)
        if drawn.kept[0] < walkers:
            raise BadInput("the flow gives too few draws inside the prior: fit.start=prior.")
        return drawn.theta[0].astype(float)
    best = best_fit(prior, zred, scout, rng)
    near = best + NEAR * rng.normal(size=(walkers, len(best)))
    return Probit(prior, zred)(near)[0]
