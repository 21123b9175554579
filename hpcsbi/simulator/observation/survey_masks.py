"""Pixels that surveys lose: beyond a spectrograph's window, bad ones, gaps, short spectra."""

import numpy as np
import torch

from hpcsbi.simulator.observation.random_tensors import RandomTensors

__all__ = ["draw_valid", "odd_masks"]

MOST_BAD = 0.05  # share of single bad pixels
GAPS, LONGEST = 2, 20  # gaps at most, and the length of each at most, in units of REFERENCE_WIDTH
SIGMAS = 3.0  # that chance is allowed for


def draw_valid(
    observed: torch.Tensor,
    place: torch.Tensor,
    window: torch.Tensor,
    least: int,
    cut: float,
    draw: RandomTensors,
) -> torch.Tensor:
    """True for the pixels that an observation keeps, shape (n, pixels).

    Arguments:
        observed: pixel centres, observed frame, Angstrom, shape (n, pixels).
        place: of each pixel, in units of REFERENCE_WIDTH from the first, shape (pixels,).
        window: first and last wavelength of each spectrograph, Angstrom, shape (n, 2).
        least: so many pixels stay at least.
        cut: share of the spectra that keep only a contiguous stretch.
        draw: random numbers.
    """
    n, pixels = observed.shape
    index = torch.arange(pixels, device=draw.device)
    inside = (observed >= window[:, :1]) & (observed <= window[:, 1:])
    # Bad pixels: half of the spectra have none, the others up to MOST_BAD.
    rate = 2 * MOST_BAD * (draw.uniform(n, 1) - 0.5).clamp_min(0)
    good = draw.uniform(n, pixels) >= rate
    for _ in range(GAPS):  # each in a third of the spectra
        start, length = place[draw.integer(pixels, n, 1)], 1 + draw.integer(LONGEST, n, 1)
        gap = (place >= start) & (place < start + length) & (draw.uniform(n, 1) < 1 / 3)
        good &= ~gap
    length = least + (pixels - least) * draw.uniform(n, 1)
    start = (pixels - length) * draw.uniform(n, 1)
    stretch = (index >= start) & (index < start + length)
    stretch |= draw.uniform(n, 1) >= cut
    valid = inside & good & stretch
    # Too little left: keep the window alone, and if that is too little, everything.
    for fallback in (inside, torch.ones_like(inside)):
        short = valid.sum(1, keepdim=True) < least
        valid = torch.where(short, fallback, valid)
    return valid


def odd_masks(valid: np.ndarray, place: np.ndarray) -> np.ndarray:
    """True where more is lost between the first and the last valid pixel than `draw_valid` loses.

    The longest gaps are what GAPS of them can be; the others are bad pixels, too many if there are
    SIGMAS more than MOST_BAD. Without a valid pixel nothing is odd.

    Arguments:
        valid: bool, shape (n, pixels).
        place: see `draw_valid`.

    Returns:
        bool, shape (n,).
    """
    odd, widths = np.zeros(len(valid), dtype=bool), np.gradient(place)
    first, last = valid.argmax(1), valid.shape[1] - valid[:, ::-1].argmax(1)
    span = np.where(valid.any(1), last - first, 0)
    most = MOST_BAD * span + SIGMAS * np.sqrt(MOST_BAD * (1 - MOST_BAD) * span)
    for row in np.flatnonzero(span - valid.sum(1) > most):  # hardly any
        ends = np.flatnonzero(np.diff(valid[row, first[row] : last[row]])) + 1 + first[row]
        runs = [np.arange(*run) for run in ends.reshape(-1, 2)]  # masked ones, between valid ones
        longest = sorted(runs, key=lambda run: -widths[run].sum())[:GAPS]
        length = sum(widths[run].sum() for run in longest)
        share = min(GAPS * LONGEST / length, 1.0)  # two gaps may be one
        lost = sum(map(len, runs)) - share * sum(map(len, longest))
        odd[row] = lost > most[row]
    return odd
