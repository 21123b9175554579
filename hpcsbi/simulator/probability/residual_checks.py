"""Checks of the residuals that no free noise floor passes: is what is left over only noise?

A floor that is free grows until chi squared is what it should be, whatever the spectrum is. It says
nothing of the order of the residuals: neighbours that agree, a stretch that is off as a whole, or
lines that stand out. All statistics are relative to the mean square of the residuals, and each has
its posterior predictive p-value, by spectra that the draws themselves make and that are treated as
the observed one.

References:
    Gelman, Meng & Stern 1996, Statistica Sinica 6, 733, section 2.3: p-values by replication.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.constants import speed_of_light
from torch import Tensor

from hpcsbi.grid import REFERENCE_WIDTH
from hpcsbi.seeds import torch_generator
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.tensors import tensors_on

__all__ = ["RESIDUAL_CHECKS", "ResidualChecks", "residual_p_values"]

N_DRAWS, REPLICATES = 32, 1024  # draws that are looked at, and replicates of all of them together
FIRST, CLEAR = 128, 0.1  # replicates that are enough where no p-value is below
WINDOWS = (1, 2, 4, 8, 16, 32)  # widths that are scanned, in units of REFERENCE_WIDTH
NARROW, BROAD = 1000.0, 5000.0  # km/s on both sides of lines
BROAD_BLENDS = ("hbeta", "halpha_nii")  # the strongest that gas near a black hole has


class ResidualChecks:
    """Statistics of residuals over sigma; the larger, the less like noise.

    Arguments:
        wave: pixel centres, Angstrom, rest frame, shape (pixels,).
        device: of the residuals.
    """

    def __init__(self, wave: np.ndarray, device: torch.device | str = "cpu") -> None:
        unit = REFERENCE_WIDTH * (len(wave) - 1) / (wave[-1] - wave[0])  # in pixels
        self.lags = range(1, min(max(round(unit), 1), len(wave) - 1) + 1)
        widths = {1, *(max(round(unit * n), 1) for n in WINDOWS)}
        self.widths = sorted(width for width in widths if width < len(wave))
        reaches = [_reach(wave, blend, NARROW) for blend in BLENDS.values()]
        reaches += [_reach(wave, BLENDS[name], BROAD) for name in BROAD_BLENDS]
        self.lines = torch.tensor(np.stack(reaches, 1).astype(np.float32), device=device)

    def autocorrelation(self, residuals: Tensor, valid: Tensor) -> Tensor:
        """Sum of products of neighbours up to REFERENCE_WIDTH apart, over that of squares, (...).

        Arguments:
            residuals: 0 where masked, shape (..., pixels).
            valid: 1 for pixels that count, 0 for others, shape (pixels,).
        """
        products = sum((residuals[..., lag:] * residuals[..., :-lag]).sum(-1) for lag in self.lags)
        return products / (residuals**2).sum(-1)

    def window(self, residuals: Tensor, valid: Tensor) -> Tensor:
        """Largest sum over a window, over the root of its valid pixels, shape (...); see above."""
        sums, counts = (torch.nn.functional.pad(a.cumsum(-1), (1, 0)) for a in (residuals, valid))
        worst = torch.zeros_like(sums[..., 0])
        for width in self.widths:
            weights = (counts[width:] - counts[:-width]).clamp_min(1).rsqrt()
            pulls = (sums[..., width:] - sums[..., :-width]) * weights
            worst = torch.maximum(worst, pulls.abs().amax(-1))
        return worst / _scale(residuals, valid)

    def strong_lines(self, residuals: Tensor, valid: Tensor) -> Tensor:
        """Mean square of such sums over strong lines, NaN where none is seen, shape (...)."""
        lines = self.lines * valid[:, None]
        counts = lines.sum(0)
        sums = residuals @ (lines * counts.clamp_min(1).rsqrt())
        return (sums**2).sum(-1) / (counts > 0).sum() / _scale(residuals, valid) ** 2


# Column of the p-value, and its statistic.
RESIDUAL_CHECKS: dict[str, Callable[[ResidualChecks, Tensor, Tensor], Tensor]] = {
    "autocorrelation_p": ResidualChecks.autocorrelation,
    "window_p": ResidualChecks.window,
    "lines_p": ResidualChecks.strong_lines,
}


@torch.no_grad()
def residual_p_values(
    likelihood: Likelihood,
    theta: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    seeds: np.ndarray,
    instrument: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Posterior predictive p-values of RESIDUAL_CHECKS, at least one over REPLICATES.

    Arguments:
        likelihood: its sigma counts, and the smooth errors that it integrates over.
        theta: draws in their own units, all finite, of which N_DRAWS count, in equal steps, shape
            (n, draws, n_theta).
        flux, ivar: the observed spectra, shape (n, pixels).
        seeds: of the replicates of each spectrum, shape (n,).
        instrument: what it adds to dispersions, shape (n, KNOTS); None: nothing.

    Returns:
        shape (n,) each, NaN without pixels, or without a pixel at a line.
    """
    some = theta[:, :: max(theta.shape[1] // N_DRAWS, 1)][:, :N_DRAWS]
    arrays = (flux, ivar, some, *([] if instrument is None else [instrument]))
    flux, ivar, theta, *added = tensors_on(likelihood.device, arrays)
    model = likelihood.spectra(theta, *added)
    checks = ResidualChecks(likelihood.ssp.wave, likelihood.device)
    p = np.full((len(flux), len(RESIDUAL_CHECKS)), np.nan)
    for i in np.flatnonzero((ivar > 0).any(1).cpu().numpy()):
        one = (a[i : i + 1] for a in (flux, ivar, model, theta))
        p[i] = _p_values(checks, likelihood, *one, torch_generator(int(seeds[i])))
    return dict(zip(RESIDUAL_CHECKS, p.T, strict=True))


def _p_values(
    checks: ResidualChecks,
    likelihood: Likelihood,
    flux: Tensor,
    ivar: Tensor,
    model: Tensor,
    theta: Tensor,
    generator: torch.Generator,
) -> np.ndarray:
    """Of one object: shares of replicates that reach their draw's own value, itself among them."""
    valid = (ivar[0] > 0).float()
    draws, size = theta.shape[1], flux.shape[1] + len(likelihood.amplitudes)
    reached, made = np.ones(len(RESIDUAL_CHECKS)), 1
    for replicates in (FIRST, REPLICATES - FIRST):
        if made > 1 and not (reached <= CLEAR * made).any():
            break
        each = -(-replicates // draws)
        # Of the processor's generator: the same on each device.
        normals = torch.randn((1, draws, each, size), generator=generator).to(likelihood.device)
        residuals = likelihood.residuals(flux, ivar, model, theta, normals)[0]
        values = torch.stack([f(checks, residuals, valid) for f in RESIDUAL_CHECKS.values()])
        known = torch.isfinite(values).flatten(1).all(1).cpu().numpy()
        more = (values[..., 1:] >= values[..., :1]).sum((1, 2)).cpu().numpy()
        reached, made = np.where(known, reached + more, np.nan), made + draws * each
    return reached / made


def _scale(residuals: Tensor, valid: Tensor) -> Tensor:
    """Root mean square over valid pixels."""
    return ((residuals**2).sum(-1) / valid.sum()).sqrt()


def _reach(wave: np.ndarray, blend: tuple[float, ...], margin: float) -> np.ndarray:
    """True for pixels that lie within so many km/s of a blend, shape (pixels,)."""
    half, factor = np.gradient(wave) / 2, 1e3 * margin / speed_of_light
    first, last = blend[0] * (1 - factor), blend[-1] * (1 + factor)
    return (wave + half > first) & (wave - half < last)
