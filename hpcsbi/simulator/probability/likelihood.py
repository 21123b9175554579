"""The exact likelihood: how probable a spectrum is, given theta, the table and a noise model.

Gaussian in every valid pixel, with one of the sigmas of `pulls`. Importance weights of a flow need
the likelihood of the simulator that trained it. Errors of the flux calibration, of lines and of the
model, which are factors with Gaussian amplitudes (`templates`), are integrated out in closed form,
as are `additive_errors`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.observation.additive_errors import (
    AdditiveErrors,
    additive_errors,
    draws_at_once,
)
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.observation.templates import SmoothError, smooth_error
from hpcsbi.simulator.probability.amplitudes import Amplitudes
from hpcsbi.simulator.probability.compiled import FEW_DRAWS, chi_squared, of_rows
from hpcsbi.simulator.probability.pulls import log_density, pulls_of, refuse_other_kind
from hpcsbi.simulator.table.ssp_table import CHUNK, Ssp
from hpcsbi.simulator.theta.parameters import ZRED
from hpcsbi.tensors import rows_on

__all__ = ["Likelihood", "of_simulator"]


class Likelihood(torch.nn.Module):
    """ln p(flux | theta) for batches of spectra and, for each, of parameters; differentiable.

    Model fluxes and residuals are float32, sums and the amplitudes of templates float64: near its
    maximum ln L is wrong by up to 3e-3 at S/N 100 a pixel, 0.03 at 1000, 0.3 at 10^4, with and
    without templates. Sigma enters as its ratio to the quoted one, whose logarithm is small.
    An engine turned into float64 (`ssp.double()`) makes everything float64.

    Arguments:
        ssp: the table engine.
        names: columns of theta.
        kind: one of `pulls.KINDS`.
        fraction: sigma over model flux, for "fractional".
        calibration: standard deviation of each amplitude of `templates.response_curves`, by which
            the model is multiplied (1 plus their sum); not for "fractional".
        smooth: the model's smooth error; not for "fractional".
        lines: standard deviation of each amplitude of `templates.line_curves`, Angstrom of
            equivalent width; not for "fractional".
        learned: the model's error as a survey taught it, by whose mean all model spectra that are
            compared with data are multiplied; not for "fractional".
        additive: errors that are no factors; not for "fractional".

    Raises:
        ValueError: an unknown kind, or a fraction or an error that does not go with it.
    """

    def __init__(
        self,
        ssp: Ssp,
        names: Sequence[str],
        kind: str,
        fraction: float | None = None,
        calibration: float = 0.0,
        smooth: SmoothError | None = None,
        lines: float = 0.0,
        learned: LearnedError | None = None,
        additive: AdditiveErrors | None = None,
    ) -> None:
        errors = {
            "calibration error": calibration,
            "error of lines": lines,
            "smooth error of the model": smooth,
            "learned error of the model": learned,
            "additive error": additive,
        }
        refuse_other_kind(kind, fraction, [name for name, error in errors.items() if error])
        super().__init__()
        self.ssp, self.names, self.kind, self.fraction = ssp, tuple(names), kind, fraction
        self.smooth, self.additive = smooth, additive
        curves = None if learned is None else learned.curves
        self.amplitudes = Amplitudes(ssp.wave, calibration, smooth, lines, curves, additive)
        factor = np.ones(len(ssp.wave)) if learned is None else learned.factor
        self.register_buffer("factor", torch.from_numpy(factor), persistent=False)
        self.register_buffer("wave", torch.from_numpy(ssp.wave), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where its numbers are, and where it takes spectra and theta."""
        return self.wave.device

    def forward(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, instrument: Tensor | None = None
    ) -> Tensor:
        """Log likelihood, float64, -inf where theta is not finite, shape (objects, draws).

        Arguments:
            flux, ivar: spectra, ivar = 0 where masked, shape (objects, pixels).
            theta: parameters in their own units, shape (objects, draws, n_theta).
            instrument: what each spectrum's instrument adds to dispersions, see `Ssp.flux`, shape
                (objects, KNOTS); None: nothing.
        """
        return self.evaluate(flux, ivar, theta, instrument)[0]

    def evaluate(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, instrument: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log likelihood and chi squared, shapes (objects, draws); see `forward`."""
        step = max(rows_on(self.device, CHUNK, self.ssp.pixels) // theta.shape[1], 1)
        inputs = (flux, ivar, theta) if instrument is None else (flux, ivar, theta, instrument)
        pieces = zip(*(each.split(step) for each in inputs), strict=True)
        parts = [self._evaluate(*rows) for rows in pieces]
        log_likelihood, chi2 = zip(*parts, strict=True)
        return torch.cat(log_likelihood), torch.cat(chi2)

    def of_model(
        self, flux: Tensor, ivar: Tensor, model: Tensor, theta: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log likelihood and chi squared of model spectra, shapes (objects, draws).

        Arguments:
            flux, ivar: see `forward`.
            model: model flux, shape (objects, draws, pixels).
            theta: gives noise floor and model error, shape (objects, draws, n_theta).
        """
        moving = any(each.requires_grad for each in (flux, model))
        compiled = self.ssp.is_compiled(theta) and not moving
        if compiled and self.additive is not None and theta.shape[1] >= FEW_DRAWS:
            bare = model.float().expand(*theta.shape[:2], -1).contiguous()
            nothing = torch.zeros(theta.shape[:2])
            return self._of_bare(flux, ivar, theta, bare, nothing.double() + 1, nothing)
        pull, scaled, log_ratio, own = self.over_sigma(flux, ivar, model, theta)
        chi2 = (pull.double() ** 2).sum(-1)
        errors = pull, scaled, self.model_error(theta)
        if compiled and not self.amplitudes.few:
            gain, log_det = of_rows(*errors, own, self.amplitudes)
            chi2, log_ratio = chi2 - gain, log_ratio + log_det
        elif len(self.amplitudes):
            chi2, log_ratio = self.amplitudes.integrated(*errors, chi2, log_ratio, own)
        return log_density(ivar, log_ratio, chi2), chi2

    def expected_spectra(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, instrument: Tensor | None = None
    ) -> Tensor:
        """Model spectra, each times its most probable errors, (objects, draws, pixels).

        Arguments:
            flux, ivar, theta, instrument: see `forward`; theta finite.
        """
        model = self.spectra(theta, instrument)
        if not len(self.amplitudes):
            return model * self.factor.to(model.dtype)
        pull, scaled, _, own = self.over_sigma(flux, ivar, model, theta)
        model = model * self.factor.to(model.dtype)
        factor, sizes = self.amplitudes.expected(pull, scaled, self.model_error(theta), own)
        expected = model * (1 + factor)
        if self.additive is None:
            return expected
        return expected + (sizes[..., None] * self._templates(ivar, model, theta)).sum(-2)

    def residuals(
        self, flux: Tensor, ivar: Tensor, model: Tensor, theta: Tensor, normals: Tensor
    ) -> Tensor:
        """Residuals over sigma of the spectrum, and of spectra that the model makes in its place.

        Of each draw the most probable smooth errors are taken out, as of the spectrum so of its
        replicates, which have noise and smooth errors at random.

        Arguments:
            flux, ivar, model, theta: see `of_model`.
            normals: standard normal numbers that make the replicates, of pixels and of templates,
                shape (objects, draws, n, pixels + templates).

        Returns:
            The spectrum first, 0 where masked, shape (objects, draws, 1 + n, pixels).
        """
        pull, scaled, _, own = self.over_sigma(flux, ivar, model, theta)
        noise, errors = normals.split([pull.shape[-1], len(self.amplitudes)], -1)
        pulls = torch.cat([pull[..., None, :], noise * (ivar > 0)[:, None, None]], -2)
        errors = torch.nn.functional.pad(errors, (0, 0, 1, 0))
        return self.amplitudes.residuals(pulls, errors, scaled, self.model_error(theta), own)

    def draws_over_sigma(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, instrument: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What `Amplitudes` take of draws: residual and model over sigma, the model's error, and
        additive templates over sigma.

        Arguments:
            flux, ivar, theta, instrument: see `expected_spectra`.
        """
        pull, scaled, _, own = self.over_sigma(flux, ivar, self.spectra(theta, instrument), theta)
        return pull, scaled, self.model_error(theta), own

    def spectra(self, theta: Tensor, instrument: Tensor | None = None) -> Tensor:
        """Model spectra, shape (objects, draws, pixels); arguments as of `forward`."""
        flat = theta.flatten(0, 1), self.names, _of_draws(instrument, theta.shape[1])
        return self.ssp.flux(*flat).unflatten(0, theta.shape[:2])

    def floor(self, theta: Tensor) -> Tensor:
        """Noise floor of draws, zero where theta has none, shape (...)."""
        if "noise_floor" in self.names:
            return theta[..., self.names.index("noise_floor")].contiguous()
        return torch.zeros_like(theta[..., 0])

    def model_error(self, theta: Tensor) -> Tensor:
        """Standard deviation of the smooth error of draws, zero without one, shape (...)."""
        if self.smooth is None:
            return torch.zeros_like(theta[..., 0])
        if self.smooth.amplitude is not None:
            return torch.full_like(theta[..., 0], self.smooth.amplitude)
        return theta[..., self.names.index("model_error")].contiguous()

    def _evaluate(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, instrument: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        known = torch.isfinite(theta).all(-1)
        usual = torch.ones_like(theta[:, :1])  # the table cannot look up NaN
        if ZRED in self.names:  # is that of the object, whichever draws are known
            i = self.names.index(ZRED)
            usual[:, 0, i] = torch.where(known, theta[..., i].detach(), -math.inf).amax(1)
        theta = torch.where(known[..., None], theta, usual)
        if self.ssp.is_compiled(theta):
            log_likelihood, chi2 = self._compiled(flux, ivar, theta, instrument)
        else:
            few = draws_at_once(self.additive, *theta.shape[:2], self.ssp.pixels)
            parts = [
                self.of_model(flux, ivar, self.spectra(some, instrument), some)
                for some in theta.split(few, 1)
            ]
            log_likelihood, chi2 = (torch.cat(each, 1) for each in zip(*parts, strict=True))
        return torch.where(known, log_likelihood, -math.inf), chi2

    def _compiled(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, instrument: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """`of_model` without model spectra in memory."""
        objects, draws, n_theta = theta.shape
        theta = theta.to(torch.float32)
        added = _of_draws(instrument, draws)
        bare, depth = self.ssp.bare(theta.reshape(-1, n_theta), self.names, added)
        depth = torch.zeros(objects * draws) if depth is None else depth.contiguous()
        mass = 10.0 ** theta[..., self.names.index("logmass")].double()
        shape = objects, draws
        return self._of_bare(flux, ivar, theta, bare.view(*shape, -1), mass, depth.view(shape))

    def _of_bare(
        self, flux: Tensor, ivar: Tensor, theta: Tensor, bare: Tensor, mass: Tensor, depth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`of_model` of spectra without mass and dust."""
        theta = theta.to(torch.float32)
        floor = self.floor(theta) if self.kind == "survey" else torch.zeros_like(depth)
        sizes = self.fraction or 0.0, floor, self.model_error(theta)
        errors = self.factor, self.amplitudes, self.additive, self.wave, self._zred(theta)
        chi2, log_ratio = chi_squared(flux, ivar, (bare, mass, depth, self.ssp.k), sizes, *errors)
        return log_density(ivar, log_ratio, chi2), chi2

    def over_sigma(
        self, flux: Tensor, ivar: Tensor, model: Tensor, theta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | float, Tensor | None]:
        """Residual and model over sigma, 0 where masked, the sum of ln(variance / quoted), and
        additive templates over sigma, shape (objects, draws, additive, pixels), None without any.
        """
        rows = flux, ivar, model, self.floor(theta), self.factor
        pull, scaled, weight, log_ratio = pulls_of(self.kind, self.fraction, *rows)
        if self.additive is None:
            return pull, scaled, log_ratio, None
        own = self._templates(ivar, model * self.factor.to(model.dtype), theta)
        return pull, scaled, log_ratio, own * weight[..., None, :]

    def _templates(self, ivar: Tensor, model: Tensor, theta: Tensor) -> Tensor:
        """Additive templates of draws, in the unit of the flux, (objects, draws, some, pixels)."""
        return self.additive.templates(model, self.wave, ivar, self._zred(theta))

    def _zred(self, theta: Tensor) -> Tensor | None:
        """Redshifts of objects, where theta has them, shape (objects,)."""
        return theta[:, 0, self.names.index(ZRED)] if ZRED in self.names else None


def _of_draws(instrument: Tensor | None, draws: int) -> Tensor | None:
    """Those of each object's draws, one after the other, shape (objects * draws, KNOTS)."""
    return None if instrument is None else instrument.repeat_interleave(draws, 0)


def of_simulator(ssp: Ssp, names: Sequence[str], noise: Noise) -> Likelihood:
    """The likelihood of spectra that a noise model made.

    Arguments:
        ssp, names: see `Likelihood`.
        noise: e.g. `posterior.model.noise`.
    """
    known = noise.settings()
    fraction, calibration = known.get("fraction"), known.get("calibration", 0.0)
    smooth, lines = smooth_error(known, names), known.get("line_error", 0.0)
    learned = LearnedError(**known["learned"]) if "learned" in known else None
    kind, further = "survey" if fraction is None else "fractional", additive_errors(known, names)
    return Likelihood(ssp, names, kind, fraction, calibration, smooth, lines, learned, further)
