"""Where a chain starts: the flow's draws, the prior, or the best fit; and in which space.

Only the first leans on the flow. A posterior that the other two give as well is not its doing.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from hpcsbi.errors import BadInput
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.mcmc.chain import Chain, Target, begin
from hpcsbi.mcmc.coordinates import Anchored, Box, FlowBase, Space
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import (
    effective_sample_size,
    flattened,
    normalised,
    systematic,
)
from hpcsbi.statistics.mixture import Care, Mixture, adapted_mixture

__all__ = ["STARTS", "explore", "target_and_first_chain"]

STARTS = ("flow", "prior", "optimiser")
TRIED = 4000  # draws of the space, the best of which is where the optimiser starts
NEAR = 0.05  # width of the walkers around the best fit
WIDE = 0.3  # of what is tried first around it: a narrow look takes the peak for the posterior
COMPONENTS = 12  # normals of the independent proposal
CARE = Care(points=4000, rounds=12, fewest=400, inflated=1.15, defence=0.05)
ROUNDS, DRAWS = 30, 8000  # of one power of the posterior, at most; in a round
# Powers of the posterior that are followed one after the other, each until so large a share of its
# draws counts. A wide one shows what the posterior itself, followed from the prior, may lose: a
# second peak or a far end of the ridge, where walkers then stay for thousands of steps.
LADDER = ((0.1, 0.3), (0.3, 0.3), (1.0, 0.5))
COVER = 0.35  # share of the proposal that follows the power before the last, and so the tails

LogLikelihood = Callable[[np.ndarray], np.ndarray]


def target_and_first_chain(
    start: str,
    moves: str,
    posterior: Posterior,
    batch: Batch,
    scout: LogLikelihood,
    log_likelihood: LogLikelihood,
    walkers: int,
    rng: np.random.Generator,
) -> tuple[Target, Callable[[], Chain]]:
    """What is sampled, and a function that makes the chain before its first step.

    Arguments:
        start: one of STARTS.
        moves: one of `moves.MOVES`; the plain stretch moves walk in the box.
        posterior: the flow; without it (start "prior" or "optimiser") its prior and table.
        batch: the spectrum, one.
        scout: cheap log likelihood of theta that finds the first walkers.
        log_likelihood: that of the chain.
        walkers: number of them.
        rng: makes the start and seeds the chain.

    Raises:
        ValueError: an unknown start.
    """
    if start not in STARTS:
        raise BadInput(f"fit.start is {start!r}: choose from {', '.join(STARTS)}.")
    if moves == "stretch":
        space: Space = Box(posterior.prior, batch.only_zred)
    elif start == "flow":
        mapping = posterior.mapping(posterior.conditions(batch))
        space = FlowBase(posterior.prior, mapping, batch.only_zred)
    else:
        space = Anchored(posterior.prior, posterior.ssp, batch)
    target = Target(log_likelihood, space)

    def first() -> Chain:
        proposal = None
        if moves == "stretch":
            z = _walkers(start, posterior, batch, scout, walkers, rng)
        else:
            scouted = Target(scout, space)
            z, proposal = explore(scouted, _first(start, scouted, rng), walkers, rng)
        return begin(target, z, rng, proposal)

    return target, first


def explore(
    target: Target, first: Mixture, walkers: int, rng: np.random.Generator
) -> tuple[np.ndarray, Mixture]:
    """Walkers near the posterior, and a proposal fitted to it: importance sampling in rounds.

    Each round fits normals to the weighted draws of the one before, flattened while they are few,
    and so comes down from the prior, over powers of the posterior, to a posterior that is e^20
    times smaller in some fifteen rounds. What is still wrong here costs the chain time, not truth.

    Arguments:
        target: what is sampled.
        first: proposal of the first round.
        walkers: number of them.
        rng: makes the draws.

    Returns:
        z, shape (walkers, inferred columns), and the proposal.

    Raises:
        BadInput: no draw with a density above zero.

    References:
        Cappe et al. 2008, Stat. Comput. 18, 447 (population Monte Carlo).
        Neal 2001, Stat. Comput. 11, 125 (powers of the target in between).
    """
    proposal = first
    for power, enough in LADDER:
        wider = proposal
        proposal, z, log_weights = _follow(target, power, enough, wider, rng)
    if not np.isfinite(log_weights).any():
        raise BadInput("no draw has a posterior density above zero: is the flux finite?")
    weights = normalised(flattened(log_weights, walkers))
    walking = z[rng.permutation(systematic(weights, walkers, rng.random()))]
    return walking, _covered(proposal, wider)


def _follow(
    target: Target, power: float, enough: float, proposal: Mixture, rng: np.random.Generator
) -> tuple[Mixture, np.ndarray, np.ndarray]:
    """A proposal fitted to a power of the target; the draws of its last round and their weights."""
    for _ in range(ROUNDS):
        z = proposal.sample(DRAWS, rng)
        log_weights = power * target(z) - proposal.log_prob(z)
        proposal = adapted_mixture(z, log_weights, COMPONENTS, rng, CARE)
        if effective_sample_size(log_weights) > enough * DRAWS:
            break
    return proposal, z, log_weights


def _covered(proposal: Mixture, wider: Mixture) -> Mixture:
    """The proposal joined by a wider one.

    Walkers that come to where the proposal is thin stay there for hundreds of steps; in the tails
    along a curved ridge it always is, however much its normals are widened.
    """
    return Mixture(
        np.append((1 - COVER) * proposal.shares, COVER * wider.shares),
        np.concatenate([proposal.means, wider.means]),
        np.concatenate([proposal.covariances, wider.covariances]),
    )


def best_fit(target: Target, rng: np.random.Generator) -> np.ndarray:
    """The most probable z that a simplex finds from the best of many standard normal draws.

    Arguments:
        target: what is sampled.
        rng: makes the draws.

    Returns:
        shape (inferred columns,).
    """

    def badness(z: np.ndarray) -> float:
        return min(-float(target(z[None])[0]), 1e100)

    tried = rng.normal(size=(TRIED, len(target.space.prior.inferred_names)))
    best = tried[target(tried).argmax()]
    options = {"maxfev": 1500, "xatol": 1e-2, "fatol": 1e-2, "adaptive": True}
    return minimize(badness, best, method="Nelder-Mead", options=options).x


def _first(start: str, target: Target, rng: np.random.Generator) -> Mixture:
    """The first proposal of `explore`."""
    n_dim = len(target.space.prior.inferred_names)
    if start != "optimiser":
        return Mixture.normal(n_dim)
    means = np.stack([best_fit(target, rng), np.zeros(n_dim)])
    covariances = np.stack([WIDE**2 * np.eye(n_dim), np.eye(n_dim)])
    return Mixture(np.array([0.5, 0.5]), means, covariances)


def _walkers(
    start: str,
    posterior: Posterior,
    batch: Batch,
    scout: LogLikelihood,
    walkers: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Walkers in the `Box`, shape (walkers, inferred columns)."""
    inferred = posterior.prior.inferred
    if start == "prior":
        return posterior.prior.sample_coordinates(walkers, rng, batch.only_zred)[:, inferred]
    if start == "flow":
        seeded = replace(batch, seeds=rng.integers(2**62, size=1))
        drawn = posterior.sample(seeded, walkers, cap=1000)
        if drawn.kept[0] < walkers:
            raise BadInput("the flow gives too few draws inside the prior: fit.start=prior.")
        return drawn.coordinates[0][:, inferred]
    space = Anchored(posterior.prior, posterior.ssp, batch)
    best = best_fit(Target(scout, space), rng)
    near = best + NEAR * rng.normal(size=(100 * walkers, len(best)))  # some are outside the box
    return space(near[np.isfinite(space(near)[1])][:walkers])[0][:, inferred]
