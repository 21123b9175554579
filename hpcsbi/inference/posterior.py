"""The posterior: a trained flow with its representation, prior and table; it can be drawn from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hpcsbi.errors import BadInput
from hpcsbi.inference.flow import Flow, build_network
from hpcsbi.inference.maf_inverse import Map
from hpcsbi.inference.representations import make_representation
from hpcsbi.seeds import base_draws
from hpcsbi.simulator.batch import Batch
from hpcsbi.simulator.derived import DerivedQuantities
from hpcsbi.simulator.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.prior import Prior
from hpcsbi.simulator.ssp_table import Ssp
from hpcsbi.terminal import with_progress

__all__ = ["Draws", "Posterior"]

OBJECTS = 16  # spectra drawn for at once


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
    """

    coordinates: np.ndarray
    log_prob: np.ndarray
    kept: np.ndarray
    acceptance: np.ndarray
    base: np.ndarray | None = None

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


class Posterior:
    """A trained flow with its representation and prior.

    Arguments:
        settings: everything that made the flow, with the settings upstream of it.
        tensors: weights ("network.*") and fitted numbers ("representation.*").
        notice: the sentence that products of a demonstration table carry, or "".
        ssp: the table engine that the representation was fitted with, if it was.
        derived: makes the derived quantities of draws; with the table.
    """

    def __init__(
        self,
        settings: dict,
        tensors: Mapping[str, torch.Tensor],
        notice: str = "",
        ssp: Ssp | None = None,
        derived: DerivedQuantities | None = None,
    ) -> None:
        self.settings, self.notice, self.ssp, self.derived = settings, notice, ssp, derived
        self.model = Model.of(settings)
        self.prior, self.grid = self.model.prior, self.model.grid
        self.representation = make_representation(
            settings["representation"],
            self.prior,
            _under("representation.", tensors),
            ssp,
            self.likelihood,
        )
        self.network = build_network(
            Flow(**settings["flow"]), self.n_base, self.representation.n_context, 0
        )
        self.network.load_state_dict(_under("network.", tensors))
        self.network.eval()
        self.invert = self.network.inverse()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of theta's columns."""
        return self.prior.names

    @cached_property
    def n_base(self) -> int:
        """Dimension of the flow's base space: the columns that are inferred."""
        return len(self.prior.inferred_names)

    @cached_property
    def likelihood(self) -> Likelihood | None:
        """That of the simulator which trained the flow; None without a table."""
        if self.ssp is None:
            return None
        return of_simulator(self.ssp, self.names, self.model.noise)

    def usable(self, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
        """True for spectra that have what the representation needs, shape (n,)."""
        return self.representation.usable(torch.from_numpy(flux), torch.from_numpy(ivar)).numpy()

    @torch.no_grad()
    def log_prob(
        self,
        coordinates: np.ndarray,
        flux: np.ndarray,
        ivar: np.ndarray,
        instrument: np.ndarray | None = None,
    ) -> np.ndarray:
        """Log density in `Prior.coordinates`, not renormalised to the box, shape (n,).

        Arguments:
            coordinates: of theta, one row per spectrum, shape (n, n_theta); the density is that of
                the inferred columns, given the others.
            flux, ivar, instrument: spectra, see `Batch`.
        """
        given = np.asarray(coordinates)[:, ~self.prior.inferred]
        context, shift = self._context(given, flux, ivar, instrument)
        rows = torch.as_tensor(coordinates, dtype=torch.float32)
        u, log_det = self.representation.to_flow(rows, shift)
        return (self.network.log_prob(u, context) + log_det).numpy()

    @torch.no_grad()
    def sample(self, batch: Batch, n: int, cap: int = 20, bounded: bool = True) -> Draws:
        """Draw n parameter vectors inside the prior for each spectrum.

        An object is drawn for until it has n, or cap * n draws were made; one hard object does
        not hold up the others. The numbers depend on the object's seed, not on its batch. A
        spectrum of which the representation makes no finite context has no draws, nor has one at
        whose redshift a given column leaves its range.

        Arguments:
            batch: `usable` spectra, with redshifts where a column is given by them.
            n: draws wanted per object.
            cap: draws made at most, in units of n.
            bounded: inferred ages end where the prior bounds them by the batch's redshifts.
        """
        given = self._given(batch)
        context, shift = self._context(given, *batch.spectra)
        parts = []
        blocks = range(0, len(context), OBJECTS)
        for i in with_progress(blocks, "draws of the flow", OBJECTS, len(context)):
            rows = slice(i, i + OBJECTS)
            measured = context[rows], shift[rows], given[rows]
            parts.append(self._sample(*measured, batch[rows], n, cap, bounded))
        return Draws(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _sample(
        self,
        context: torch.Tensor,
        shift: torch.Tensor,
        given: np.ndarray,
        batch: Batch,
        n: int,
        cap: int,
        bounded: bool,
    ) -> tuple[np.ndarray, ...]:
        objects, n_theta = len(context), len(self.names)
        generators = [base_draws(seed) for seed in batch.seeds]
        coordinates = np.full((objects, n, n_theta), np.nan)
        log_prob = np.full((objects, n), np.nan, dtype=np.float32)
        base = np.full((objects, n, self.n_base), np.nan, dtype=np.float32)
        kept, inside_all, tried = (np.zeros(objects, dtype=np.int64) for _ in range(3))
        known = (torch.isfinite(context).all(1) & torch.isfinite(shift).all(1)).numpy()
        for _ in range(cap):
            todo = np.flatnonzero((kept < n) & known)
            if not len(todo):
                break
            drawn = [generators[i].standard_normal((n, self.n_base), np.float32) for i in todo]
            z = torch.from_numpy(np.stack(drawn, 1))
            some = self.invert(context[todo]), shift[todo], given[todo]
            new, log_jacobian = self._transform(z, *some)
            log_q = (_log_normal(z) - log_jacobian).T.numpy()
            zred = batch[todo].zred_column if bounded else None
            inside = self.prior.inside(new, zred) & np.isfinite(log_q)
            for j, i in enumerate(todo):
                good = np.flatnonzero(inside[j])
                inside_all[i] += len(good)
                tried[i] += n
                good = good[: n - kept[i]]
                rows = slice(kept[i], kept[i] + len(good))
                coordinates[i, rows], log_prob[i, rows] = new[j, good], log_q[j, good]
                base[i, rows] = drawn[j][good]
                kept[i] += len(good)
        return (
            coordinates,
            log_prob,
            kept.astype(np.int32),
            (inside_all / np.maximum(tried, 1)).astype(np.float32),
            base,
        )

    @torch.no_grad()
    def mapping(self, batch: Batch) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """The map from the flow's base space, for proposals other than its standard normal.

        Arguments:
            batch: usable spectra, with redshifts where a column is given by them.

        Returns:
            function of base points z, shape (objects, n, n_base), that gives
            `Prior.coordinates`, which may lie outside the prior, shape (objects, n, n_theta), and
            log |d coordinates / d z| of the inferred ones, shape (objects, n).
        """
        given = self._given(batch)
        context, shift = self._context(given, *batch.spectra)
        to_flow = self.invert(context)

        @torch.no_grad()
        def to_coordinates(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            base = torch.as_tensor(z, dtype=torch.float32).movedim(0, 1)
            coordinates, log_jacobian = self._transform(base, to_flow, shift, given)
            return coordinates, log_jacobian.T.numpy()

        return to_coordinates

    def _transform(
        self, z: torch.Tensor, to_flow: Map, shift: torch.Tensor, given: np.ndarray
    ) -> tuple[np.ndarray, torch.Tensor]:
        """`Prior.coordinates`, object first, and log |d coordinates / d z|, shape of z less one."""
        u, log_det = to_flow(z)
        rounded, log_det_box = self.representation.from_flow(u, shift)
        coordinates = rounded.movedim(0, 1).double().numpy()
        # Columns that cannot leave the box may round out of it: 0.4 is above 0.4 in float32.
        boxed = coordinates.clip(self.prior.low, self.prior.high)
        free = self.representation.free.numpy()
        whole = np.where(free, coordinates, boxed)
        whole[..., ~self.prior.inferred] = given[:, None]
        return whole, log_det - log_det_box

    def _given(self, batch: Batch) -> np.ndarray:
        """Given columns of each object, shape (objects, given)."""
        given = self.prior.given
        return np.broadcast_to(given.at(batch.zred), (len(batch), len(given)))

    def _context(
        self,
        given: np.ndarray,
        flux: np.ndarray,
        ivar: np.ndarray,
        instrument: np.ndarray | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if (instrument is not None) != self.model.noise.instrument:
            raise BadInput(
                f"the flow was trained with noise.instrument={self.model.noise.instrument}, and "
                f"what the instrument adds is {'not ' * (instrument is None)}told of the spectra."
            )
        arrays = [flux, ivar, given] if instrument is None else [flux, ivar, given, instrument]
        # Copies in torch's own memory: products of unaligned ones differ in the last bit.
        return self.representation.context(
            *(torch.tensor(np.asarray(array, dtype=np.float32)) for array in arrays)
        )


def _log_normal(z: torch.Tensor) -> torch.Tensor:
    """Log density of the standard normal, shape (...)."""
    return -0.5 * (z**2).sum(-1) - z.shape[-1] * math.log(math.sqrt(2 * math.pi))


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): torch.as_tensor(values)
        for name, values in tensors.items()
        if name.startswith(prefix)
    }
