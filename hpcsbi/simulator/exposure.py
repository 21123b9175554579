"""What an exposure records of a spectrum whose valid pixels and quoted sigma are known."""

from typing import Protocol

import torch

from hpcsbi.simulator.learned_error import LearnedError
from hpcsbi.simulator.model_factor import draw_factor
from hpcsbi.simulator.random_tensors import RandomTensors
from hpcsbi.simulator.templates import SmoothError

__all__ = ["SmoothErrors", "exposure"]


class SmoothErrors(Protocol):
    """What a noise model says of factors that are not in the quoted sigma; see `SurveyNoise`."""

    calibration: float
    model_error: float
    model_error_length: float
    line_error: float
    learned: LearnedError | None


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
        flux: noise-free, with the mean of a learned error, shape (n, pixels).
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
    return torch.where(valid, noisy, 0.0), torch.where(valid, sigma**-2, 0.0)
