"""What a flow and its certificate say of some spectra: their draws, and a catalogue's columns."""

from dataclasses import dataclass

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.derived_columns import derived_quantiles, prior_shares
from hpcsbi.inference.columns.line_excess import line_excess_columns
from hpcsbi.inference.columns.observed_lines import observed_line_columns
from hpcsbi.inference.columns.row_checks import (
    error_fractions,
    outside_training,
    posterior_flags,
    predictive_columns,
)
from hpcsbi.inference.sampling.certificate import QUANTILES, certify
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import strong

__all__ = ["Measurement", "measure"]

FEW_ACCEPTED, MOST_ACCEPTED = 0.05, 0.6


@dataclass(frozen=True)
class Measurement:
    """Posteriors of some spectra; rows are objects.

    Arguments:
        columns: arrays of a catalogue by name, see `catalogue_columns`.
        draws: equally weighted ones of the best posterior there is.
        weighted: of each object the draws behind the quantiles, in `Prior.coordinates`, shape
            (n, n_theta), NaN past the last one, and their weights, which add up to one, or None
            for equal ones.
    """

    columns: dict[str, np.ndarray]
    draws: Draws
    weighted: tuple[tuple[np.ndarray, np.ndarray | None], ...]


def measure(
    posterior: Posterior,
    batch: Batch,
    draws: int,
    cap: int,
    certificate: bool,
    keep_draws: int = 0,
) -> Measurement:
    """Posteriors of spectra that can be inferred.

    The numbers of an object depend on its seed, not on its batch.

    Arguments:
        posterior: the flow, with its table for a certificate and derived quantities.
        batch: `usable` spectra, with their redshifts.
        draws: of each spectrum.
        cap: draws made at most of each spectrum, in units of `draws`.
        certificate: weight the draws by the exact likelihood.
        keep_draws: draws of each spectrum that the columns hold.
    """
    drawn = posterior.sample(batch, draws, cap)
    columns = {"n_draws": drawn.kept, "acceptance": drawn.acceptance}
    levels = list(QUANTILES.values())
    flow_quantiles = drawn.quantiles(posterior.prior, levels)
    best, quantiles = drawn, flow_quantiles
    weighted = [(coordinates, None) for coordinates in drawn.coordinates]
    if certificate:
        certified = certify(posterior, posterior.likelihood, drawn, batch, levels)
        best = certified.draws
        quantiles = np.where(certified.reweighted[:, None], certified.quantiles, flow_quantiles)
        columns |= {"flow_quantiles": flow_quantiles.swapaxes(0, 1)} | certified.numbers
        columns["origin"] = np.where(certified.reweighted, "reweighted", "flow").astype(object)
        for i in np.flatnonzero(certified.reweighted):
            weighted[i] = certified.weighted[i]
    columns["quantiles"], of_derived = quantiles.swapaxes(0, 1), None
    if posterior.derived is not None:
        columns["derived_quantiles"] = of_derived = derived_quantiles(posterior, weighted, levels)
        columns |= observed_line_columns(posterior, posterior.likelihood, best, batch)
    columns |= prior_shares(posterior, columns["quantiles"], of_derived, levels, batch.zred)
    columns |= predictive_columns(posterior.prior, posterior.likelihood, best, batch)
    columns |= line_excess_columns(posterior.prior, posterior.likelihood, best, batch)
    if keep_draws:
        columns["samples"] = posterior.prior.theta(best.coordinates[:, :keep_draws], np.float32)
    columns["flags"] = _flags(posterior, drawn, best, columns, batch.zred)
    older = _older_than_universe(posterior, batch, drawn)
    columns["flags"][older] |= Flag.OLDER_THAN_UNIVERSE
    columns["flags"][outside_training(posterior, batch)] |= Flag.OUTSIDE_TRAINING
    return Measurement(columns, best, tuple(weighted))


def _flags(
    posterior: Posterior,
    drawn: Draws,
    best: Draws,
    columns: dict[str, np.ndarray],
    zred: np.ndarray,
) -> np.ndarray:
    """Flags of the flow's draws and of the best draws there are."""
    flags = np.zeros(len(zred), dtype=np.int32)
    flags[drawn.kept < drawn.coordinates.shape[1]] |= Flag.LOW_ACCEPTANCE
    flags[drawn.acceptance < FEW_ACCEPTED] |= Flag.LOW_ACCEPTANCE
    flags[best.kept == 0] |= Flag.NO_POSTERIOR
    floor = error_fractions(posterior.names, columns["quantiles"][:, [*QUANTILES].index("p50")])
    flags |= posterior_flags(posterior, best, columns, floor, zred)
    if "ess" in columns:
        flags[~strong(columns["ess"], columns["pareto_k"])] |= Flag.WEAK_WEIGHTS
    return flags


def _older_than_universe(posterior: Posterior, batch: Batch, drawn: Draws) -> np.ndarray:
    """True where most draws are older than the Universe was, before that bound cuts them."""
    prior, older = posterior.prior, np.zeros(len(batch), dtype=bool)
    if not prior.bound_age or not (prior.ages & prior.inferred).any():
        return older
    # Where most draws are inside the prior most are no older.
    some = np.flatnonzero(drawn.acceptance < MOST_ACCEPTED)
    if len(some):
        free = posterior.sample(
            batch[some], 50, bounded=False, conditions=drawn.conditions[some]
        ).coordinates
        beyond = free > prior.upper(batch[some].zred_column)
        older[some] = beyond[..., prior.ages].any(-1).mean(1) > 0.5
    return older
