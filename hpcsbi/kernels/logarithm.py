"""Projections of the logarithm of spectra, by which a spectrum's level and dust are measured."""

import numpy as np

from hpcsbi.kernels.arithmetic import LANES, LN2, compiled, padded_length
from hpcsbi.kernels.sums import inner

__all__ = ["project_log"]


@compiled
def project_log(flux: np.ndarray, onto: np.ndarray, out: np.ndarray) -> None:
    """ln of spectra projected on curves, `out = ln(flux) @ onto.T`.

    Domain: any flux. Less than 1e-30 counts as 1e-30; a spectrum with NaN or inf gives NaN.

    Arguments:
        flux: float32, shape (n, pixels).
        onto: float32, shape (curves, pixels).
        out: filled, float32, shape (n, curves).
    """
    half, mantissa = np.int32(0x3F3504F3), np.int32(0x7FFFFF)  # bits of sqrt(1/2); their place
    pixels = flux.shape[1]
    curves = np.zeros((len(onto), padded_length(pixels, LANES)), np.float32)
    curves[:, :pixels] = onto
    logs, positive = np.zeros(curves.shape[1], np.float32), np.empty(pixels, np.float32)
    bits = positive.view(np.int32)
    for i in range(len(flux)):
        for p in range(pixels):
            value = flux[i, p]
            positive[p] = np.float32(1e-30) if value < np.float32(1e-30) else value
        for p in range(pixels):  # flux = 2^power m, m between sqrt(1/2) and sqrt(2)
            place = bits[p] - half
            m = np.int32((place & mantissa) + half).view(np.float32)
            t = (m - np.float32(1)) / (m + np.float32(1))
            q = t * t
            series = q * np.float32(2 / 9) + np.float32(2 / 7)
            series = q * series + np.float32(2 / 5)
            series = q * series + np.float32(2 / 3)
            power = np.float32(place >> np.int32(23))
            odd = positive[p] - positive[p]  # 0, or NaN where the flux is not finite
            logs[p] = power * np.float32(LN2) + (t + t + t * (q * series)) + odd
        for c in range(len(curves)):
            out[i, c] = inner(logs, curves[c])
