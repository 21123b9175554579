"""A Markov chain on one posterior, by emcee, that stops at any block and goes on as if it had not.

How its walkers move stands in `moves`, where they start in `starts`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import emcee
import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.mcmc.coordinates import Space
from hpcsbi.mcmc.moves import MOVES, moves_of
from hpcsbi.statistics.convergence import Convergence, ensemble_convergence
from hpcsbi.statistics.mixture import Mixture

__all__ = ["Chain", "Settings", "Target", "advance", "begin", "diagnose", "is_finished"]

LOST = 20.0  # ln p below the median walker: a normal in 7 dimensions has one in 10^6 there
KEPT = 4096  # steps kept at most; of longer chains every 2nd, 4th, ... is kept


@dataclass(frozen=True)
class Target:
    """ln of likelihood times prior in a space.

    Arguments:
        log_likelihood: of theta in its own units, shape (n, n_theta) -> (n,).
        space: coordinates that it is sampled in.
    """

    log_likelihood: Callable[[np.ndarray], np.ndarray]
    space: Space

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """ln density at z, shape (n,); -inf outside the prior, where nothing is evaluated."""
        coordinates, log_prob = self.space(z)
        inside = np.isfinite(log_prob)
        if inside.any():
            theta = self.space.prior.theta(coordinates[inside])
            log_prob[inside] += self.log_likelihood(theta)
        return log_prob


@dataclass(frozen=True)
class Settings:
    """How a chain is run.

    Arguments:
        moves: one of `moves.MOVES`.
        burn_in: steps of rounds that do not count; between two the walkers of "stretch" start
            again around the best of them.
        steps: the chain that counts ends here at the latest.
        converge: it ends as soon as it has converged.
        block: steps between two looks at it, more in long chains.

    Raises:
        ValueError: unknown moves, or counts below 1.
    """

    moves: str
    burn_in: Sequence[int]
    steps: int
    converge: bool
    block: int

    def __post_init__(self) -> None:
        if self.moves not in MOVES:
            raise BadInput(f"fit.moves is {self.moves!r}: choose from {', '.join(MOVES)}.")
        if min(self.steps, self.block, *self.burn_in) < 1:
            raise BadInput(
                f"fit.steps={self.steps}, fit.block={self.block}, fit.burn_in={self.burn_in}: "
                "at least 1 each."
            )


@dataclass(frozen=True)
class Chain:
    """State and past of a chain; numbers only, so that it can be kept in a file.

    Arguments:
        z: walkers, shape (walkers, n_dim), n_dim the number of inferred columns.
        log_prob: of the walkers, shape (walkers,).
        random: key of the Mersenne twister.
        twister: its position, and the normal deviate that it may hold (has_gauss, gauss).
        shares, means, covariances: of the independent proposal (`Mixture`).
        past: kept positions of this round, z in burn-in and `Prior.coordinates` of the inferred
            columns in the chain that counts, shape (kept, walkers, n_dim).
        past_log_prob: ln posterior density of `past`, not normalised, shape (kept, walkers).
        round: number of finished rounds of burn-in.
        steps: steps of this round.
        every: one step in so many is kept.
        accepted: moves accepted in this round, over all walkers.
    """

    z: np.ndarray
    log_prob: np.ndarray
    random: np.ndarray
    twister: np.ndarray
    shares: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    past: np.ndarray
    past_log_prob: np.ndarray
    round: int = 0
    steps: int = 0
    every: int = 1
    accepted: int = 0

    @property
    def proposal(self) -> Mixture:
        """The independent proposal."""
        return Mixture(self.shares, self.means, self.covariances)

    def tensors(self) -> dict[str, np.ndarray]:
        """All fields as arrays, from which `Chain.from_tensors` makes an equal chain."""
        return {field.name: np.array(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> "Chain":
        """Inverse of `tensors`."""
        return cls(**{name: a if a.ndim else int(a) for name, a in tensors.items()})


def begin(
    target: Target, z: np.ndarray, rng: np.random.Generator, proposal: Mixture | None = None
) -> Chain:
    """A chain before its first step.

    Arguments:
        target: what is sampled.
        z: first walkers, shape (walkers, n_dim).
        rng: seeds the chain.
        proposal: the independent proposal, by default the normal about zero.

    Raises:
        ValueError: a walker where the density is zero.
    """
    log_prob = target(z)
    if not np.isfinite(log_prob).all():
        raise BadInput(
            f"{(~np.isfinite(log_prob)).sum()} of {len(z)} walkers start where the posterior is "
            "zero: start them elsewhere (fit.start)."
        )
    first = proposal or Mixture.normal(z.shape[1])
    random = np.random.RandomState(rng.integers(2**32, size=8, dtype=np.uint32))
    normals = (first.shares, first.means, first.covariances)
    none = np.empty((0, *z.shape)), np.empty((0, len(z)))
    return Chain(z, log_prob, *_packed(random), *normals, *none)


def advance(chain: Chain, target: Target, settings: Settings) -> Chain:
    """The chain one block later; burn-in moves on to its next round when one is done."""
    burning = chain.round < len(settings.burn_in)
    end = settings.burn_in[chain.round] if burning else settings.steps
    chain = _run(chain, target, settings, min(_block(chain, settings), end - chain.steps))
    return _next_round(chain, target, settings) if burning and chain.steps == end else chain


def is_finished(chain: Chain, settings: Settings) -> bool:
    """True when no further block is wanted."""
    if chain.round < len(settings.burn_in) or chain.steps == 0:
        return False
    return chain.steps >= settings.steps or (settings.converge and diagnose(chain).converged)


def diagnose(chain: Chain) -> Convergence:
    """Judge the chain that counts."""
    return ensemble_convergence(chain.past, chain.steps, chain.every, chain.accepted)


def _block(chain: Chain, settings: Settings) -> int:
    """Steps of the next block: looks are rarer in long chains, for they take long."""
    return settings.block * max(1, chain.steps // (4 * settings.block))


def _run(chain: Chain, target: Target, settings: Settings, steps: int) -> Chain:
    """Some steps, kept with those before."""
    walkers, n_dim = chain.z.shape
    moves = moves_of(settings.moves, chain.proposal)
    sampler = emcee.EnsembleSampler(walkers, n_dim, target, moves=moves, vectorize=True)
    now = emcee.State(chain.z, chain.log_prob, random_state=_twister(chain).get_state())
    run = sampler.sample(now, iterations=steps, store=False, skip_initial_state_check=True)
    states, accepted, before = [], 0, chain.z
    for i, state in enumerate(run, chain.steps + 1):
        accepted += int((state.coords != before).any(1).sum())
        before = state.coords.copy()  # emcee changes its state in place
        if i % chain.every == 0:
            states.append((before, state.log_prob.copy()))
    if chain.round == len(settings.burn_in):
        states = _in_coordinates(target.space, states)
    random, numbers = _packed(sampler._random)
    return _thinned(
        replace(
            chain,
            z=before,
            log_prob=state.log_prob.copy(),
            random=random,
            twister=numbers,
            past=np.concatenate([chain.past, *(z[None] for z, _ in states)]),
            past_log_prob=np.concatenate([chain.past_log_prob, *(p[None] for _, p in states)]),
            steps=chain.steps + steps,
            accepted=chain.accepted + accepted,
        )
    )


def _in_coordinates(
    space: Space, states: list[tuple[np.ndarray, np.ndarray]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions and log densities in `Prior.coordinates` of the inferred columns."""
    if not states:
        return []
    z, log_prob = (np.stack(values) for values in zip(*states, strict=True))
    coordinates, log_density = space(z.reshape(-1, z.shape[-1]))
    log_prob = log_prob - log_density.reshape(log_prob.shape)
    log_prob = log_prob + space.prior.log_density(coordinates, space.zred).reshape(log_prob.shape)
    inferred = coordinates[:, space.prior.inferred]
    return list(zip(inferred.reshape(z.shape), log_prob, strict=True))


