"""What an exposure records of a spectrum whose valid pixels and quoted sigma are known."""

from typing import Protocol

import torch

from hpcsbi.simulator.random_tensors import RandomTensors
from hpcsbi.simulator.templates import SmoothError, line_curves, response_curves

__all__ = ["SmoothErrors", "exposure"]


class SmoothErrors(Protocol):
    """What a noise model says of factors that are not in the quoted sigma; see `SurveyNoise`."""

    calibration: float
    model_error: float
    model_error_length: float
    line_error: float


def exposure(
    flux: torch.Tensor,
    wave: torch.Tensor,
    valid: torch.Tensor,
    sigma: torch.Tensor,
    floor: torch.Tensor | None,
    model_error: torch.Tensor | None,
    errors: SmoothErrors,
    draw: RandomTensors,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy flux and its quoted ivar, 0 where masked, both of shape (n, pixels).

    Arguments:
        flux: noise-free, shape (n, pixels).
        wave: pixel centres, Angstrom, rest frame, shape (pixels,).
        valid: pixels that count, shape (n, pixels).
        sigma: quoted, in the unit of the flux, shape (n, pixels).
        floor: noise floor as a fraction of the flux, shape (n,).
        model_error: that of theta, shape (n,); None: the one of `errors`.
        errors: standard deviations of the smooth factors.
        draw: random numbers.
    """
    total = torch.hypot(sigma, flux * floor[:, None]) if floor is not None else sigma
    noise = total * draw.normal(*flux.shape)
    curves = response_curves(wave)
    amplitudes = errors.calibration * draw.normal(len(flux), len(curves))
    factor = 1 + amplitudes @ curves
    if errors.model_error or model_error is not None:
        curves = SmoothError(errors.model_error_length).curves(wave.cpu().numpy()).dense(wave)
        error = errors.model_error if model_error is None else model_error[:, None]
        factor = factor + error * (draw.normal(len(flux), len(curves)) @ curves)
    if errors.line_error:
        curves = errors.line_error * line_curves(wave)
        factor = factor + draw.normal(len(flux), len(curves)) @ curves
    noisy = flux * factor + noise
    return torch.where(valid, noisy, 0.0), torch.where(valid, sigma**-2, 0.0)
