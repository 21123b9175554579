"""Chi squared and variance of draws against one spectrum, as `likelihood.Likelihood` has them."""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import BLOCK, LANES, LN2, LOG2E, compiled, padded_length, small_exp
from hpcsbi.kernels.smooth_error import integrate
from hpcsbi.kernels.sums import inner, product

__all__ = ["pulls"]


@compiled
def _calibrated(
    curves: np.ndarray, model: np.ndarray, pull: np.ndarray, columns: np.ndarray
) -> tuple[float, float]:
    """What the amplitudes of the curves take from chi squared, and ln det of 1 + D D^T."""
    orders, pixels = curves.shape
    for c in range(orders):
        for p in range(pixels):
            columns[c, p] = model[p] * curves[c, p]
    factor, solved = np.zeros((orders, orders)), np.empty(orders)
    gain, log_det = 0.0, 0.0
    for i in range(orders):
        rest = inner(pull, columns[i])
        for j in range(i + 1):
            left = inner(columns[i], columns[j]) + (1.0 if i == j else 0.0)
            for k in range(j):
                left -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(left) if i == j else left / factor[j, j]
        for j in range(i):
            rest -= factor[i, j] * solved[j]
        solved[i] = rest / factor[i, i]
        gain += solved[i] * solved[i]
        log_det += 2 * math.log(factor[i, i])
    return gain, log_det


@compiled
def pulls(
    bare: np.ndarray,
    mass: np.ndarray,
    dust2: np.ndarray,
    k: np.ndarray,
    observed: np.ndarray,
    weight: np.ndarray,
    fraction: float,
    floor: np.ndarray,
    curves: np.ndarray,
    first: np.ndarray,
    local: np.ndarray,
    spread: np.ndarray,
    chi2: np.ndarray,
    log_ratio: np.ndarray,
) -> None:
    """Chi squared of draws, and the sum of ln(variance / quoted variance).

    Spectra are float32, sums and amplitudes float64. Domain: any numbers. exp(-dust2 k) is kept
    between 2^-126 and 2^126; where a variance overflows float32 (its ratio to the quoted one above
    3e38) `log_ratio` is inf, and where flux, sigma or model are not finite `chi2` is NaN or inf:
    in both cases the likelihood is zero.

    Arguments:
        bare: spectra without dust and mass, float32, shape (n, pixels).
        mass: solar masses, float64, shape (n,).
        dust2: float32, shape (n,).
        k: optical depth for dust2 = 1, float32, shape (pixels,).
        observed, weight: observed flux over sigma and 1 / sigma, both 0 where masked, (pixels,).
        fraction: sigma over model flux; 0 for the quoted sigma.
        floor: noise floor as a fraction of the model flux, float32, shape (n,).
        curves: by which the model may be off, times their standard deviations, float32, shape
            (orders, pixels); their amplitudes are integrated out, see `Likelihood.of_model`.
        first, local: of a smooth error, see `smooth_error.integrate`; shapes (pixels,) and (pixels,
            reach), where a reach of 0 is none.
        spread: standard deviation of that error as a fraction of the model, float32, shape (n,).
        chi2, log_ratio: filled, float64, shape (n,).
    """
    pixels, orders = len(k), len(curves)
    power, part = np.empty(pixels, np.int32), np.empty(pixels, np.float32)
    two, ratio = power.view(np.float32), np.ones(padded_length(pixels, BLOCK), np.float32)
    apart, many = np.empty(1), padded_length(pixels, LANES)
    pull, over = np.zeros(many, np.float32), np.zeros(many, np.float32)
    model = np.empty(pixels, np.float32)
    columns = np.zeros((orders, many), np.float32)
    smooth = local.shape[1] > 0
    kept = len(mass) * smooth, pixels
    pull_of, model_of = np.empty(kept, np.float32), np.empty(kept, np.float32)
    for i in range(len(mass)):
        scale, t, noise = np.float32(mass[i]), dust2[i], floor[i]
        for p in range(pixels):  # exp(-t k) = 2^power 2^part
            x = min(max(-t * k[p] * np.float32(LOG2E), np.float32(-126)), np.float32(126))
            whole = np.floor(x + np.float32(0.5))
            power[p] = (np.int32(whole) + 127) << 23
            part[p] = (x - whole) * np.float32(LN2)
        for p in range(pixels):
            scaled = bare[i, p] * (scale * weight[p]) * (small_exp(part[p]) * two[p])
            difference = observed[p] - scaled
            if fraction > 0:
                wide = np.float32(fraction) * scaled
                wide = wide * wide if weight[p] > 0 else np.float32(1)
            else:
                wide = np.float32(1) + (noise * scaled) * (noise * scaled)
            ratio[p] = wide
            pull[p], over[p], model[p] = difference, difference / wide, scaled
        rest = product(ratio, apart)
        log_ratio[i] = math.log(rest) + apart[0] * LN2
        if not orders and not smooth:
            chi2[i] = inner(pull, over)
            continue
        for p in range(pixels):
            root = np.float32(1) / np.sqrt(ratio[p])
            pull[p] *= root
            model[p] *= root
        chi2[i] = inner(pull, pull)
        if smooth:
            pull_of[i], model_of[i] = pull[:pixels], model
        else:
            gain, log_det = _calibrated(curves, model, pull, columns)
            chi2[i] -= gain
            log_ratio[i] += log_det
    if smooth:
        none = np.empty((len(mass), 0, pixels), np.float32)
        integrate(pull_of, model_of, curves, first, local, spread, none, chi2, log_ratio)
