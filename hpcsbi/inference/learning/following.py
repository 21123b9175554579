"""Draws of many posteriors follow a likelihood that changes, and tell the ratio of the evidences.

Draws under the old likelihood are weighted by new over old. Where too few of them would count, the
way is cut into pieces of which each leaves half of them (powers of the ratio); after each piece
they are resampled and moved by differential evolution, so that a posterior may leave where it was.

References:
    Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411 (samplers that go from density to
    density, and their evidence). ter Braak 2006, Stat. Comput. 16, 239 (the moves). Beskos et al.
    2016, Ann. Appl. Probab. 26, 1111 (the length of each piece).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.importance_weights import effective_sample_size, normalised, systematic

__all__ = ["DISTINCT", "FEWEST", "Followed", "follow"]

FEWEST = 32  # draws of an object: with fewer, its pieces are too many and its evidence too vague
SHARE = 0.5  # of the draws that count after each piece
DISTINCT = 8  # draws that differ: an object with fewer is lost, its moves have nowhere to go
PIECES = 40  # an object whose way takes more is lost
HALVINGS = 20  # of the interval in which a piece ends

# ln likelihood of `Prior.coordinates`, shape (n, draws, n_theta), of the objects of some rows.
LogLikelihood = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Followed:
    """Where the draws are, and what the way there tells.

    Arguments:
        coordinates: equally weighted draws under the new likelihood, (objects, draws, n_theta).
        log_ratio: ln of new over old evidence, shape (objects,).
        arrived: False where PIECES did not do, or fewer than DISTINCT draws differ: these are no
            sample of the posterior, shape (objects,).
    """

    coordinates: np.ndarray
    log_ratio: np.ndarray
    arrived: np.ndarray


def follow(
    coordinates: np.ndarray,
    old: LogLikelihood,
    new: LogLikelihood,
    prior: Prior,
    zred: np.ndarray | None,
    seeds: np.ndarray,
    step: int,
    moves: int,
) -> Followed:
    """Take equally weighted draws of each object from one posterior to the next.

    The numbers of an object depend on its seed and the step, not on the others.

    Arguments:
        coordinates: draws under the old likelihood, shape (objects, draws, n_theta).
        old, new: the likelihoods.
        prior: of theta, the same under both.
        zred: redshifts that bound ages, shape (objects,).
        seeds: of the objects, shape (objects,).
        step: a number that no other call with these seeds has.
        moves: of each draw after each piece of the way.
    """
    n, draws, _ = coordinates.shape
    coordinates, everything = coordinates.copy(), np.arange(n)
    before, after = old(everything, coordinates), new(everything, coordinates)
    way, log_ratio = np.zeros(n), np.zeros(n)
    upper = np.broadcast_to(prior.upper(zred), (n, len(prior.names)))[:, None]
    for piece in range(PIECES):
        rows = np.flatnonzero(way < 1)
        if not len(rows):
            break
        gain = _differences(after[rows], before[rows])
        length = _piece(gain, 1 - way[rows])
        log_weights = length[:, None] * gain
        log_ratio[rows] += logsumexp(log_weights, axis=1) - np.log(draws)
        way[rows] = np.where(length == 1 - way[rows], 1.0, way[rows] + length)
        generators = [np.random.default_rng([int(seed), step, piece]) for seed in seeds[rows]]
        for i, weights, rng in zip(rows, normalised(log_weights), generators, strict=True):
            if weights.any():
                chosen = systematic(weights, draws, rng.random())
                coordinates[i] = coordinates[i, chosen]
                before[i], after[i] = before[i, chosen], after[i, chosen]
        numbers = np.stack([rng.random((moves, draws, 4)) for rng in generators], 1)
        walkers = coordinates[rows], before[rows], after[rows], way[rows]
        for each in numbers:
            walkers = _moved(*walkers, rows, old, new, prior, upper[rows], each)
        coordinates[rows], before[rows], after[rows] = walkers[:3]
    distinct = np.array([len(np.unique(rows, axis=0)) for rows in coordinates])
    return Followed(coordinates, log_ratio, (way == 1) & (distinct >= DISTINCT))


def _differences(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x - y of log likelihoods; -inf where x is, or one is no number."""
    known = np.isfinite(x) & ~np.isnan(y)
    return np.where(known, np.where(known, x, 0.0) - np.where(known, y, 0.0), -np.inf)


def _piece(gain: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Powers of the ratio, at most `left`, of which each leaves SHARE of the draws, (objects,)."""
    least = SHARE * gain.shape[1]
    low, high = np.zeros(len(gain)), left.copy()
    whole = effective_sample_size(left[:, None] * gain) >= least
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = effective_sample_size(middle[:, None] * gain) >= least
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return np.where(whole, left, np.maximum(low, 1e-6))


def _moved(
    coordinates: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    way: np.ndarray,
    rows: np.ndarray,
    old: LogLikelihood,
    new: LogLikelihood,
    prior: Prior,
    upper: np.ndarray,
    numbers: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One move of each draw along the difference of two of the other half; see `follow`.

    Arguments:
        upper: bounds of the coordinates, shape (objects, 1, n_theta).
        numbers: uniform random numbers, shape (objects, draws, 4).
    """
    coordinates, before, after = coordinates.copy(), before.copy(), after.copy()
    draws, middle = coordinates.shape[1], coordinates.shape[1] // 2
    scale = 2.38 / np.sqrt(2 * prior.inferred.sum())
    halves = np.arange(middle), np.arange(middle, draws)
    for half, other in (halves, halves[::-1]):
        first, second, size, chance = np.moveaxis(numbers[:, half], -1, 0)
        a = (first * len(other)).astype(int)
        b = (a + 1 + (second * (len(other) - 1)).astype(int)) % len(other)
        pair = (np.take_along_axis(coordinates, other[each][..., None], 1) for each in (a, b))
        here = coordinates[:, half]
        trial = here + scale * (0.5 + size)[..., None] * np.subtract(*pair)
        inside = ((trial >= prior.low) & (trial <= upper)).all(-1)
        trial = np.where(inside[..., None], trial, here)
        change = (prior.log_shapes(trial) - prior.log_shapes(here)).sum(-1)
        trial_after, trial_before = new(rows, trial), before[:, half].copy()
        late = way < 1
        if late.any():
            trial_before[late] = old(rows[late], trial[late])
            share = way[late, None]
            change[late] += (1 - share) * _differences(trial_before[late], before[late][:, half])
        change += way[:, None] * _differences(trial_after, after[:, half])
        good = inside & (np.log(np.maximum(chance, 1e-300)) < change)
        coordinates[:, half] = np.where(good[..., None], trial, here)
        before[:, half] = np.where(good, trial_before, before[:, half])
        after[:, half] = np.where(good, trial_after, after[:, half])
    return coordinates, before, after, way
