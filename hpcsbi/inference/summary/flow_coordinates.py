"""Coordinates in which the network infers theta, common to all representations.

Columns of a symmetry (mass, a screen of dust) are inferred relative to a measured shift, against
what their galaxy's other columns would shift a spectrum by; the others are normal scores of the
prior (of a flat one a probit of its box), so that the flow cannot leave it. Columns that are given
are no target but context, and those that are fixed neither. Coordinates are those of
`Prior.coordinates` (log10 for log columns).
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch

from hpcsbi.grid import fewest_pixels, rows_at_once
from hpcsbi.inference.summary.measurable import measurable
from hpcsbi.inference.summary.normal_scores import NormalScores
from hpcsbi.kernels.logarithm import project_log
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.ssp_basis import band_means
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.survey.record.line_spread import KNOTS

__all__ = ["LN10", "STANDARDISED", "Representation"]

LN10 = math.log(10)
STANDARDISED = 4096  # spectra of the default grid at once, when the context is standardised
SQRT_2PI = math.log(math.sqrt(2 * math.pi))
TOLD_KNOTS = [0, KNOTS // 2, KNOTS - 1]  # of an instrument: a level, a slope and a bend
PAD = 0.5  # dex of mass where its prior is not flat


class Representation(torch.nn.Module, ABC):
    """Base of all representations: the target coordinates and the standardised context.

    A module: `to` moves its numbers and the table's, and `state_dict` holds what a flow saves.

    A prior that is not flat in mass breaks its symmetry: then how bright a spectrum is, is news to
    the network, and the shift stands in the context as well.

    Arguments:
        prior: gives the names of theta's columns, and the distributions of those that are not flat.
        tensors: fitted numbers; `low`, `high` (bounds of the box), `log` (1 for log columns), each
            (n_theta,), `dust_curve` (pixels,), and those of the kind; target_mean and target_sd are
            of the inferred columns.
        ssp: the table engine, for the anchor of shifted columns.
        likelihood: of the simulator, for kinds that look for its optimum.

    Attributes:
        shifted: columns of theta that are inferred relative to a measured shift.
        given, inferred: numbers of the columns that are given, and of all others.
        told: numbers of those that the context must tell: given ones that are not fixed, and
            shifted ones whose shift it does not depend on otherwise.
        pad: by how much training widens the prior of shifted columns; a flat one of mass needs no
            such thing, because the context does not depend on it.
    """

    kind: ClassVar[str]
    shifted: ClassVar[dict[str, float]] = {}

    def __init__(
        self,
        prior: Prior,
        tensors: dict[str, torch.Tensor],
        ssp: Ssp | None = None,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__()
        self.names = names = prior.names
        self.ssp, self.likelihood = ssp, likelihood
        inferred = prior.inferred_names
        self.column = {name: names.index(name) for name in self.shifted if name in inferred}
        self.given = np.flatnonzero(~prior.inferred).tolist()
        self.inferred = np.flatnonzero(prior.inferred).tolist()
        free = torch.tensor([name in self.column for name in names])
        self.register_buffer("free", free, persistent=False)
        bells, shifted = prior.distributions, self.column
        self.bells = NormalScores({i: bells[i] for i in bells if i not in shifted.values()})
        # Of their shift the context is silent otherwise.
        self.silent = [i for name, i in shifted.items() if i in bells and not self.shifted[name]]
        self.told = [*self.silent, *prior.given.of_redshift.tolist()]
        self._keep(**tensors)

    @property
    def n_context(self) -> int:
        """Length of the context."""
        return len(self.context_mean)

    @property
    def device(self) -> torch.device:
        """Where its numbers are, and where it takes spectra."""
        return self.free.device

    @property
    def pad(self) -> torch.Tensor:
        """Widening of the prior in training, in coordinates, shape (n_theta,)."""
        pad = torch.zeros(len(self.names))
        for name, i in self.column.items():
            pad[i] = PAD if i in self.silent else self.shifted[name]
        return pad

    def usable(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """True for spectra that this representation can read, shape (n,)."""
        enough = (ivar > 0).sum(1) >= fewest_pixels(ivar.shape[1])
        return enough & measurable(flux, ivar)

    @abstractmethod
    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw context, (n, n_context), and shift of the coordinates, (n, n_theta)."""

    @abstractmethod
    def fit(self, signal: torch.Tensor, flux: torch.Tensor, ivar: torch.Tensor) -> None:
        """Find the kind's own numbers in a training sample; `standardise` comes after it.

        Arguments:
            signal: noise-free flux, or noisy where there is none, shape (n, pixels).
            flux, ivar: noisy flux and its inverse variance, shape (n, pixels).
        """

    def context(
        self,
        flux: torch.Tensor,
        ivar: torch.Tensor,
        given: torch.Tensor | None = None,
        instrument: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised context, (n, n_context), and shift, which holds given columns, (n, n_theta).

        Arguments:
            flux: L_sun per Angstrom, shape (n, pixels); what stands under a mask does not count.
            ivar: its inverse variance, 0 (or NaN) where masked, shape (n, pixels).
            given: coordinates of the given columns, shape (n, given); None where there are none.
            instrument: what it adds to dispersions, km/s, shape (n, KNOTS), of which a few numbers
                are told; None where the pairs of the training had none.
        """
        valid = ivar > 0  # a NaN under a mask would reach every pixel
        flux, ivar = torch.where(valid, flux, 0.0), torch.where(valid, ivar, 0.0)
        raw, shift = self._measured(flux, ivar, given, instrument)
        context = (raw - self.context_mean) / self.context_sd
        return context.clamp(-10, 10), shift

    def to_flow(
        self, coordinates: torch.Tensor, shift: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Flow coordinates of the inferred columns, (n, inferred), and ln of the determinant of
        their slopes, (n,).

        Arguments:
            coordinates: of all columns, shape (n, n_theta).
            shift: of `context`.
        """
        u, log_det = self._scores(coordinates, shift)
        scale = self.target_sd
        return (u - self.target_mean) / scale, (log_det - scale.log()).sum(-1)

    def from_flow(self, u: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates of all columns, the inverse of `to_flow`, and the same log-determinant.

        Arguments:
            u: flow coordinates, shape (..., inferred).
            shift: of `context`, broadcasts to (..., n_theta).
        """
        coordinates, log_det = self._from(u * self.target_sd + self.target_mean, shift)
        return coordinates, (log_det - self.target_sd.log()).sum(-1)

    def _scores(
        self, coordinates: torch.Tensor, shift: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`to_flow` before standardisation, and ln of each column's slope, (n, inferred) both."""
        scores, log_slope = self._to_scores(coordinates)
        free = coordinates + self._anchor(coordinates) - shift
        u, log_det = torch.where(self.free, free, scores), torch.where(self.free, 0.0, log_slope)
        return self._inferred(u), self._inferred(log_det)

    def _from(self, u: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`from_flow` before standardisation, with the same slopes."""
        u = self._whole(u)
        inside, log_slope = self._from_scores(u)
        if self.given:
            inside[..., self.given] = shift[..., self.given]
        free = u + shift - self._anchor(inside)
        log_det = self._inferred(torch.where(self.free, 0.0, log_slope))
        return torch.where(self.free, free, inside), log_det

    def _inferred(self, columns: torch.Tensor) -> torch.Tensor:
        """Those of all columns that are inferred, shape (..., inferred)."""
        return columns[..., self.inferred] if self.given else columns

    def _whole(self, inferred: torch.Tensor) -> torch.Tensor:
        """All columns, zero in those that are given, shape (..., n_theta)."""
        if not self.given:
            return inferred
        whole = inferred.new_zeros(*inferred.shape[:-1], len(self.names))
        whole[..., self.inferred] = inferred
        return whole

    def _to_scores(self, coordinates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normal scores of the prior, and ln of their slopes, shapes (n, n_theta)."""
        low, high = self.low, self.high
        unit = ((coordinates - low) / (high - low)).clamp(1e-7, 1 - 1e-7)
        scores = torch.special.ndtri(unit.double()).float()
        log_slope = scores**2 / 2 + SQRT_2PI - (high - low).log()
        if columns := self.bells.columns:
            bells, log_width = self.bells.scores(coordinates[..., columns])
            scores[..., columns], log_slope[..., columns] = bells.float(), -log_width.float()
        return scores, log_slope

    def _from_scores(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates that have these scores, and the slopes of `_to_scores`."""
        low, high = self.low, self.high
        inside = low + (high - low) * torch.special.ndtr(scores)
        log_slope = scores**2 / 2 + SQRT_2PI - (high - low).log()
        if columns := self.bells.columns:
            values, log_width = self.bells.values(scores[..., columns])
            inside[..., columns], log_slope[..., columns] = values.float(), -log_width.float()
        return inside, log_slope

    def _measured(
        self,
        flux: torch.Tensor,
        ivar: torch.Tensor,
        given: torch.Tensor | None,
        instrument: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `measure`, with what else the network is told: shifts, given columns, instrument."""
        raw, shift = self.measure(flux, ivar)
        if self.given:
            shift[:, self.given] = given
        more = [] if instrument is None else [instrument[:, TOLD_KNOTS].log()]
        more += [shift[:, self.told]] if self.told else []
        return (torch.cat([raw, *more], 1) if more else raw), shift

    def _anchor(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Shift that the other columns alone would give their stars' colours, (..., n_theta).

        With it the shifted columns become the amplitude and dust of the *spectrum*, which the data
        fix, in place of those of the galaxy, which trade against its age and metallicity. A few
        bands will do: any function of the other columns leaves the Jacobian what it was. It takes
        the table; without one it is zero.
        """
        if self.ssp is None or not self.column:
            return torch.zeros_like(coordinates)
        # Draws of one object together: neighbours on the table's grid are in the cache.
        grouped = coordinates.transpose(0, -2)
        flat = grouped.reshape(-1, len(self.names))
        theta = torch.where(self.free, 0.0, torch.where(self.log > 0, 10**flat, flat))
        shifts = self._split_of_bare(theta)
        anchor = self._shift(flat, **dict(zip(("logmass", "dust2"), shifts.T, strict=False)))
        return anchor.reshape(grouped.shape).transpose(0, -2)

    def _split_of_bare(self, theta: torch.Tensor) -> torch.Tensor:
        """Amplitude and dust of dustless spectra of one solar mass, (n, shifted columns)."""
        flux = self.ssp.band_flux(theta, self.names)
        if not self.ssp.is_compiled(theta):
            return flux.clamp_min(1e-30).log() @ self._of_bands.T
        amplitude_and_dust = np.empty((len(flux), len(self._of_bands)), np.float32)
        project_log(flux.numpy(), self._of_bands.numpy(), amplitude_and_dust)
        return torch.from_numpy(amplitude_and_dust)

    def _keep(self, **numbers: torch.Tensor) -> None:
        """Keep fitted numbers, and beside them what follows from them and is not saved."""
        for name, values in numbers.items():
            self.register_buffer(name, values)
        if "dust_curve" in numbers:
            self._keep_symmetries(numbers["dust_curve"])

    def _keep_symmetries(self, curve: torch.Tensor) -> None:
        """d ln flux / d (logmass, dust2), (pixels, columns), and its inverse by least squares."""
        both = torch.stack([torch.full_like(curve, LN10), -curve], 1)[:, : len(self.shifted)]
        self.register_buffer("_symmetries", both, persistent=False)
        self.register_buffer("_onto_symmetries", torch.linalg.pinv(both), persistent=False)
        of_bands = torch.linalg.pinv(band_means(both.T).T)
        self.register_buffer("_of_bands", of_bands, persistent=False)

    def standardise(self, coordinates: torch.Tensor, *spectra: torch.Tensor) -> None:
        """Set means and widths of context and target; spectra are flux, ivar and any instrument."""
        zeros = torch.zeros_like(self._inferred(self.low))
        self._keep(target_mean=zeros, target_sd=torch.ones_like(zeros))
        rows, raw, u = rows_at_once(STANDARDISED, spectra[0].shape[1]), [], []
        for c, f, i, *more in zip(*(a.split(rows) for a in (coordinates, *spectra)), strict=True):
            context, shift = self._measured(f, i, c[:, self.given], *(more or [None]))
            raw.append(context)
            u.append(self.to_flow(c, shift)[0])
        raw, u = torch.cat(raw), torch.cat(u)
        self._keep(
            context_mean=raw.mean(0),
            context_sd=raw.std(0).clamp_min(1e-6),
            target_mean=u.mean(0),
            target_sd=u.std(0),
        )

    def _shift(self, like: torch.Tensor, **columns: torch.Tensor) -> torch.Tensor:
        shift = like.new_zeros(len(like), len(self.names))
        for name in self.column.keys() & columns.keys():
            shift[:, self.column[name]] = columns[name]
        return shift
