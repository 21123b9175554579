"""Draws from the posteriors of several spectra, and what they were conditioned on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hpcsbi.simulator.theta.prior import Prior

__all__ = ["Conditions", "Draws", "ToCoordinates"]

# From base points, shape (objects, n, n_base), to coordinates and ln of the slopes' determinant.
ToCoordinates = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Conditions:
    """What a flow knows of some spectra, which fixes the map from its base space.

    Arguments:
        context, shift: see `Representation.context`, on its device.
        given: coordinates of the given columns, shape (objects, given).
    """

    context: torch.Tensor
    shift: torch.Tensor
    given: np.ndarray

    def __len__(self) -> int:
        return len(self.context)

    def __getitem__(self, rows: slice | np.ndarray) -> "Conditions":
        there = rows if isinstance(rows, slice) else torch.as_tensor(rows).to(self.context.device)
        return Conditions(self.context[there], self.shift[there], self.given[rows])


@dataclass(frozen=True)
class Draws:
    """Draws from the posteriors of several spectra.

    Arguments:
        coordinates: `Prior.coordinates` of the draws, float64 (the prior's bounds are such
            numbers), NaN past `kept`, shape (objects, n, n_theta).
        log_prob: their log density, before the box is cut out of it, shape (objects, n).
        kept: number of draws inside the prior, at most n, shape (objects,).
        acceptance: share of all draws that lie inside the prior, shape (objects,).
        base: points of the flow's base space that became the draws, shape (objects, n, n_base);
            None of draws that no flow made.
        conditions: under which they did; None as well.
    """

    coordinates: np.ndarray
    log_prob: np.ndarray
    kept: np.ndarray
    acceptance: np.ndarray
    base: np.ndarray | None = None
    conditions: Conditions | None = None

    def quantiles(self, prior: Prior, levels: Sequence[float]) -> np.ndarray:
        """Quantiles of theta in its own units, as products hold it; NaN where nothing is kept.

        Arguments:
            prior: that of the draws.
            levels: between 0 and 1.

        Returns:
            shape (levels, objects, n_theta).
        """
        objects, _, n_theta = self.coordinates.shape
        quantiles, some = np.full((len(levels), objects, n_theta), np.nan), self.kept > 0
        if some.any():
            theta = prior.theta(self.coordinates[some], np.float32)
            quantiles[:, some] = np.nanquantile(theta, levels, axis=1)
        return quantiles
