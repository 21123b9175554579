"""Errors that add to a spectrum: of its redshift, and of the width of its lines.

Templates as those of `templates`, with amplitudes that are independent standard normal numbers; but
where those are one factor for all spectra, these are made from each: to first order a spectrum that
is moved or smoothed a little is itself plus so much of its slopes by ln(wavelength).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy.constants import speed_of_light
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid

__all__ = ["AdditiveErrors", "additive_errors", "refuse_coarse_pixels", "slopes"]

REACH = (
    6  # pixels on either side: slopes of lines of 1.2 pixels are right to 1.6 %, of 1.7 to 0.1 %
)
RESOLVED = 0.8  # pixels of a line's dispersion: slopes are wrong by an eighth
KM = 1e3 / speed_of_light  # of a velocity in km/s, over that of light


@dataclass(frozen=True)
class AdditiveErrors:
    """Which errors there are, by their standard deviations; 0 is none.

    Arguments:
        redshift: km/s.
        width: km/s, by whose square the square of the dispersion is off.
    """

    redshift: float = 0.0
    width: float = 0.0

    def __len__(self) -> int:
        return (self.redshift > 0) + (self.width > 0)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What they are errors of, in words."""
        words = {"the redshift": self.redshift, "the width of lines": self.width}
        return tuple(kind for kind, there in words.items() if there)

    def templates(self, flux: Tensor, wave: Tensor) -> Tensor:
        """Templates times their standard deviations, in the unit of the flux; differentiable.

        Arguments:
            flux: of the model, shape (..., pixels).
            wave: pixel centres, ascending, Angstrom, shape (pixels,).

        Returns:
            shape (..., templates, pixels).
        """
        first = slopes(flux, wave)
        made = [KM * self.redshift * first] if self.redshift else []
        if self.width:  # a Gaussian is the exponential of half its variance times the bend
            made.append(0.5 * (KM * self.width) ** 2 * slopes(first, wave))
        return torch.stack(made, -2)


def slopes(flux: Tensor, wave: Tensor) -> Tensor:
    """Of spectra, by ln(wavelength), in the unit of the flux; differentiable, shape (..., pixels).

    Differences of order 2 REACH. The mean over a pixel of the slope is the slope of the mean, so
    they need nothing but pixels that resolve what is in the spectrum.

    Arguments:
        flux: shape (..., pixels).
        wave: pixel centres, ascending, Angstrom, shape (pixels,).

    References:
        Fornberg 1988, Math. Comp. 51, 699, table 1.
    """
    n = flux.shape[-1]
    steps = torch.arange(1, REACH + 1, device=flux.device)
    # Beyond its ends a spectrum goes on as its mirror image does, through the last pixel.
    before = 2 * flux[..., :1] - flux[..., steps.flip(0)]
    after = 2 * flux[..., -1:] - flux[..., n - 1 - steps]
    padded = torch.cat([before, flux, after], -1)
    total = torch.zeros_like(flux)
    for k in range(1, REACH + 1):
        size = math.factorial(REACH) ** 2 / (
            k * math.factorial(REACH - k) * math.factorial(REACH + k)
        )
        left, right = (padded[..., REACH + s : REACH + s + n] for s in (-k, k))
        total = total + (size if k % 2 else -size) * (right - left)
    return total / torch.gradient(wave.double().log())[0].to(flux)


def additive_errors(noise: Mapping) -> AdditiveErrors | None:
    """Those of observations that a noise model makes; None where there is none.

    Arguments:
        noise: settings of the noise model.
    """
    errors = AdditiveErrors(noise.get("redshift_error", 0.0), noise.get("width_error", 0.0))
    return errors if len(errors) else None


def refuse_coarse_pixels(noise: Mapping, grid: Grid, dispersion: float) -> None:
    """Raise where pixels cannot tell what an error of redshift or width does to lines.

    Arguments:
        noise: settings of the noise model.
        grid: of the spectra.
        dispersion: of the widest lines that there are, km/s.

    Raises:
        BadInput: they cannot.
    """
    widest = float((grid.widths / grid.wave).max()) / KM
    errors = [name for name in ("redshift_error", "width_error") if noise.get(name)]
    if errors and dispersion < RESOLVED * widest:
        raise BadInput(
            f"noise.{errors[0]} is {noise[errors[0]]:g} on pixels of up to {widest:.0f} km/s, and "
            f"lines have a dispersion of {dispersion:g}: its slopes take pixels of at most "
            f"{dispersion / RESOLVED:.0f} km/s (grid=log, grid=angstrom5), or set it to 0."
        )
