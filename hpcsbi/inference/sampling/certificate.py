"""The certificate: exact likelihoods of a flow's draws, and what they say about the posterior.

The draws become importance samples of the exact posterior. Where their weights are good, quantiles
of the weighted draws are right whatever the flow did, and the evidence comes along. Where they are
weak, proposals are fitted in the flow's base space, until one is good (`rescue`).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from hpcsbi.inference.sampling.draws import Draws, ToCoordinates
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.inference.sampling.rescue import Effort, rescued
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.importance_weights import (
    effective_sample_size,
    log_evidence,
    normalised,
    pareto_smoothed,
    strong,
    systematic,
    weighted_quantiles,
)
from hpcsbi.tensors import tensors_on
from hpcsbi.terminal import with_progress

__all__ = ["COLUMNS", "ORIGINS", "QUANTILES", "Certificate", "certify"]

QUANTILES = {"p2_5": 0.025, "p16": 0.16, "p50": 0.5, "p84": 0.84, "p97_5": 0.975}
ORIGINS = ("flow", "reweighted", "mcmc")  # what the catalogue's quantiles may come from
MOST = 10_000  # weighted draws that are passed on
EFFORT = Effort()
STREAM = 1  # keeps the certificate's random numbers apart from those of the draws

COLUMNS = {
    "ess": ("float32", "effective number of weighted draws"),
    "pareto_k": ("float32", "shape of the tail of the weights; below 0.7 they can be trusted"),
    "n_weights": ("int32", "draws behind the weights"),
    "log_evidence": ("float64", "ln of the evidence, flux in L_sun / Angstrom; NaN: weak weights"),
    "log_evidence_error": ("float32", "standard error of log_evidence; inf: weak weights"),
}


@dataclass(frozen=True)
class Certificate:
    """What the weights of several spectra say; rows are objects.

    Arguments:
        draws: equally weighted draws of the best posterior there is, as many as the flow's.
        reweighted: True where they come from weighted draws, else from the flow, shape (objects,).
        quantiles: of theta of the weighted draws, own units, NaN where they are weak, shape
            (levels, objects, n_theta).
        numbers: values of COLUMNS by name, each of shape (objects,).
        before: the same of the flow's own draws, before any rescue.
        weighted: of each object the proposals behind the quantiles, in `Prior.coordinates`, shape
            (n, n_theta), and their smoothed weights, which add up to one; of more than MOST
            proposals as many equally weighted ones, and the flow's where all are weak.
    """

    draws: Draws
    reweighted: np.ndarray
    quantiles: np.ndarray
    numbers: dict[str, np.ndarray]
    before: dict[str, np.ndarray]
    weighted: tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class _Weighted:
    """Weighted draws of one object, n of them.

    `log_share` turns the mean weight of all rows into the evidence.
    """

    coordinates: np.ndarray
    log_weights: np.ndarray
    smoothed: np.ndarray
    pareto_k: float
    ess: float
    n: int
    log_share: float = 0.0

    @property
    def strong(self) -> bool:
        return bool(strong(self.ess, self.pareto_k))

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Values of COLUMNS; weak weights give no evidence: NaN, and inf for its error."""
        evidence, error = log_evidence(self.smoothed) if self.strong else (np.nan, np.inf)
        return {
            "ess": self.ess,
            "pareto_k": self.pareto_k,
            "n_weights": self.n,
            "log_evidence": float(evidence) + self.log_share,
            "log_evidence_error": float(error),
        }


def certify(
    posterior: Posterior,
    likelihood: Likelihood,
    drawn: Draws,
    batch: Batch,
    levels: list[float],
    effort: Effort | None = EFFORT,
) -> Certificate:
    """Weight the draws of each spectrum, and try again where the weights are weak.

    The numbers of an object depend on its seed and its draws, not on its batch.

    Arguments:
        posterior: the flow.
        likelihood: that of the simulator which trained it (`posterior.likelihood`).
        drawn: `posterior.sample(batch, ...)`.
        batch: the spectra, usable ones.
        levels: of the quantiles.
        effort: how much is tried where the weights are weak; None: nothing.
    """
    firsts = _of_flow(posterior.prior, likelihood, drawn, batch)
    numbers, reweighted, rows = [], [], []
    for i in with_progress(range(len(firsts)), "certificate", 1, len(firsts)):
        best = firsts[i]
        rng = np.random.default_rng([int(batch.seeds[i]), STREAM])
        if effort is not None and not best.strong:
            mapping = posterior.mapping(drawn.conditions[i : i + 1])
            one = drawn.base[i], drawn.acceptance[i], batch[i : i + 1]
            best = _rescued(posterior.prior, mapping, likelihood, best, *one, effort, rng)
        numbers.append(best.numbers)  # and not all draws of a batch in memory
        reweighted.append(best.strong)
        best = best if best.strong else firsts[i]
        rows.append(_row(posterior.prior, best, drawn.coordinates[i], levels, rng))
    coordinates, quantiles, weighted = zip(*rows, strict=True)
    reweighted = np.array(reweighted)
    kept = np.where(reweighted, drawn.coordinates.shape[1], drawn.kept).astype(np.int32)
    return Certificate(
        replace(drawn, coordinates=np.stack(coordinates), kept=kept, base=None, conditions=None),
        reweighted,
        np.stack(quantiles, axis=1),
        _columns(numbers),
        _columns([first.numbers for first in firsts]),
        weighted,
    )


