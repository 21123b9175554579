"""Errors that add to a spectrum: of its redshift, of the width of its lines, and of the sky.

Templates as those of `templates`, with amplitudes that are independent standard normal numbers; but
where those are one factor for all spectra, these are made from each: to first order a spectrum that
is moved or smoothed a little is itself plus so much of its slopes by ln(wavelength), and what is
left of the sky lies where the redshift puts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.constants import speed_of_light
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.kernels.slopes import REACH, SIZES
from hpcsbi.simulator.observation.sky_lines import SKY_GROUPS, sky_shares
from hpcsbi.simulator.theta.parameters import ZRED

__all__ = [
    "KM",
    "AdditiveErrors",
    "additive_errors",
    "draws_at_once",
    "refuse_coarse_pixels",
    "slopes",
]

RESOLVED = 0.8  # pixels of a line's dispersion: slopes are wrong by an eighth
ENTRIES = 1 << 21  # of arrays of templates of each draw at once, 8 MiB
KM = 1e3 / speed_of_light  # of a velocity in km/s, over that of light


@dataclass(frozen=True)
class AdditiveErrors:
    """Which errors there are, by their standard deviations; 0 is none.

    Arguments:
        redshift: km/s.
        width: km/s, by whose square the square of the dispersion is off.
        sky: of what is left of each group of sky lines, over the quoted sigma: wherever a pixel is
            as wide as a group, so much in all of its pixels, and the same sign.
    """

    redshift: float = 0.0
    width: float = 0.0
    sky: float = 0.0

    def __len__(self) -> int:
        return (self.redshift > 0) + (self.width > 0) + (self.sky > 0) * len(SKY_GROUPS)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What they are errors of, in words."""
        words = {"the redshift": self.redshift, "the width of lines": self.width}
        words["the sky"] = self.sky
        return tuple(kind for kind, there in words.items() if there)

    @property
    def of_slope(self) -> float:
        """Standard deviation of the slope by ln(wavelength) that a spectrum has too much."""
        return KM * self.redshift

    @property
    def of_bend(self) -> float:
        """That of the slope's slope: smoothing by a Gaussian adds half its variance times it."""
        return 0.5 * (KM * self.width) ** 2

    def templates(
        self, flux: Tensor, wave: Tensor, ivar: Tensor | None = None, zred: Tensor | None = None
    ) -> Tensor:
        """Templates times their standard deviations, in the unit of the flux; differentiable.

        Arguments:
            flux: of the model, shape (objects, draws, pixels).
            wave: pixel centres, ascending, Angstrom, rest frame, shape (pixels,).
            ivar: quoted, 0 where masked, for an error of the sky, shape (objects, pixels).
            zred: redshifts, where there is one, shape (objects,).

        Returns:
            shape (objects, draws, templates, pixels).
        """
        made = []
        if self.redshift or self.width:
            first = slopes(flux, wave)
            made += [self.of_slope * first] if self.redshift else []
        if self.width:
            made.append(self.of_bend * slopes(first, wave))
        if self.sky:
            sigma = torch.where(ivar > 0, ivar, torch.inf).rsqrt()
            left = self.sky * sky_shares(wave, zred).to(flux) * sigma[:, None].to(flux)
            made += left[:, None].expand(-1, flux.shape[1], -1, -1).unbind(2)
        return torch.stack(made, 2)


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
    for k, size in enumerate(SIZES, 1):
        left, right = (padded[..., REACH + s : REACH + s + n] for s in (-k, k))
        total = total + size * (right - left)
    return total / torch.gradient(wave.double().log())[0].to(flux)


def additive_errors(noise: Mapping, names: Sequence[str]) -> AdditiveErrors | None:
    """Those of observations that a noise model makes; None where there is none.

    Arguments:
        noise: settings of the noise model.
        names: columns of theta.

    Raises:
        BadInput: an error of the sky, and a theta that does not tell where it lies.
    """
    sizes = (noise.get(f"{name}_error", 0.0) for name in ("redshift", "width", "sky"))
    errors = AdditiveErrors(*sizes)
    if errors.sky and ZRED not in names:
        raise BadInput(
            f"noise.sky_error is {errors.sky:g}, and theta has no column {ZRED}, which tells where "
            "sky lines fall in the rest frame: take prior=redshift, or add "
            f"{ZRED}: {{low: 0.0, high: 0.8, given: redshift}} to conf/prior, or set it to 0."
        )
    return errors if len(errors) else None


def draws_at_once(errors: AdditiveErrors | None, objects: int, draws: int, pixels: int) -> int:
    """Draws of each object whose templates are made together, so that these stay in the cache.

    Arguments:
        errors: what the likelihood has; None: nothing, and all draws go together.
        objects, draws, pixels: how many there are.
    """
    entries = objects * len(errors or ()) * pixels
    return max(min(ENTRIES // entries, draws), 1) if entries else draws


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
