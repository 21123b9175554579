"""What an exposure records of a spectrum whose valid pixels and quoted sigma are known."""

from typing import Protocol

import torch

from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.observation.templates import SmoothError, line_curves, response_curves

__all__ = ["SmoothErrors", "draw_factor", "exposure"]


class SmoothErrors(Protocol):
    """What a noise model says of errors that are not in the quoted sigma; see `SurveyNoise`."""

    calibration: float
    model_error: float
    model_error_length: float
    line_error: float
    learned: LearnedError | None
    redshift_error: float
    width_error: float
    sky_error: float


def exposure(
    flux: torch.Tensor,
    wave: torch.Tensor,
    valid: torch.Tensor,
    sigma: torch.Tensor,
    floor: torch.Tensor | None,
    model_error: torch.Tensor | None,
    errors: SmoothErrors,
    draw: RandomTensors,
    zred: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy flux and its quoted ivar, 0 where masked, both of shape (n, pixels).

    Arguments:
        flux: noise-free, with the mean of a learned error, shape (n, pixels).
        wave: pixel centres, Angstrom, rest frame, shape (pixels,).
        valid: pixels that count, shape (n, pixels).
        sigma: quoted, in the unit of the flux, shape (n, pixels).
        floor: noise floor as a fraction of the flux, shape (n,).
        model_error: that of theta, shape (n,); None: the one of `errors`.
        errors: standard deviations of the factors, and of what is added.
        draw: random numbers.
        zred: redshifts, where there is an error of the sky, shape (n,).
    """
    total = torch.hypot(sigma, flux * floor[:, None]) if floor is not None else sigma
    noise = total * draw.normal(*flux.shape)
    smooth = errors.model_error or model_error is not None
    learned = errors.learned and torch.as_tensor(errors.learned.curves).to(flux)
    factor = draw_factor(
        wave,
        len(flux),
        draw,
        errors.calibration,
        SmoothError(errors.model_error_length) if smooth else None,
        errors.model_error if model_error is None else model_error[:, None],
        errors.line_error,
        learned,
    )
    noisy = flux * factor + noise
    additive = AdditiveErrors(errors.redshift_error, errors.width_error, errors.sky_error)
    if len(additive):
        amplitudes = draw.normal(len(flux), len(additive), 1)
        templates = additive.templates(flux[:, None], wave, sigma**-2, zred)[:, 0]
        noisy = noisy + (amplitudes * templates).sum(1)
    return torch.where(valid, noisy, 0.0), torch.where(valid, sigma**-2, 0.0)


def draw_factor(
    wave: torch.Tensor,
    n: int,
    draw: RandomTensors,
    calibration: float,
    smooth: SmoothError | None,
    error: torch.Tensor | float,
    lines: float,
    learned: torch.Tensor | None,
) -> torch.Tensor:
    """One plus the sum of all templates with random amplitudes, shape (n, pixels) or (1, pixels).

    Arguments:
        wave: pixel centres, Angstrom, rest frame, shape (pixels,).
        n: number of spectra.
        draw: makes the amplitudes.
        calibration: standard deviation of each of `response_curves`.
        smooth: the model's smooth error; None without one.
        error: its standard deviation, one or of each spectrum, shape (n, 1).
        lines: standard deviation of each of `line_curves`, Angstrom; 0 is none.
        learned: templates of a learned error, shape (rank, pixels); None without one.
    """
    curves = response_curves(wave)
    amplitudes = calibration * draw.normal(n, len(curves))
    factor = 1 + amplitudes @ curves
    if smooth is not None:
        curves = smooth.curves(wave.cpu().numpy()).dense(wave)
        factor = factor + error * (draw.normal(n, len(curves)) @ curves)
    if lines:
        curves = lines * line_curves(wave)
        factor = factor + draw.normal(n, len(curves)) @ curves
    if learned is not None:
        factor = factor + draw.normal(n, len(learned)) @ learned
    return factor