def _columns(numbers: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Numbers of all objects, by name."""
    return {name: np.array([values[name] for values in numbers]) for name in COLUMNS}


def _of_flow(prior: Prior, likelihood: Likelihood, drawn: Draws, batch: Batch) -> list[_Weighted]:
    """The flow's own draws, weighted, for each object."""
    log_weights = _log_weights(prior, likelihood, drawn.coordinates, drawn.log_prob, batch)
    smoothed, k = pareto_smoothed(log_weights)
    # The density is that before the box was cut out, and rows may hold fewer draws than columns.
    share = drawn.acceptance * drawn.coordinates.shape[1] / np.maximum(drawn.kept, 1)
    log_share = np.log(np.where(share > 0, share, 1.0))
    ess = effective_sample_size(log_weights)
    rows = (drawn.coordinates, log_weights, smoothed, k, ess, drawn.kept, log_share)
    return [_Weighted(*row) for row in zip(*rows, strict=True)]


def _log_weights(
    prior: Prior,
    likelihood: Likelihood,
    coordinates: np.ndarray,
    log_q: np.ndarray,
    batch: Batch,
) -> np.ndarray:
    """ln of likelihood times prior over proposal in `Prior.coordinates`, shape (objects, draws).

    -inf outside the prior. A likelihood that is the same for all draws of an object has learned
    nothing from its spectrum, or has overflowed: such rows are NaN, and so never strong.
    """
    with torch.no_grad():
        flux, ivar, *instrument = batch.spectra
        arrays = (flux, ivar, prior.theta(coordinates, np.float32), *instrument)
        log_likelihood = likelihood(*tensors_on(likelihood.device, arrays)).cpu().numpy()
    log_prior = prior.log_density(coordinates, batch.zred_column)
    with np.errstate(invalid="ignore"):  # of -inf and -inf, which is outside
        log_weights = log_likelihood + log_prior - log_q
    inside = np.isfinite(log_weights)
    log_likelihood_inside = np.where(inside, log_likelihood, np.nan)
    flat = np.fmax.reduce(log_likelihood_inside, 1) == np.fmin.reduce(log_likelihood_inside, 1)
    flat &= inside.sum(1) > 1
    return np.where(flat[:, None], np.nan, np.where(inside, log_weights, -np.inf))


def _rescued(
    prior: Prior,
    mapping: ToCoordinates,
    likelihood: Likelihood,
    first: _Weighted,
    base: np.ndarray,
    acceptance: float,
    batch: Batch,
    effort: Effort,
    rng: np.random.Generator,
) -> _Weighted:
    """Weighted draws of one object from the first proposal that gives strong ones, or the last."""

    def target(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        coordinates, log_jacobian = mapping(z[None])
        log_target = _log_weights(prior, likelihood, coordinates, -log_jacobian, batch)
        return coordinates[0], log_target[0]

    known = np.isfinite(first.log_weights)
    flow = base[known].astype(float), first.log_weights[known]
    tried = first.n / acceptance if acceptance else 0.0
    coordinates, log_weights = rescued(target, *flow, tried, effort, rng)
    smoothed, k = pareto_smoothed(log_weights)
    ess = effective_sample_size(log_weights)
    return _Weighted(coordinates, log_weights, smoothed, float(k), float(ess), len(log_weights))


def _row(
    prior: Prior,
    best: _Weighted,
    drawn: np.ndarray,
    levels: list[float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Equally weighted draws of one object, weighted quantiles, and the proposals behind them."""
    weights = normalised(best.smoothed)
    if not best.strong:
        none = np.full((len(levels), drawn.shape[1]), np.nan)
        return drawn, none, (best.coordinates, weights)
    coordinates, weights = _few(best.coordinates, weights, rng)
    chosen = rng.permutation(systematic(weights, len(drawn), rng.random()))
    theta = prior.theta(coordinates, np.float32)
    quantiles = weighted_quantiles(theta, weights, levels)
    return coordinates[chosen], quantiles, (coordinates, weights)


def _few(
    coordinates: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """MOST weighted draws at most, of equal weight if there were more."""
    if len(weights) <= MOST:
        return coordinates, weights
    return coordinates[systematic(weights, MOST, rng.random())], np.full(MOST, 1 / MOST)
