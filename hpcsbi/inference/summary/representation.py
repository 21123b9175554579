"""What the network sees of a spectrum.

A representation maps (flux, ivar) to a context of fixed length and a shift of theta's coordinates
(`flow_coordinates`). The shift carries the exact symmetries: multiplying a spectrum by a constant
moves logmass and nothing else, so the network infers logmass minus the measured log amplitude and
never sees mass.

References:
    benchmarks/representations.py measures what each kind is worth.
"""

from typing import ClassVar

import torch

from hpcsbi.inference.summary.flow_coordinates import LN10, Representation
from hpcsbi.inference.summary.measurable import measurable
from hpcsbi.inference.summary.projection import (
    fit_reference,
    floor_estimate,
    products,
    project,
    reference_spectrum,
)

__all__ = ["Equivariant", "Pixels", "Plain", "Projection"]


class Plain(Representation):
    """The paper's way, nothing measured beforehand: log flux, standardised per pixel."""

    kind = "plain"

    def usable(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """Every pixel must be there, and positive."""
        return ((flux > 0) & (ivar > 0)).all(1) & measurable(flux, ivar)

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
        return ((flux > 0) & (ivar > 0)).all(1) & measurable(flux, ivar)

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Representation.measure`."""
        (amplitude, dust), rest = self._split(flux)
        components = (rest - self.mean) @ self.basis
        context = torch.cat([components, dust[:, None]], 1)
        return context, self._shift(flux, logmass=amplitude, dust2=dust)

    def fit(self, signal: torch.Tensor, flux: torch.Tensor, ivar: torch.Tensor) -> None:
        """Find the components in noise-free spectra, shape (n, pixels).

        Where only noisy ones are at hand (stored pairs) they take their place; their covariance
        holds the noise already.
        """
        rest = self._split(signal)[1].double()
        noise = float(((ivar * flux**2) ** -1).nanmedian())
        variance, vectors = torch.linalg.eigh(torch.cov(rest.T))
        clean = not torch.equal(signal, flux)
        keep = variance > (1e-3 if clean else 1.12) * noise
        width = (variance + noise if clean else variance)[keep].sqrt()
        basis = (vectors[:, keep] / width).flip(1).float()
        self._keep(mean=rest.mean(0).float(), basis=basis)

    def _split(self, flux: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        y = flux.clamp_min(1e-30).log()
        coefficients = y @ self._onto_symmetries.T
        return (coefficients[:, 0], coefficients[:, 1]), y - coefficients @ self._symmetries.T


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
    first_floor: ClassVar[float] = 0.02

    def measure(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Representation.measure`."""
        valid = ivar > 0
        log_level, dust = fit_reference(flux, ivar, self.mean, self.dust_curve)
        reference = reference_spectrum(log_level, dust, self.mean, self.dust_curve)
        residual = torch.where(valid, flux / reference - 1, 0.0)
        variance = torch.where(valid, 1 / (ivar * reference**2).clamp_min(1e-20), torch.inf)
        coefficients, _, taken = self._project(residual, 1 / (variance + self.first_floor**2))
        model = 1 + coefficients @ self.basis.T
        scale = model.clamp_min(0.1)
        rest = torch.where(valid, residual + 1 - model, 0.0)
        floor = floor_estimate(rest, variance, scale, taken)
        best = floor[:, :1].exp() * scale
        coefficients, width, _ = self._project(residual, 1 / (variance + best**2))
        amplitude = log_level / LN10 + coefficients[:, 0] * self.prior_sd[0]
        dust = dust + coefficients[:, 1] * self.prior_sd[1]
        count = valid.sum(1, keepdim=True).float()
        context = [coefficients[:, 2:].asinh(), width.log(), dust[:, None], floor, count.log()]
        return torch.cat(context, 1), self._shift(flux, logmass=amplitude, dust2=dust)

    def fit(self, signal: torch.Tensor, *_: torch.Tensor) -> None:
        """Find the mean dust-free shape and the components in noise-free spectra (n, pixels)."""
        curve = self.dust_curve
        y = signal.clamp_min(1e-30).log()
        mean = (y - y @ self._onto_symmetries.T @ self._symmetries.T).mean(0)
        log_level, dust = fit_reference(signal, (0.01 * signal) ** -2, mean, curve)
        residual = (signal / reference_spectrum(log_level, dust, mean, curve) - 1).double()
        variance, vectors = torch.linalg.eigh(residual.T @ residual / len(residual))
        last = slice(-self.n_components, None)
        vectors, width = vectors[:, last].flip(1).float(), variance[last].flip(0).sqrt().float()
        prior_sd = torch.cat([width.new_tensor([0.3, 1.0]), width])  # dex of level, dust
        basis = torch.cat([self._symmetries, vectors], 1) * prior_sd
        self._keep(mean=mean, basis=basis, prior_sd=prior_sd)

    def _project(
        self, residual: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return project(residual, weight, self.basis, self._products)

    def _keep(self, **numbers: torch.Tensor) -> None:
        super()._keep(**numbers)
        if "basis" in numbers:
            pairs = products(numbers["basis"].double())
            self.register_buffer("_products", pairs, persistent=False)
