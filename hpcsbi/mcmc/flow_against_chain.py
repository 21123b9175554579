"""How far a flow is from the chain of an object, as it is and with weights; checks of the chain."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from hpcsbi.inference.columns.derived_columns import derived_quantiles, prior_shares
from hpcsbi.inference.columns.line_excess import line_excess_columns
from hpcsbi.inference.columns.observed_lines import observed_line_columns
from hpcsbi.inference.columns.row_checks import error_fractions, posterior_flags, predictive_columns
from hpcsbi.inference.sampling.certificate import QUANTILES, Certificate, certify
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.mcmc.chain import Chain
from hpcsbi.mcmc.fit_columns import METHODS, chain_columns, kept_draws, spaced_indices
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import N_DRAWS
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.distances import c2st, wasserstein, width_ratio

__all__ = [
    "PARTS",
    "check_columns",
    "clock",
    "comparison_columns",
    "object_columns",
]

PARTS = ("chain", "flow", "weights")  # of an object, whose CPU seconds are told
CAP = 20  # draws of the flow made at most, in units of those wanted
RULERS = 50000  # points of the chain that distances look at
SHOWN = 1000  # draws of each that the classifier looks at


def object_columns(
    chain: Chain,
    posterior: Posterior,
    likelihood: Likelihood,
    batch: Batch,
    by_flow: bool,
    draws: int,
    proposals: int,
    seconds: dict[str, float],
) -> dict[str, np.ndarray]:
    """All columns of one object but those that name it.

    Arguments:
        chain: at its end.
        posterior: the flow.
        likelihood: that of the chain.
        batch: its spectrum.
        by_flow: the flow can be used.
        draws: number of draws kept.
        proposals: draws of the flow that are looked at.
        seconds: CPU seconds of PARTS; what this takes is added.
    """
    certified_draws = None
    if by_flow:
        with clock(seconds, "flow"):
            drawn = posterior.sample(batch, proposals, CAP)
        with clock(seconds, "weights"):
            levels = list(QUANTILES.values())
            certificate = certify(posterior, likelihood, drawn, batch, levels)
        certified_draws = drawn, certificate
    columns = chain_columns(chain, posterior.prior, draws, batch.only_zred)
    columns |= check_columns(_whole(chain, posterior, batch, draws), posterior, likelihood, batch)
    columns |= _derived(chain, posterior, columns["quantiles"][None], batch)
    return columns | comparison_columns(chain, posterior.prior, certified_draws, draws)


def _derived(
    chain: Chain, posterior: Posterior, quantiles: np.ndarray, batch: Batch
) -> dict[str, np.ndarray]:
    """Columns of what follows from theta, of one object."""
    levels, (steps, walkers, _) = list(QUANTILES.values()), chain.past.shape
    draws = _whole(chain, posterior, batch, min(steps * walkers, RULERS))
    derived = derived_quantiles(posterior, [(draws, None)], levels)
    shares = prior_shares(posterior, quantiles, derived, levels, batch.zred)
    columns = {"derived_quantiles": derived} | shares
    return {name: values[0] for name, values in columns.items()}


def _whole(chain: Chain, posterior: Posterior, batch: Batch, draws: int) -> np.ndarray:
    """`Prior.coordinates` of kept draws with the given columns among them, (draws, n_theta)."""
    given = posterior.prior.given
    return given.join(kept_draws(chain, draws), given.at(batch.only_zred))


@contextmanager
def clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the CPU seconds of a block, of this process and of children that have ended."""
    began = _cpu_seconds()
    yield
    seconds[name] += _cpu_seconds() - began


