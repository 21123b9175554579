"""Chi squared of draws by compiled loops: what these take of templates."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hpcsbi.kernels.amplitudes import BEND, MODEL, ROOT, SLOPE, integrate_rows
from hpcsbi.kernels.likelihood import pulls
from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.sky_lines import sky_shares
from hpcsbi.simulator.probability.amplitudes import Amplitudes

__all__ = ["FEW_DRAWS", "chi_squared", "of_rows"]

FEW_DRAWS = 32  # of an object: with fewer those of others stand in the same vectors


def chi_squared(
    flux: Tensor,
    ivar: Tensor,
    screened: tuple[Tensor, Tensor, Tensor, Tensor],
    sizes: tuple[float, Tensor, Tensor],
    factor: Tensor,
    amplitudes: Amplitudes,
    additive: AdditiveErrors | None,
    wave: Tensor,
    zred: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Chi squared, all amplitudes integrated out, and the sum of ln(variance / quoted variance).

    Arguments:
        flux, ivar: see `Likelihood.forward`.
        screened: spectra of one solar mass without dust, float32, shape (objects, draws, pixels),
            mass, float64, and depth of the dust, float32, shapes (objects, draws), and depth of
            each pixel where that is 1, float32, shape (pixels,).
        sizes: sigma over model flux, 0 for the quoted one; noise floor and standard deviation of
            the smooth error, float32, shapes (objects, draws).
        factor: of all models, shape (pixels,).
        amplitudes, additive: of what is integrated out.
        wave: pixel centres, Angstrom, rest frame, shape (pixels,).
        zred: redshifts, where there is one, shape (objects,).

    Returns:
        float64, shapes (objects, draws).
    """
    (*spectra, k), (fraction, *of_draws), factor = screened, sizes, factor.float()
    weight = torch.where(ivar > 0, ivar, 0.0).sqrt().float()
    observed = torch.where(ivar > 0, flux.float() * weight, 0.0)
    weight = weight * factor  # of the model: data over the factor are the same
    out = torch.empty(2, *spectra[1].shape, dtype=torch.float64)
    steps = _steps(additive, wave)
    for i, templates in enumerate(_templates(amplitudes, additive, wave, zred, len(flux))):
        bare, mass, depth, floor, error = (each[i].numpy() for each in (*spectra, *of_draws))
        pulls(
            bare, mass, depth, k.numpy(), observed[i].numpy(), weight[i].numpy(), fraction, floor,
            *templates, error, factor.numpy(), steps, *out[:, i].numpy(),
        )  # fmt: skip
    return out[0], out[1]


def of_rows(
    pull: Tensor, scaled: Tensor, error: Tensor, own: Tensor | None, amplitudes: Amplitudes
) -> tuple[Tensor, Tensor]:
    """What amplitudes take from chi squared, and add to ln(variance).

    Draws of all objects side by side, so that few of each of many take no more time. A template
    that a draw has of its own is a base with no other template.

    Arguments:
        pull, scaled, error, own: see `Amplitudes.integrated`.
        amplitudes: of what is integrated out.

    Returns:
        float64, shapes (objects, draws).
    """
    further = () if own is None else own.detach().unbind(-2)
    bases = (pull.detach(), scaled.detach(), *further)
    rows = torch.stack([each.float().flatten(0, 1) for each in bases]).numpy()
    curves = amplitudes.curves.double()
    templates = torch.cat([curves, curves.new_ones(len(further), curves.shape[1])]).numpy()
    base_of = np.r_[[MODEL] * len(curves), MODEL + 1 : MODEL + 1 + len(further)].astype(int)
    spread = error.detach().float().flatten().contiguous().numpy()
    out = np.zeros((2, error.numel()))
    integrate_rows(rows, templates, base_of, amplitudes.is_free, spread, *out)
    gain, log_det = torch.from_numpy(out).unflatten(1, error.shape)
    return -gain, log_det


def _templates(
    amplitudes: Amplitudes,
    additive: AdditiveErrors | None,
    wave: Tensor,
    zred: Tensor | None,
    objects: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Curves, or in their place templates, their bases and which of them are free, of `pulls`."""
    curves, bases = amplitudes.curves.double(), [MODEL] * len(amplitudes.curves)
    if amplitudes.few:
        none = curves[:0].numpy(), *np.empty((2, 0), np.int64)
        yield from [(curves.float().numpy(), *none)] * objects
        return
    free = amplitudes.is_free
    if additive is not None:
        kinds = (additive.of_slope, SLOPE), (additive.of_bend, BEND)
        there = [(size, base) for size, base in kinds if size]
        curves = torch.cat([curves, *(curves.new_full((1, len(wave)), size) for size, _ in there)])
        bases += [base for _, base in there]
    bases += [ROOT] * (len(amplitudes) - len(bases))
    none, further = np.empty((0, len(wave)), np.float32), (np.array(bases, np.int64), free)
    if additive is None or not additive.sky:
        yield from [(none, curves.numpy(), *further)] * objects
        return
    for sky in additive.sky * sky_shares(wave, zred).double():
        yield none, torch.cat([curves, sky]).numpy(), *further


def _steps(additive: AdditiveErrors | None, wave: Tensor) -> np.ndarray:
    """One over the pixels' widths in ln(wavelength); empty where no error needs slopes."""
    if additive is None or not (additive.redshift or additive.width):
        return np.empty(0, np.float32)
    return (1 / torch.gradient(wave.double().log())[0]).float().numpy()
