"""Coordinates about the optimum of each object's exact likelihood.

A network's error must be small against a posterior whose width falls with signal to noise: the
best spectra of a survey have the worst flows. Here a few rounds of Levenberg and Marquardt bring
a first guess to the most probable parameters, by the likelihood that the weights are made of; what
the flow learns is how the posterior differs from the normal one about them.
"""

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.grid import rows_at_once
from hpcsbi.inference.summary.ascent import minimise
from hpcsbi.inference.summary.flow_coordinates import LN10, STANDARDISED
from hpcsbi.inference.summary.representation import Projection
from hpcsbi.simulator.probability.fisher import score_and_information
from hpcsbi.simulator.theta.parameters import OF_ERRORS

__all__ = ["Optimum"]

STEP, NOISE_STEP = 0.02, 0.15  # of a column in differences, normal scores
LEAST_CURVATURE = 1.0  # of noise columns, that of their prior
FEATURES, RIDGE = 256, 1e-4  # of the first guess
SAMPLE = 8192  # pairs that standardise context and target
PART = 1024  # spectra worked on at once: they stay in the cache
STRETCHED = 3.0  # coordinates of the flow are logarithms beyond it
FLAT = 0.25  # precision of shifted columns before the data, about what was measured


class Optimum(Projection):
    """See `projection` for what is measured first, a guess of the parameters among it.

    The flow's coordinates are t = L^-1 (u - u_0) of the coordinates u of `Representation`, through
    asinh, as wrong optima have long tails. u_0 is the optimum, L L^T the inverse of the Fisher
    information there and of the prior's, C, and TEMPERED^2 diag(C): a ridge is longer than it is
    straight, and a factor of C alone would make its bend as large as its length over its width.
    The context tells u_0, the widths and correlations of C, and chi squared, too.

    Takes the table and the likelihood, of any noise model.
    """

    kind = "optimum"
    rounds: ClassVar[int] = 8
    longest: ClassVar[float] = 0.4
    limit: ClassVar[float] = 3.0
    tempered: ClassVar[float] = 0.3

    def to_flow(self, coordinates: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """See `Representation.to_flow`."""
        shift, optimum, factor = self._parts(shift)
        u, log_det = self._scores(coordinates, shift)
        t = torch.linalg.solve_triangular(factor, (u - optimum)[..., None], upper=False)[..., 0]
        t = (t - self.target_mean) / self.target_sd
        return STRETCHED * torch.asinh(t / STRETCHED), log_det.sum(-1) + self._log_slope(t, factor)

    def from_flow(self, u: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """See `Representation.from_flow`."""
        shift, optimum, factor = self._parts(shift)
        t = STRETCHED * torch.sinh(u / STRETCHED)
        scaled = t * self.target_sd + self.target_mean
        moved = torch.einsum("oij,...oj->...oi", factor, scaled) + optimum
        coordinates, log_det = self._from(moved, shift)
        return coordinates, log_det.sum(-1) + self._log_slope(t, factor)

    def standardise(self, coordinates: Tensor, *spectra: Tensor) -> None:
        """See `Representation.standardise`; fits the first guess before."""
        nothing = torch.zeros_like(self._inferred(self.low))
        self._keep(target_mean=nothing, target_sd=torch.ones_like(nothing))
        rows = rows_at_once(STANDARDISED, spectra[0].shape[1])
        raw, u = [], []
        for c, f, i, *more in zip(*(a.split(rows) for a in (coordinates, *spectra)), strict=True):
            measured, shift = super()._measured(f, i, c[:, self.given], *(more or [None]))
            raw.append(measured)
            u.append(self._scores(c, shift)[0])
        self._fit_guess(torch.cat(raw), torch.cat(u))
        some = (a[:SAMPLE].split(PART) for a in (coordinates, *spectra))
        context, t = [], []
        for c, f, i, *more in zip(*some, strict=True):
            told, shift = self._measured(f, i, c[:, self.given], *(more or [None]))
            context.append(told)
            shift, optimum, factor = self._parts(shift)
            off = (self._scores(c, shift)[0] - optimum)[..., None]
            t.append(torch.linalg.solve_triangular(factor, off, upper=False)[..., 0])
        context = torch.cat(context)
        # Of most objects: a few wrong optima must not set the scale.
        low, middle, high = torch.cat(t).quantile(torch.tensor([0.16, 0.5, 0.84]), dim=0)
        self._keep(
            context_mean=context.mean(0),
            context_sd=context.std(0).clamp_min(1e-6),
            target_mean=middle,
            target_sd=(high - low) / 2,
        )

    def _measured(
        self, flux: Tensor, ivar: Tensor, given: Tensor | None, instrument: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See `Representation._measured`; the shift holds the optimum and the factor, too."""
        raw, shift = super()._measured(flux, ivar, given, instrument)
        spectra = flux, ivar, instrument
        optimum, covariance, misfit = self._optimum(self._guess(raw), shift, *spectra)
        width = covariance.diagonal(dim1=1, dim2=2).sqrt()
        correlation = covariance / (width[:, :, None] * width[:, None])
        pairs = torch.tril_indices(*covariance.shape[1:], -1, device=raw.device)
        bent = correlation[:, *pairs].clamp(-0.999, 0.999).atanh()
        tempered = covariance + torch.diag_embed((self.tempered * width) ** 2)
        factor = torch.linalg.cholesky_ex(tempered).L
        context = [optimum, width.log(), bent, misfit[:, None], raw]
        parts = [shift, optimum, factor.flatten(1)]
        return torch.cat([a.to(raw) for a in context], 1), torch.cat([a.to(raw) for a in parts], 1)

    def _parts(self, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shift of the columns, optimum and factor."""
        n = len(self.inferred)
        shift, optimum, factor = shift.split([len(self.names), n, n * n], -1)
        return shift, optimum, factor.unflatten(-1, (n, n))

    def _log_slope(self, t: Tensor, factor: Tensor) -> Tensor:
        """ln of the determinant of the flow's coordinates by u, shape (...)."""
        widths = factor.diagonal(dim1=-2, dim2=-1) * self.target_sd
        return -(widths.log() + 0.5 * torch.log1p((t / STRETCHED) ** 2)).sum(-1)

    def _fit_guess(self, raw: Tensor, u: Tensor) -> None:
        """Ridge regression of u on random features of what is measured of a spectrum."""
        rng, n = np.random.default_rng(0), raw.shape[1]
        directions = torch.tensor(rng.standard_normal((n, FEATURES)) * 2 / math.sqrt(n))
        self._keep(
            raw_mean=raw.mean(0),
            raw_sd=raw.std(0).clamp_min(1e-6),
            directions=directions.to(raw),
            offsets=torch.tensor(rng.standard_normal(FEATURES)).to(raw),
        )
        features = self._features(raw).double()
        normal = features.T @ features
        normal.diagonal().add_(RIDGE * len(raw))
        guess = torch.linalg.solve(normal, features.T @ u.double())
        self._keep(guess=guess.to(raw).contiguous())  # as it is loaded, to the last bit

    def _features(self, raw: Tensor) -> Tensor:
        x = ((raw - self.raw_mean) / self.raw_sd).clamp(-10, 10)
        return torch.cat([x, (x @ self.directions + self.offsets).relu(), x.new_ones(len(x), 1)], 1)

    def _guess(self, raw: Tensor) -> Tensor:
        limits = self._limits()
        return (self._features(raw) @ self.guess).clamp(-limits, limits)

    def _limits(self) -> Tensor:
        return self._inferred(torch.where(self.free, torch.inf, self.limit))

    def _theta(self, coordinates: Tensor) -> Tensor:
        return torch.where(self.log > 0, 10**coordinates, coordinates)

    def _optimum(
        self, guess: Tensor, shift: Tensor, flux: Tensor, ivar: Tensor, instrument: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The most probable u, its covariance, and ln of chi squared over the valid pixels."""
        precision = self._inferred(torch.where(self.free, FLAT, 1.0)).double()
        names = [self.names[i] for i in self.inferred]
        noise = [j for j, name in enumerate(names) if name in OF_ERRORS]

        def of_model(u: Tensor, coordinates: Tensor, model: Tensor) -> tuple[Tensor, Tensor]:
            theta = self._theta(coordinates)[:, None]
            log_likelihood, chi2 = self.likelihood.of_model(flux, ivar, model[:, None], theta)
            return 0.5 * (precision * u.double() ** 2).sum(1) - log_likelihood[:, 0], chi2[:, 0]

        def loss(u: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            coordinates = self._from(u, shift)[0]
            model = self.ssp.flux(self._theta(coordinates), self.names, instrument)
            value, chi2 = of_model(u, coordinates, model)
            return value, (coordinates, model, value, chi2)

        def quadratic(u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
            coordinates, model, value, _ = state
            slopes = self._slopes(u, coordinates, model, shift, instrument)
            theta = self._theta(coordinates)[:, None]
            up, information = score_and_information(
                self.likelihood, flux, ivar, model[:, None], slopes, theta
            )
            slope, curvature = precision * u.double() - up, information + torch.diag(precision)
            for j in noise:
                below, above = (
                    of_model(moved, self._from(moved, shift)[0], model)[0]
                    for moved in (_moved(u, j, -NOISE_STEP), _moved(u, j, NOISE_STEP))
                )
                slope[:, j] = (above - below) / (2 * NOISE_STEP)
                bend = (above + below - 2 * value) / NOISE_STEP**2
                curvature[:, j, j] = bend.clamp_min(LEAST_CURVATURE)
            return slope, curvature

        limits = self._limits()
        optimum, curvature, state = minimise(
            guess, loss, quadratic, limits, self.longest, self.rounds
        )
        covariance = torch.cholesky_inverse(torch.linalg.cholesky_ex(curvature).L)
        misfit = (state[-1] / (ivar > 0).sum(1).clamp_min(1)).clamp(1e-3, 1e4).log()
        return optimum, covariance, misfit

    def _slopes(
        self,
        u: Tensor,
        coordinates: Tensor,
        model: Tensor,
        shift: Tensor,
        instrument: Tensor | None,
    ) -> Tensor:
        """Of the model flux by each of u, zero for noise columns, shape (n, inferred, pixels)."""
        slopes = model.new_zeros(*u.shape, model.shape[1])
        steps = torch.where(u > 0, -STEP, STEP)  # inwards
        boxed, direct = [], []
        for j, i in enumerate(self.inferred):
            if self.names[i] == "logmass":
                slopes[:, j] = LN10 * model
            elif self.names[i] not in OF_ERRORS:
                (direct if self.free[i] else boxed).append(j)
        moved = []
        if boxed:
            moved_u = torch.stack([_moved(u, j, steps[:, j]) for j in boxed])
            moved.append(self._from(moved_u, shift)[0])
        # Amplitude and dust of a spectrum have no anchor that moves with them.
        moved += [_moved(coordinates, self.inferred[j], steps[:, j])[None] for j in direct]
        theta = self._theta(torch.cat(moved)).transpose(0, 1)  # draws of an object together
        added = None if instrument is None else instrument.repeat_interleave(theta.shape[1], 0)
        flux = self.ssp.flux(theta.flatten(0, 1), self.names, added).unflatten(0, theta.shape[:2])
        columns = boxed + direct
        slopes[:, columns] = (flux - model[:, None]) / steps[:, columns, None]
        return slopes


def _moved(values: Tensor, column: int, step: Tensor | float) -> Tensor:
    """The same with a step in one column."""
    moved = values.clone()
    moved[..., column] += step
    return moved
