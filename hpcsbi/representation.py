"""What the network sees of a spectrum, and the coordinates in which it infers theta.

A representation maps (flux, ivar) to a context of fixed length and a shift of theta's coordinates.
The shift carries the exact symmetries: multiplying a spectrum by a constant moves logmass and
nothing else, so the network infers logmass minus the measured log amplitude and never sees mass.
Coordinates are those of `Prior.coordinates` (log10 for log columns); columns that are not shifted
pass through a probit of the prior's box, so that the flow cannot leave it.

References:
    The gain of each step was measured on this physics: mass shift 1.3 nat, whitened components
    0.8, dust shift 0.5 (benchmarks/representations.py repeats it for survey noise).
"""

import math
from typing import ClassVar

import torch

from hpcsbi.ssp import Ssp

__all__ = ["KINDS", "Equivariant", "Pixels", "Plain", "Projection", "Representation", "build"]

LN10 = math.log(10)
SQRT_2PI = math.log(math.sqrt(2 * math.pi))


class Representation:
    """Base of all representations: the target coordinates and the standardised context.

    Arguments:
        tensors: fitted numbers; `low`, `high` (bounds of the box), `log` (1 for log columns), each
            (n_theta,), `dust_curve` (pixels,), and those of the kind.
        ssp: the table engine, for the anchor of shifted columns.

    Attributes:
        shifted: columns of theta that are inferred relative to a measured shift.
        pad: by how much training widens the box of shifted columns; mass needs none, because the
            context does not depend on it.
    """

    kind: ClassVar[str]
    shifted: ClassVar[dict[str, float]] = {}

    def __init__(
        self, names: tuple[str, ...], tensors: dict[str, torch.Tensor], ssp: Ssp | None = None
    ) -> None:
        self.names = tuple(names)
        self.tensors = tensors
        self.ssp = ssp
        self.column = {name: names.index(name) for name in self.shifted if name in names}
        self.free = torch.tensor([name in self.shifted for name in names])

    @property
    def n_context(self) -> int:
        """Length of the context."""
        return len(self.tensors["context_mean"])

    @property
    def pad(self) -> torch.Tensor:
        """Widening of the box in training, in coordinates, shape (n_theta,)."""
        return torch.tensor([self.shifted.get(name, 0.0) for name in self.names])

    def usable(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """True for spectra that this representation can read, shape (n,)."""
        return (ivar > 0).sum(1) >= 20

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw context, (n, n_context), and shift of the coordinates, (n, n_theta)."""
        raise NotImplementedError

    def context(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised context and shift.

        Arguments:
            flux: L_sun per Angstrom, shape (n, pixels).
            ivar: its inverse variance, 0 where masked, shape (n, pixels).
        """
        raw, shift = self.measure(flux, ivar)
        context = (raw - self.tensors["context_mean"]) / self.tensors["context_sd"]
        return context.clamp(-10, 10), shift

    def to_flow(
        self, coordinates: torch.Tensor, shift: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Flow coordinates and log |d flow / d coordinates|, shapes (n, n_theta) and (n,)."""
        low, high = self.tensors["low"], self.tensors["high"]
        unit = ((coordinates - low) / (high - low)).clamp(1e-7, 1 - 1e-7)
        probit = torch.special.ndtri(unit.double()).float()
        free = coordinates + self._anchor(coordinates) - shift
        u = torch.where(self.free, free, probit)
        log_det = torch.where(self.free, 0.0, probit**2 / 2 + SQRT_2PI - (high - low).log())
        scale = self.tensors["target_sd"]
        return (u - self.tensors["target_mean"]) / scale, (log_det - scale.log()).sum(-1)

    def from_flow(self, u: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates of theta, the inverse of `to_flow`, and the same log-determinant."""
        u = u * self.tensors["target_sd"] + self.tensors["target_mean"]
        low, high = self.tensors["low"], self.tensors["high"]
        inside = low + (high - low) * torch.special.ndtr(u)
        free = u + shift - self._anchor(inside)
        log_det = torch.where(self.free, 0.0, u**2 / 2 + SQRT_2PI - (high - low).log())
        log_det = (log_det - self.tensors["target_sd"].log()).sum(-1)
        return torch.where(self.free, free, inside), log_det

    def _anchor(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Shift that the other columns alone would give a noise-free spectrum, (..., n_theta).

        With it the shifted columns become the amplitude and dust of the *spectrum*, which the data
        fix, in place of those of the galaxy, which trade against its age and metallicity. It does
        not depend on the shifted columns, so that the Jacobian stays what it was. It takes the
        table; without one it is zero.
        """
        if self.ssp is None or not self.column:
            return torch.zeros_like(coordinates)
        flat = coordinates.reshape(-1, len(self.names))
        theta = torch.where(self.tensors["log"] > 0, 10**flat, flat)
        theta = torch.where(self.free, 0.0, theta)
        y = self.ssp.flux(theta, self.names).clamp_min(1e-30).log()
        design = self._symmetries()
        found = y @ torch.linalg.pinv(design).T
        anchor = self._shift(flat, **dict(zip(("logmass", "dust2"), found.T, strict=False)))
        return anchor.reshape(coordinates.shape)

    def _symmetries(self) -> torch.Tensor:
        """d ln flux / d (logmass, dust2), shape (pixels, number of shifted columns)."""
        curve = self.tensors["dust_curve"]
        return torch.stack([torch.full_like(curve, LN10), -curve], 1)[:, : len(self.shifted)]

    def standardise(
        self, coordinates: torch.Tensor, flux: torch.Tensor, ivar: torch.Tensor
    ) -> None:
        """Set the means and widths of context and target from a training sample."""
        n_theta = len(self.names)
        self.tensors |= {"target_mean": torch.zeros(n_theta), "target_sd": torch.ones(n_theta)}
        pairs = zip(flux.split(4096), ivar.split(4096), coordinates.split(4096), strict=True)
        raw, u = [], []
        for f, i, c in pairs:
            context, shift = self.measure(f, i)
            raw.append(context)
            u.append(self.to_flow(c, shift)[0])
        raw, u = torch.cat(raw), torch.cat(u)
        self.tensors |= {
            "context_mean": raw.mean(0),
            "context_sd": raw.std(0).clamp_min(1e-6),
            "target_mean": u.mean(0),
            "target_sd": u.std(0),
        }

    def _shift(self, like: torch.Tensor, **columns: torch.Tensor) -> torch.Tensor:
        shift = like.new_zeros(len(like), len(self.names))
        for name, values in columns.items():
            if name in self.column:
                shift[:, self.column[name]] = values
        return shift


class Plain(Representation):
    """The paper's way, nothing measured beforehand: log flux, standardised per pixel."""

    kind = "plain"

    def usable(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """Every pixel must be there, and positive."""
        return ((flux > 0) & (ivar > 0)).all(1)

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Representation.measure`."""
        return flux.clamp_min(1e-30).log(), self._shift(flux)

    def fit(self, signal: torch.Tensor, *_: torch.Tensor) -> None:
        """Nothing to fit but the standardisation."""


class Equivariant(Representation):
    """For noise proportional to the flux: mass and dust as shifts, whitened components of the rest.

    Noise of a constant fraction is constant in ln flux, where mass and a dust screen are
    translations. Least squares on (1, dust curve) measures both; the residual is projected on the
    principal components of noise-free spectra, each divided by the width of signal and noise.
    """

    kind = "equivariant"
    shifted: ClassVar[dict[str, float]] = {"logmass": 0.0, "dust2": 0.8}

    def usable(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """Every pixel must be there, and positive."""
        return ((flux > 0) & (ivar > 0)).all(1)

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Representation.measure`."""
        (amplitude, dust), rest = self._split(flux)
        components = (rest - self.tensors["mean"]) @ self.tensors["basis"]
        context = torch.cat([components, dust[:, None]], 1)
        return context, self._shift(flux, logmass=amplitude, dust2=dust)

    def fit(self, signal: torch.Tensor, flux: torch.Tensor, ivar: torch.Tensor) -> None:
        """Find the components in noise-free spectra, shape (n, pixels).

        Where only noisy ones are at hand (stored pairs) they take their place; their covariance
        holds the noise already.
        """
        rest = self._split(signal)[1].double()
        self.tensors["mean"] = rest.mean(0).float()
        noise = float(((ivar * flux**2) ** -1).nanmedian())
        variance, vectors = torch.linalg.eigh(torch.cov(rest.T))
        clean = not torch.equal(signal, flux)
        keep = variance > (1e-3 if clean else 1.12) * noise
        width = (variance + noise if clean else variance)[keep].sqrt()
        self.tensors["basis"] = (vectors[:, keep] / width).flip(1).float()

    def _split(self, flux: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        y = flux.clamp_min(1e-30).log()
        design = self._symmetries()
        found = y @ torch.linalg.pinv(design).T
        return (found[:, 0], found[:, 1]), y - found @ design.T


class Pixels(Representation):
    """The obvious input for survey noise: scaled flux, log sigma and mask of every pixel."""

    kind = "pixels"
    shifted: ClassVar[dict[str, float]] = {"logmass": 0.0}

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Representation.measure`."""
        valid = ivar > 0
        count = valid.sum(1, keepdim=True).clamp_min(1)
        level = (flux.abs() * valid).sum(1, keepdim=True) / count
        level = level.clamp_min(1e-30)
        log_sigma = -0.5 * (ivar * level**2).clamp_min(1e-12).log()
        spread = (log_sigma * valid).sum(1, keepdim=True) / count
        log_sigma = torch.where(valid, log_sigma, spread)
        scaled = torch.where(valid, flux / level, 1.0).asinh()
        context = torch.cat([scaled, log_sigma, valid.float()], 1)
        return context, self._shift(flux, logmass=level[:, 0].log10())

    def fit(self, signal: torch.Tensor, *_: torch.Tensor) -> None:
        """Nothing to fit but the standardisation."""


class Projection(Representation):
    """For survey noise: the spectrum relative to a dusty reference, projected by its own weights.

    1. A reference 10^a x mean x exp(-d k), positive everywhere, is fitted to the flux (Gauss-
       Newton): flux over reference minus one is a residual that also exists below zero.
    2. The residual is projected on the principal components of noise-free spectra, a and d, by
       generalised least squares with the object's own weights and the components' variances as
       a Gaussian prior; a masked pixel has weight zero.
    3. The scatter about the projection, against the quoted errors, measures the noise floor; the
       projection is repeated with it.

    The context: components in units of their prior width (through asinh, lines have long tails),
    how much the spectrum has narrowed each of them, dust, the floor and its uncertainty, the number
    of valid pixels. Everything scales exactly with the flux, so mass is a shift.
    """

    kind = "projection"
    shifted: ClassVar[dict[str, float]] = {"logmass": 0.0, "dust2": 0.8}
    n_components: ClassVar[int] = 28
    floors: ClassVar[torch.Tensor] = torch.logspace(math.log10(0.002), math.log10(0.3), 10)

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Representation.measure`."""
        valid = ivar > 0
        amplitude, dust, reference = self._reference(flux, ivar)
        residual = torch.where(valid, flux / reference - 1, 0.0)
        variance = torch.where(valid, 1 / (ivar * reference**2).clamp_min(1e-20), torch.inf)
        found, freedom = self._first_look(residual, 1 / (variance + 0.02**2))
        model = 1 + found @ self.tensors["basis"].T
        scale = model.clamp_min(0.1)
        floor = self._floor(residual + 1 - model, variance, scale, freedom)
        best = floor[:, :1].exp()
        found, width = self._project(residual, 1 / (variance + (best * scale) ** 2))
        amplitude = amplitude + found[:, 0] * self.tensors["prior_sd"][0]
        dust = dust + found[:, 1] * self.tensors["prior_sd"][1]
        count = valid.sum(1, keepdim=True).float()
        context = torch.cat(
            [found[:, 2:].asinh(), width.log(), dust[:, None], floor, count.log()], 1
        )
        return context, self._shift(flux, logmass=amplitude, dust2=dust)

    def fit(self, signal: torch.Tensor, *_: torch.Tensor) -> None:
        """Find the mean dust-free shape and the components in noise-free spectra (n, pixels)."""
        curve = self.tensors["dust_curve"]
        y = signal.clamp_min(1e-30).log()
        design = torch.stack([torch.ones_like(curve), -curve], 1)
        self.tensors["mean"] = (y - y @ torch.linalg.pinv(design).T @ design.T).mean(0)
        ivar = (0.01 * signal) ** -2
        residual = torch.cat(
            [
                f / self._reference(f, i)[2] - 1
                for f, i in zip(signal.split(4096), ivar.split(4096), strict=True)
            ]
        ).double()
        variance, vectors = torch.linalg.eigh(residual.T @ residual / len(residual))
        vectors = vectors[:, -self.n_components :].flip(1)
        width = variance[-self.n_components :].flip(0).sqrt()
        prior_sd = torch.cat([torch.tensor([0.3, 1.0]), width.float()])
        basis = torch.cat([design * torch.tensor([LN10, 1.0]), vectors.float()], 1) * prior_sd
        self.tensors |= {"basis": basis, "prior_sd": prior_sd}
        self.tensors["products"] = (basis[:, :, None] * basis[:, None]).flatten(1)

    def _reference(
        self, flux: torch.Tensor, ivar: torch.Tensor, iterations: int = 5
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Amplitude, dust and the spectrum 10^a mean exp(-d k) that fits best, loosely (10 %)."""
        mean, curve = self.tensors["mean"], self.tensors["dust_curve"]
        valid = (ivar > 0).float()
        dust = torch.ones(len(flux))
        start = (mean - curve).exp()
        level = ((flux * start * valid).sum(1) / (start**2 * valid).sum(1).clamp_min(1e-20)).clamp(
            min=(flux.abs() * valid).sum(1) * 1e-4 / (start * valid).sum(1).clamp_min(1e-20)
        )
        log_level = level.clamp_min(1e-30).log()
        for _ in range(iterations):
            reference = (log_level[:, None] + mean - dust[:, None] * curve).exp()
            weight = valid / (1 / (ivar * reference**2).clamp_min(1e-20) + 0.1**2)
            residual = (flux / reference - 1).clamp(-1, 3) * weight
            a, b, c = weight.sum(1), weight @ curve, weight @ curve**2 + 0.25
            right, left = residual.sum(1), -(residual @ curve) - 0.25 * (dust - 1)
            determinant = a * c - b * b
            log_level = log_level + ((c * right + b * left) / determinant).clamp(-2, 2)
            dust = dust + ((b * right + a * left) / determinant).clamp(-1.5, 1.5)
            dust = dust.clamp(-2, 14)
        reference = (log_level[:, None] + mean - dust[:, None] * curve).exp()
        return log_level / LN10, dust, reference

    def _normal_equations(
        self, residual: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Diagonal of the data's precision, factor of the whole precision, and right side."""
        n_basis = self.tensors["basis"].shape[1]
        precision = (weight @ self.tensors["products"]).reshape(-1, n_basis, n_basis)
        diagonal = precision.diagonal(dim1=1, dim2=2)
        by_data = diagonal.clone()
        diagonal += 1 + 1e-6 * by_data
        right = ((weight * residual) @ self.tensors["basis"])[:, :, None]
        return by_data, torch.linalg.cholesky(precision), right

    def _first_look(
        self, residual: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Coefficients, and about how many degrees of freedom they took, (n, n_basis) and (n,)."""
        by_data, factor, right = self._normal_equations(residual, weight)
        found = torch.cholesky_solve(right, factor)[:, :, 0]
        return found, (by_data / (1 + by_data)).sum(1)

    def _project(
        self, residual: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and width of the coefficients, in prior widths, shape (n, n_basis)."""
        _, factor, right = self._normal_equations(residual, weight)
        covariance = torch.cholesky_inverse(factor)
        found = (covariance @ right)[:, :, 0]
        return found, covariance.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()

    def _floor(
        self,
        rest: torch.Tensor,
        variance: torch.Tensor,
        scale: torch.Tensor,
        taken: torch.Tensor,
    ) -> torch.Tensor:
        """Mean and width of ln(noise floor) given the residuals about the projection, (n, 2)."""
        valid = torch.isfinite(variance)
        count = valid.sum(1).float()
        freedom = (count - taken).clamp_min(2)
        total = variance[:, None] + (self.floors[:, None] * scale[:, None]) ** 2
        each = torch.where(valid[:, None], total.log() + rest[:, None] ** 2 / total, 0.0)
        each = -0.5 * each.sum(2) * (freedom / count.clamp_min(1))[:, None]
        share = each.softmax(1)
        log_floor = self.floors.log()
        mean = share @ log_floor
        spread = (share @ log_floor**2 - mean**2).clamp_min(0).sqrt()
        return torch.stack([mean, spread], 1)


KINDS = {kind.kind: kind for kind in (Plain, Equivariant, Pixels, Projection)}


def build(
    kind: str,
    names: tuple[str, ...],
    tensors: dict[str, torch.Tensor],
    ssp: Ssp | None = None,
) -> Representation:
    """Representation of a kind, with fitted tensors or those it needs to be fitted.

    Arguments:
        kind, names, tensors, ssp: see `Representation`.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"representation is {kind!r}: choose from {', '.join(KINDS)}.")
    return KINDS[kind](names, dict(tensors), ssp)
