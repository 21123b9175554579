"""Native pixels of a spectrum: where they begin and end, which wavelengths none of them covers."""

import numpy as np

from hpcsbi.errors import BadInput

__all__ = ["WIDEST", "edges_of", "native_pixels", "too_wide"]

WIDEST = 1.001  # grid pixels that one native pixel may cover; the rest is for rounding
GAP = 1.5  # a step of so many usual ones is a gap
AROUND = 32  # steps on either side whose lower quartile is usual


def edges_of(wave: np.ndarray) -> np.ndarray:
    """Pixel edges, half way between the centres, shape (pixel + 1,).

    On a logarithmic grid of 1e-4 dex the geometric mean differs by 7e-9 of the wavelength.

    Arguments:
        wave: pixel centres, increasing, shape (pixel,).

    Raises:
        ValueError: fewer than two pixels, or wavelengths that are not finite, positive, increasing.
    """
    wave = np.asarray(wave, dtype=float)
    if wave.ndim != 1 or len(wave) < 2:
        raise BadInput(f"wavelengths of shape {wave.shape}: it takes one axis of two or more.")
    if not (np.isfinite(wave).all() and wave[0] > 0 and (np.diff(wave) > 0).all()):
        raise BadInput(
            "wavelengths must be finite, positive and increasing: pad a row by going on with the "
            "wavelengths and setting ivar to 0, never with zeros or NaN."
        )
    first, last = 1.5 * wave[0] - 0.5 * wave[1], 1.5 * wave[-1] - 0.5 * wave[-2]
    return np.concatenate([[first], 0.5 * (wave[1:] + wave[:-1]), [last]])


def native_pixels(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixel edges of a spectrum from which pixels may have been taken out.

    A step of more than 1.5 usual ones on both of its sides is a gap (removed pixels, the space
    between two detectors). No pixel covers it: it becomes a pixel of its own, to be left without
    weight.

    Arguments:
        wave: pixel centres, increasing, shape (pixel,).

    Returns:
        Edges, shape (pixel + gaps + 1,), and the places of the pixels among the cells between the
        edges, None where there are no gaps.

    Raises:
        ValueError: see `edges_of`.
    """
    edges = edges_of(wave)
    step = np.diff(wave)
    if (step[1:] < 1.25 * step[:-1]).all() and (step[:-1] < 1.25 * step[1:]).all():
        return edges, None
    is_gap = step > GAP * np.fmax(_usual(step), _usual(step[::-1])[::-1])
    gaps, others = np.flatnonzero(is_gap), np.flatnonzero(~is_gap)
    if not len(gaps):
        return edges, None
    # The pixels at a gap are as wide as the nearest step on their side says.
    at = np.searchsorted(others, gaps)
    left, right = (step[others[k.clip(0, len(others) - 1)]] for k in (at - 1, at))
    edges[gaps + 1] = wave[gaps] + 0.5 * left
    if is_gap[0]:  # the first and the last pixel mirror their step
        edges[0] = wave[0] - 0.5 * left[0]
    if is_gap[-1]:
        edges[-1] = wave[-1] + 0.5 * right[-1]
    places = np.arange(len(wave))
    places += np.searchsorted(gaps, places)
    return np.insert(edges, gaps + 2, wave[gaps + 1] - 0.5 * right), places


def too_wide(edges: np.ndarray, zred: np.ndarray, out_edges: np.ndarray) -> np.ndarray:
    """True for native pixels that are wider than the output pixel that holds their centre.

    Neighbouring output pixels would repeat one measured value, of a resolution that the model's
    pixels do not have. Beyond the output pixels the nearest one counts.

    Arguments:
        edges: of the native pixels, observed frame, shape (native + 1,).
        zred: redshifts, shape (rows,).
        out_edges: of the output pixels, rest frame, shape (pixel + 1,).

    Returns:
        shape (rows, native).
    """
    stretch = 1 + np.asarray(zred)[:, None]
    centres = 0.5 * (edges[1:] + edges[:-1]) / stretch
    pixel = np.searchsorted(out_edges[1:-1], centres, side="right")
    return np.diff(edges) > WIDEST * np.diff(out_edges)[pixel] * stretch


def _usual(step: np.ndarray) -> np.ndarray:
    """Lower quartile of the steps before each one, NaN where there are fewer than four."""
    usual = np.full(len(step), np.nan)
    for k in range(4, min(AROUND, len(step))):
        usual[k] = np.partition(step[:k], k // 4)[k // 4]
    if len(step) > AROUND:
        windows = np.lib.stride_tricks.sliding_window_view(step, AROUND)[:-1]
        usual[AROUND:] = np.partition(windows, AROUND // 4, axis=1)[:, AROUND // 4]
    return usual
