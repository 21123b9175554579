"""The posterior: a trained flow with its representation, prior and table; it can be drawn from."""

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch

from hpcsbi.errors import BadInput
from hpcsbi.inference.network.flow import Flow, build_network
from hpcsbi.inference.network.maf_inverse import Map
from hpcsbi.inference.sampling.draws import Conditions, Draws, ToCoordinates
from hpcsbi.inference.summary.representations import make_representation
from hpcsbi.seeds import base_draws
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.derived import DerivedQuantities
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.tensors import rows_on, tensors_on
from hpcsbi.terminal import with_progress

__all__ = ["Posterior"]

OBJECTS = 16  # spectra drawn for at once
MORE = 1.1  # draws than the share inside the prior asks for


class Posterior:
    """A trained flow with its representation and prior.

    Arguments:
        settings: everything that made the flow, with the settings upstream of it.
        tensors: weights ("network.*") and fitted numbers ("representation.*").
        notice: the sentence that products of a demonstration table carry, or "".
        ssp: the table engine that the representation was fitted with, if it was.
        derived: makes the derived quantities of draws; with the table.
        device: where everything but the derived quantities is computed; the engine goes there, too.
            Base draws are the processor's, so that they are the same on each.
    """

    def __init__(
        self,
        settings: dict,
        tensors: Mapping[str, torch.Tensor],
        notice: str = "",
        ssp: Ssp | None = None,
        derived: DerivedQuantities | None = None,
        device: torch.device | str = "cpu",
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
        for part in (self.representation, self.likelihood, self.network):
            if part is not None:
                part.to(device)
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

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.representation.device

    def usable(self, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
        """True for spectra that have what the representation needs, shape (n,)."""
        spectra = (torch.from_numpy(array).to(self.device) for array in (flux, ivar))
        return self.representation.usable(*spectra).cpu().numpy()

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
        known = Conditions(*self._context(given, flux, ivar, instrument), given)
        return self.log_density(coordinates, known)

    @torch.no_grad()
    def log_density(self, coordinates: np.ndarray, conditions: Conditions) -> np.ndarray:
        """`log_prob` where it is known what the flow knows of each row's spectrum, shape (n,)."""
        rows = torch.as_tensor(coordinates, dtype=torch.float32, device=self.device)
        u, log_det = self.representation.to_flow(rows, conditions.shift)
        return (self.network.log_prob(u, conditions.context) + log_det).cpu().numpy()

    @torch.no_grad()
    def conditions(self, batch: Batch) -> Conditions:
        """What the flow knows of usable spectra, with redshifts where a column is given by them."""
        given = self._given(batch)
        return Conditions(*self._context(given, *batch.spectra), given)

    @torch.no_grad()
    def sample(
        self,
        batch: Batch,
        n: int,
        cap: int = 20,
        bounded: bool = True,
        conditions: Conditions | None = None,
    ) -> Draws:
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
            conditions: those of the batch, where they are known; None to measure them.
        """
        known, parts = self.conditions(batch) if conditions is None else conditions, []
        step = rows_on(self.device, OBJECTS, self.grid.pixels)
        for i in with_progress(range(0, len(known), step), "draws of the flow", step, len(known)):
            rows = slice(i, i + step)
            parts.append(self._sample(known[rows], batch[rows], n, cap, bounded))
        return Draws(*(np.concatenate(values) for values in zip(*parts, strict=True)), known)

    def _sample(
        self, known: Conditions, batch: Batch, n: int, cap: int, bounded: bool
    ) -> tuple[np.ndarray, ...]:
        objects, n_theta = len(known), len(self.names)
        generators = [base_draws(seed) for seed in batch.seeds]
        coordinates = np.full((objects, n, n_theta), np.nan)
        log_prob = np.full((objects, n), np.nan, dtype=np.float32)
        base = np.full((objects, n, self.n_base), np.nan, dtype=np.float32)
        kept, inside_all, tried = (np.zeros(objects, dtype=np.int64) for _ in range(3))
        finite = [torch.isfinite(each).all(1) for each in (known.context, known.shift)]
        finite = (finite[0] & finite[1]).cpu().numpy()
        while len(todo := np.flatnonzero((kept < n) & finite & (tried < cap * n))):
            sizes = _next_draws(n, kept[todo], inside_all[todo], tried[todo])
            for size in np.unique(sizes):
                some = todo[sizes == size]
                drawn = [
                    generators[i].standard_normal((size, self.n_base), np.float32) for i in some
                ]
                z = torch.from_numpy(np.stack(drawn, 1)).to(self.device)
                new, log_jacobian = self._transform(
                    z, self.invert(known.context[some]), known[some]
                )
                log_q = (_log_normal(z) - log_jacobian).T.cpu().numpy()
                zred = batch[some].zred_column if bounded else None
                inside = self.prior.inside(new, zred) & np.isfinite(log_q)
                for j, i in enumerate(some):
                    good = np.flatnonzero(inside[j])
                    inside_all[i] += len(good)
                    tried[i] += size
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

    def mapping(self, conditions: Conditions) -> ToCoordinates:
        """The map from the flow's base space, for proposals other than its standard normal.

        Arguments:
            conditions: of spectra; those of `Draws` for the map that made them, to the last bit.

        Returns:
            function of base points z, shape (objects, n, n_base), that gives
            `Prior.coordinates`, which may lie outside the prior, shape (objects, n, n_theta), and
            log |d coordinates / d z| of the inferred ones, shape (objects, n).
        """
        to_flow = self.invert(conditions.context)

        @torch.no_grad()
        def to_coordinates(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            base = torch.as_tensor(z, dtype=torch.float32, device=self.device).movedim(0, 1)
            coordinates, log_jacobian = self._transform(base, to_flow, conditions)
            return coordinates, log_jacobian.T.cpu().numpy()

        return to_coordinates

    def _transform(
        self, z: torch.Tensor, to_flow: Map, conditions: Conditions
    ) -> tuple[np.ndarray, torch.Tensor]:
        """`Prior.coordinates`, object first, and log |d coordinates / d z|, shape of z less one."""
        u, log_det = to_flow(z)
        rounded, log_det_box = self.representation.from_flow(u, conditions.shift)
        coordinates = rounded.movedim(0, 1).double().cpu().numpy()
        # Columns that cannot leave the box may round out of it: 0.4 is above 0.4 in float32.
        boxed = coordinates.clip(self.prior.low, self.prior.high)
        free = self.representation.free.cpu().numpy()
        whole = np.where(free, coordinates, boxed)
        whole[..., ~self.prior.inferred] = conditions.given[:, None]
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
        return self.representation.context(*tensors_on(self.device, arrays))


def _next_draws(n: int, kept: np.ndarray, inside: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """How many draws each object makes next: n, or an eighth, a quarter or half where enough.

    By its own draws so far alone, so that its numbers do not depend on its batch.
    """
    parts = np.array([max(n // 8, 1), max(n // 4, 1), max(n // 2, 1), n])
    wanted = MORE * (n - kept) * tried / np.maximum(inside, 1)
    return np.where(tried > 0, parts[np.searchsorted(parts, wanted.clip(0, n))], n)


def _log_normal(z: torch.Tensor) -> torch.Tensor:
    """Log density of the standard normal, shape (...)."""
    return -0.5 * (z**2).sum(-1) - z.shape[-1] * math.log(math.sqrt(2 * math.pi))


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): torch.as_tensor(values)
        for name, values in tensors.items()
        if name.startswith(prefix)
    }