def check_columns(
    coordinates: np.ndarray, posterior: Posterior, likelihood: Likelihood, batch: Batch
) -> dict[str, np.ndarray]:
    """Columns chi2, p-values, flags and observed lines of one object, as `infer` makes them.

    Arguments:
        coordinates: draws of the chain in `Prior.coordinates`, shape (draws, n_theta).
        posterior: gives prior and table.
        likelihood: its sigma is that of the p-value, as in a certificate.
        batch: its spectrum.
    """
    # Neighbours in the chain resemble each other, and the checks look at the first draws.
    n = len(coordinates)
    order = spaced_indices(n, min(N_DRAWS, n))
    order = np.append(order, np.setdiff1d(np.arange(n), order))
    drawn = Draws(coordinates[None, order], np.zeros((1, n)), np.array([n]), np.ones(1))
    columns = predictive_columns(posterior.prior, likelihood, drawn, batch)
    columns |= observed_line_columns(posterior, likelihood, drawn, batch)
    columns |= line_excess_columns(posterior.prior, likelihood, drawn, batch)
    floor = error_fractions(posterior.names, drawn.quantiles(posterior.prior, [0.5])[0])
    flags = posterior_flags(posterior, drawn, columns, floor, batch.zred)
    return {name: values[0] for name, values in (columns | {"flags": flags}).items()}


def comparison_columns(
    chain: Chain,
    prior: Prior,
    by_flow: tuple[Draws, Certificate] | None,
    draws: int,
) -> dict[str, np.ndarray]:
    """Columns of one object that compare the flow with the chain.

    Arguments:
        chain: at its end.
        prior: gives theta in its own units.
        by_flow: draws of the flow and their certificate; None where it cannot be used.
        draws: number of draws kept.
    """
    steps, walkers, n_dim = chain.past.shape
    inferred = prior.inferred
    ruler = kept_draws(chain, min(steps * walkers, RULERS))
    half = len(ruler) // 2
    sets = {"halves": (ruler[:half], ruler[half:], None, ruler[half:])}
    columns = {}
    if by_flow is not None and by_flow[0].kept[0] > 1:
        drawn, certificate = by_flow
        flow = drawn.coordinates[0, : drawn.kept[0]]
        columns["flow_samples"] = _first(prior, flow, draws)
        sets["flow"] = (ruler, flow[:, inferred], None, flow[:, inferred])
        if certificate.reweighted[0]:
            equal = certificate.draws.coordinates[0]
            columns["reweighted_samples"] = _first(prior, equal, draws)
            proposals, weights = certificate.weighted[0]
            sets["reweighted"] = (ruler, proposals[:, inferred], weights, equal[:, inferred])
        columns |= _numbers(certificate)
    far = np.full((2, len(METHODS), n_dim), np.nan)
    accuracy = np.full(len(METHODS), np.nan)
    for name, (ours, others, weights, equal) in sets.items():
        i = METHODS.index(name)
        far[:, i] = wasserstein(ours, others, weights), width_ratio(ours, others, weights)
        accuracy[i] = _told_apart(ours, equal)
    far = prior.given.join(far, np.nan)
    return columns | {"wasserstein": far[0], "width_ratio": far[1], "c2st": accuracy}


def _numbers(certificate: Certificate) -> dict[str, np.ndarray]:
    """Tail, effective number and number of the weights, for each of METHODS."""
    columns = {"pareto_k": "pareto_k", "weights_ess": "ess", "n_weights": "n_weights"}
    empty = {"pareto_k": np.nan, "weights_ess": np.nan, "n_weights": 0}
    kinds = certificate.before, certificate.numbers
    return {
        column: np.array([*(kind[name][0] for kind in kinds), empty[column]])
        for column, name in columns.items()
    }


def _told_apart(ours: np.ndarray, others: np.ndarray) -> float:
    """`c2st` of as many draws of each, which keep their order."""
    n = min(SHOWN, len(ours), len(others))
    return c2st(ours[spaced_indices(len(ours), n)], others[spaced_indices(len(others), n)])


def _first(prior: Prior, coordinates: np.ndarray, draws: int) -> np.ndarray:
    """Theta of so many draws, NaN past the last, shape (draws, n_theta)."""
    theta = np.full((draws, len(prior.names)), np.nan, np.float32)
    theta[: len(coordinates)] = prior.theta(coordinates[:draws], np.float32)
    return theta


def _cpu_seconds() -> float:
    return time.process_time() + sum(os.times()[2:4])
