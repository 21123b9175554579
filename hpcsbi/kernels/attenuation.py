"""Light of all stars behind diffuse dust, and of young ones behind that of their clouds as well."""

import numpy as np

from hpcsbi.kernels.arithmetic import compiled, exponentials

__all__ = ["attenuate"]


@compiled
def attenuate(
    old: np.ndarray,
    young: np.ndarray,
    dust2: np.ndarray,
    index: np.ndarray,
    dust1: np.ndarray,
    curve: np.ndarray,
    bump: np.ndarray,
    log_wave: np.ndarray,
    cloud: np.ndarray,
    strength: np.ndarray,
    out: np.ndarray,
) -> None:
    """old exp(-depth) + young exp(-depth - dust1 cloud), as `layered_dust.TwoPart` has them.

    The depth is dust2 (curve + strength bump) exp(index log_wave), the strength linear in the
    index. Domain: any numbers. Exponentials are kept between 2^-126 and 2^126; NaN gives NaN.

    Arguments:
        old, young: spectra, float32, shape (n, pixels); of `young` there may be none, (0, pixels).
        dust2, index, dust1: float32, shape (n,).
        curve, bump, log_wave, cloud: float32, shape (pixels,).
        strength: of the bump for an index of 0, and its change with it, shape (2,).
        out: filled, float32, shape (n, pixels).
    """
    pixels = len(curve)
    power, depth = np.empty(pixels, np.int32), np.empty(pixels, np.float32)
    screen = np.empty(pixels, np.float32)
    for i in range(len(old)):
        n, t, s = index[i], dust2[i], dust1[i]
        b = np.float32(strength[0] + strength[1] * n)
        for p in range(pixels):
            screen[p] = n * log_wave[p]
        exponentials(screen, power, screen)
        for p in range(pixels):
            depth[p] = -t * (curve[p] + b * bump[p]) * screen[p]
        exponentials(depth, power, screen)
        for p in range(pixels):
            out[i, p] = old[i, p] * screen[p]
        if len(young):
            for p in range(pixels):
                depth[p] -= s * cloud[p]
            exponentials(depth, power, screen)
            for p in range(pixels):
                out[i, p] += young[i, p] * screen[p]
