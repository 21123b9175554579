"""Quoted errors of survey spectra: level, shape, scatter, and the sky."""

import math

import numpy as np
import torch

from hpcsbi.simulator.observation.random_tensors import RandomTensors

__all__ = ["MARGIN", "beyond_snr", "draw_sigma", "mean_snr"]

# Bright sky lines and bands, observed frame, Angstrom: centre and half width.
SKY = ((5578.0, 15.0), (6301.0, 15.0), (6870.0, 40.0), (7610.0, 60.0), (8350.0, 150.0))
SKY_RED = 9250.0
SIGMAS, MARGIN = 3.0, 1.2  # by which a mean S/N may miss its range: chance, calibration


def draw_sigma(
    flux: torch.Tensor,
    observed: torch.Tensor,
    valid: torch.Tensor,
    snr: tuple[float, float],
    draw: RandomTensors,
) -> torch.Tensor:
    """Standard deviation of each pixel, in the unit of the flux, shape (n, pixels).

    Arguments:
        flux: noise-free, shape (n, pixels).
        observed: pixel centres, observed frame, Angstrom, shape (n, pixels).
        valid: pixels that count, shape (n, pixels).
        snr: lowest and highest mean of flux / sigma over them, log-uniform.
        draw: random numbers.
    """
    n, pixels = flux.shape
    x = torch.linspace(-1, 1, pixels, device=draw.device)
    level = _mean(flux, valid)
    relative = (flux / level).clamp_min(1e-3)
    tilt = 0.3 * (draw.normal(n, 1) * x + draw.normal(n, 1) * (x * x - 1 / 3))
    log_sigma = draw.uniform(n, 1) * relative.log() + tilt + 0.1 * draw.normal(n, pixels)
    for centre, half in SKY:
        bright = (observed - centre).abs() < half
        log_sigma = log_sigma + bright * draw.uniform(n, 1)
    log_sigma = log_sigma + (observed > SKY_RED) * draw.uniform(n, 1) * 1.5
    sigma = log_sigma.exp() * level
    low, high = (math.log(s) for s in snr)
    ratio = (low + (high - low) * draw.uniform(n, 1)).exp()
    return sigma * _mean(flux / sigma, valid) / ratio


def mean_snr(flux: np.ndarray, ivar: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Mean of flux over sigma of valid pixels, in pixels of width one, shape (n,).

    Arguments:
        flux, ivar: as recorded, shape (n, pixels).
        widths: of the pixels, shape (pixels,).
    """
    valid = ivar > 0
    ratio = np.where(valid, flux * np.sqrt(np.where(valid, ivar, 0.0) / widths), 0.0)
    return ratio.sum(1) / np.maximum(valid.sum(1), 1)


def beyond_snr(
    flux: np.ndarray, ivar: np.ndarray, widths: np.ndarray, snr: tuple[float, float]
) -> np.ndarray:
    """True where the mean S/N is lower or higher than a range, chance apart, shape (n,).

    Arguments:
        flux, ivar, widths: see `mean_snr`.
        snr: lowest and highest.
    """
    mean = mean_snr(flux, ivar, widths)
    chance = SIGMAS / np.sqrt(np.maximum((ivar > 0).sum(1), 1))
    return ((mean + chance) * MARGIN < snr[0]) | (mean > MARGIN * snr[1])


def _mean(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over valid pixels, shape (n, 1)."""
    return (values * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