def _thinned(chain: Chain) -> Chain:
    """Every second kept step while there are too many; the k-th is step (k + 1) * every."""
    while len(chain.past) > KEPT:
        past, log_prob = chain.past[1::2], chain.past_log_prob[1::2]
        chain = replace(chain, past=past, past_log_prob=log_prob, every=2 * chain.every)
    return chain


def _next_round(chain: Chain, target: Target, settings: Settings) -> Chain:
    """The chain after a round of burn-in, its past forgotten."""
    rng = _twister(chain)
    if settings.moves == "stretch" and chain.round + 1 < len(settings.burn_in):
        z = _ball(chain, target, rng)
        chain = replace(chain, z=z, log_prob=target(z))
    chain = _gathered(chain, rng)
    random, numbers = _packed(rng)
    chain = replace(chain, random=random, twister=numbers, round=chain.round + 1)
    return replace(
        chain, past=chain.past[:0], past_log_prob=chain.past_log_prob[:0], steps=0, every=1,
        accepted=0,
    )  # fmt: skip


def _ball(chain: Chain, target: Target, rng: np.random.RandomState) -> np.ndarray:
    """Walkers around the best one so far, as wide as the better half of them is now.

    References:
        Johnson et al. 2021, ApJS 254, 22 (Prospector starts its walkers again after each round).
    """
    at = np.unravel_index(chain.past_log_prob.argmax(), chain.past_log_prob.shape)
    better = chain.z[chain.log_prob >= np.median(chain.log_prob)]
    spread = np.cov(better.T) + 1e-12 * np.eye(chain.z.shape[1])
    z = chain.z.copy()
    for _ in range(20):
        new = rng.multivariate_normal(chain.past[at], spread, len(z))
        inside = np.isfinite(target.space(new)[1])
        z[inside] = new[inside]
    return z


def _gathered(chain: Chain, rng: np.random.RandomState) -> Chain:
    """Walkers left behind in far, much less probable places begin again where others are.

    Only between rounds of burn-in, for what decides by where the walkers are is no Markov chain.
    """
    lost = chain.log_prob < np.median(chain.log_prob) - LOST
    if not lost.any():
        return chain
    z, log_prob = chain.z.copy(), chain.log_prob.copy()
    instead = rng.choice(np.flatnonzero(~lost), lost.sum())
    z[lost], log_prob[lost] = z[instead], log_prob[instead]
    return replace(chain, z=z, log_prob=log_prob)


def _packed(random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """State of a Mersenne twister as arrays."""
    _, key, *numbers = random.get_state()
    return key.copy(), np.array(numbers, dtype=float)


def _twister(chain: Chain) -> np.random.RandomState:
    """Inverse of `_packed`."""
    random = np.random.RandomState()
    position, has_gauss, gauss = chain.twister
    random.set_state(("MT19937", chain.random, int(position), int(has_gauss), gauss))
    return random
