"""Chi squared and variance of draws against one spectrum, as `likelihood.Likelihood` has them."""

import math

import numpy as np

from hpcsbi.kernels.amplitudes import BASES, BEND, MODEL, PULL, ROOT, SLOPE, design, integrate
from hpcsbi.kernels.arithmetic import (
    BLOCK,
    DRAWS,
    LANES,
    LN2,
    LOG2E,
    compiled,
    padded_length,
    small_exp,
)
from hpcsbi.kernels.slopes import REACH, slope
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
    templates: np.ndarray,
    base_of: np.ndarray,
    free: np.ndarray,
    spread: np.ndarray,
    factor: np.ndarray,
    steps: np.ndarray,
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
        templates: in their place, of errors of any kind, float64, shape (templates, pixels).
        base_of: of `amplitudes.BASES` the one that each is multiplied with, shape (templates,).
        free: 1 for templates whose standard deviation is `spread`, 0 for others, (templates,).
        spread: of the draws, float32, shape (n,).
        factor: of all models, which `weight` has in it, float32, shape (pixels,).
        steps: see `slopes.slope`; empty where no template has a slope as its base.
        chi2, log_ratio: filled, float64, shape (n,).
    """
    pixels, entire, at = len(k), len(templates) > 0, 0
    power, part = np.empty(pixels, np.int32), np.empty(pixels, np.float32)
    two, ratio = power.view(np.float32), np.ones(padded_length(pixels, BLOCK), np.float32)
    apart, many = np.empty(1), padded_length(pixels, LANES)
    pull, over = np.zeros(many, np.float32), np.zeros(many, np.float32)
    model = np.empty(pixels, np.float32)
    columns = np.zeros((len(curves), many), np.float32)
    arranged = design(templates, base_of, free)
    rows = np.zeros((len(BASES) * entire, DRAWS, many), np.float32)
    light, padded = np.empty(pixels, np.float32), np.empty(pixels + 2 * REACH, np.float32)
    for i in range(len(mass)):
        scale = np.float32(mass[i])
        _screen(dust2[i], k, power, part)
        for p in range(pixels):
            light[p] = small_exp(part[p]) * two[p]
            model[p] = bare[i, p] * (scale * weight[p]) * light[p]
        _compare(model, observed, weight, fraction, floor[i], ratio, pull, over)
        rest = product(ratio, apart)
        log_ratio[i] = math.log(rest) + apart[0] * LN2
        if not len(curves) and not entire:
            chi2[i] = inner(pull, over)
            continue
        for p in range(pixels):
            root = np.float32(1) / np.sqrt(ratio[p])
            pull[p] *= root
            model[p] *= root
        chi2[i] = inner(pull, pull)
        if not entire:
            gain, log_det = _calibrated(curves, model, pull, columns)
            chi2[i] -= gain
            log_ratio[i] += log_det
            continue
        for p in range(pixels):  # the model itself, of which masked pixels have slopes, too
            light[p] *= bare[i, p] * scale * factor[p]
        rows[PULL, at, :pixels], rows[MODEL, at, :pixels] = pull[:pixels], model
        others = rows[ROOT, at], rows[SLOPE, at], rows[BEND, at]
        _add_bases(ratio, weight, light, factor, steps, padded, *others)
        at += 1
        if at == DRAWS or i == len(mass) - 1:
            some = slice(i + 1 - at, i + 1)
            integrate(rows, *arranged, spread[some], chi2[some], log_ratio[some])
            at = 0


@compiled
def _screen(dust2: np.float32, k: np.ndarray, power: np.ndarray, part: np.ndarray) -> None:
    """exp(-dust2 k) as 2^power, in the bits of a float32, and the logarithm of what is left."""
    for p in range(len(k)):
        x = min(max(-dust2 * k[p] * np.float32(LOG2E), np.float32(-126)), np.float32(126))
        whole = np.floor(x + np.float32(0.5))
        power[p] = (np.int32(whole) + 127) << 23
        part[p] = (x - whole) * np.float32(LN2)


@compiled
def _compare(
    model: np.ndarray,
    observed: np.ndarray,
    weight: np.ndarray,
    fraction: float,
    noise: np.float32,
    ratio: np.ndarray,
    pull: np.ndarray,
    over: np.ndarray,
) -> None:
    """Variance over the quoted one, residual over quoted sigma, and that over the ratio."""
    for p in range(len(model)):
        scaled = model[p]
        difference = observed[p] - scaled
        if fraction > 0:
            wide = np.float32(fraction) * scaled
            wide = wide * wide if weight[p] > 0 else np.float32(1)
        else:
            wide = np.float32(1) + (noise * scaled) * (noise * scaled)
        ratio[p] = wide
        pull[p], over[p] = difference, difference / wide


@compiled
def _add_bases(
    ratio: np.ndarray,
    weight: np.ndarray,
    light: np.ndarray,
    factor: np.ndarray,
    steps: np.ndarray,
    padded: np.ndarray,
    root: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> None:
    """What templates that are no factors are multiplied with, of one draw; `light` is changed."""
    pixels = len(light)
    for p in range(pixels):
        root[p] = (np.float32(1) if weight[p] > 0 else np.float32(0)) / np.sqrt(ratio[p])
    if len(steps):
        slope(light, steps, padded, light)
        for p in range(pixels):
            first[p] = light[p] * (weight[p] / factor[p]) * root[p]
        slope(light, steps, padded, light)
        for p in range(pixels):
            second[p] = light[p] * (weight[p] / factor[p]) * root[p]
