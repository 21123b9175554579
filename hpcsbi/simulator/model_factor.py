"""What the simulator multiplies spectra by: all errors of calibration and model, at random."""

import torch

from hpcsbi.simulator.random_tensors import RandomTensors
from hpcsbi.simulator.templates import SmoothError, line_curves, response_curves

__all__ = ["draw_factor"]


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
