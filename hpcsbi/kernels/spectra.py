"""Compiled inner loops of the table and of the likelihood: one pass over a draw, no arrays between.

They do what `ssp.Ssp` and `likelihood.Likelihood` say, in float32 and without gradients;
benchmarks/likelihood_speed.py has the gain, the tests of both have the error. Each states its
domain, and gives NaN, inf or a bound outside of it, never what lies beside an array.

The same bytes on every processor with fused multiply-add (x86-64 since 2013, AVX2 or AVX-512):
sums have an order of their own (`lanes`), and the rest is pixel by pixel. A processor without it
rounds differently. The matrix products between these loops (the table's basis, the network) are
those of torch's library, which promises equal bytes only on one type of processor.
"""

import math

import numpy as np
from numba import njit

from hpcsbi.kernels.lanes import BLOCK, LANES, inner, product

__all__ = ["LN2", "LOG2E", "compiled", "look_up", "project_log", "pulls", "small_exp"]

LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})


@compiled
def small_exp(u: np.float32) -> np.float32:
    """exp(u) to float32. Domain: |u| of at most ln(2) / 2; beyond it the series is just wrong."""
    e = np.float32(1 / 720) * u + np.float32(1 / 120)
    e = e * u + np.float32(1 / 24)
    e = e * u + np.float32(1 / 6)
    e = e * u + np.float32(0.5)
    return (e * u + np.float32(1)) * u + np.float32(1)


@compiled
def _cubic(f: float, weights: np.ndarray) -> None:
    """Catmull-Rom weights, as `basis._cubic`."""
    f2, f3 = f * f, f * f * f
    weights[0] = 0.5 * (2 * f2 - f - f3)
    weights[1] = 0.5 * (2 - 5 * f2 + 3 * f3)
    weights[2] = 0.5 * (f + 4 * f2 - 3 * f3)
    weights[3] = 0.5 * (f3 - f2)


@compiled
def look_up(
    tage: np.ndarray,
    tau: np.ndarray,
    logzsol: np.ndarray,
    dust2: np.ndarray,
    strength: np.ndarray,
    table: np.ndarray,
    metallicity: np.ndarray,
    age_axis: np.ndarray,
    tau_axis: np.ndarray,
    ranks: np.ndarray,
    out: np.ndarray,
) -> None:
    """Coefficients of the basis: cubic in log age and log tau, linear in metallicity.

    Domain: any numbers. Beyond the grid its edge is taken; NaN, or an age or tau below zero, gives
    NaN.

    Arguments:
        tage, tau: Gyr, the former softened, float32, shape (n,).
        logzsol, dust2: float32, shape (n,).
        strength: of the lines, float32, shape (n,).
        table: coefficients of continuum and lines on the grid, metallicity slowest, then age,
            float32, shape (nodes, ranks).
        metallicity: its nodes, float32, shape (n_metallicity,).
        age_axis, tau_axis: lowest node (ln Gyr), step and number of cells, float64, shape (3,).
        ranks: of the continuum's dust moments 0, 1, 2, then of the lines', int64, shape (6,).
        out: filled, float32, shape (n, sum of ranks).
    """
    n_tau, n_patch = int(tau_axis[2]) + 3, (int(age_axis[2]) + 3) * (int(tau_axis[2]) + 3)
    own = np.empty(table.shape[1], np.float32)
    by_age, by_tau = np.empty(4, np.float32), np.empty(4, np.float32)
    for i in range(len(tage)):
        x = (math.log(tage[i]) - age_axis[0]) / age_axis[1]
        y = (math.log(tau[i]) - tau_axis[0]) / tau_axis[1]
        if not (x == x and y == y and logzsol[i] == logzsol[i]):  # a NaN must not be an index
            out[i] = np.nan
            continue
        x, y = min(max(x, 0.0), age_axis[2]), min(max(y, 0.0), tau_axis[2])
        row, column = min(int(x), int(age_axis[2]) - 1), min(int(y), int(tau_axis[2]) - 1)
        _cubic(x - row, by_age)
        _cubic(y - column, by_tau)
        cell = 0
        while cell < len(metallicity) - 2 and logzsol[i] > metallicity[cell + 1]:
            cell += 1
        span = metallicity[cell + 1] - metallicity[cell]
        right = min(max((logzsol[i] - metallicity[cell]) / span, np.float32(0)), np.float32(1))
        first = cell * n_patch + row * n_tau + column
        own[:] = 0
        for side in range(2):
            share = right if side else np.float32(1) - right
            for a in range(4):
                w0, w1 = share * by_age[a] * by_tau[0], share * by_age[a] * by_tau[1]
                w2, w3 = share * by_age[a] * by_tau[2], share * by_age[a] * by_tau[3]
                node = first + side * n_patch + a * n_tau
                for j in range(len(own)):
                    left = w0 * table[node, j] + w1 * table[node + 1, j]
                    own[j] += left + w2 * table[node + 2, j] + w3 * table[node + 3, j]
        own[ranks[0] :] *= strength[i]
        at = 0
        for part in range(6):
            factor = dust2[i] ** (part % 3)
            start = ranks[0] if part > 2 else 0
            for j in range(ranks[part]):
                out[i, at + j] = factor * own[start + j]
            at += ranks[part]


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
    curves = np.zeros((len(onto), _padded(pixels, LANES)), np.float32)
    curves[:, :pixels] = onto
    logs, positive = np.zeros(curves.shape[1], np.float32), np.empty(pixels, np.float32)
    bits = positive.view(np.int32)
    for i in range(len(flux)):
        for p in range(pixels):
            seen = flux[i, p]
            positive[p] = np.float32(1e-30) if seen < np.float32(1e-30) else seen
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


@compiled
def _padded(n: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-n // step) * step


@compiled
def _calibrated(columns: np.ndarray, pull: np.ndarray) -> tuple[float, float]:
    """What the amplitudes of the curves take from chi squared, and ln det of 1 + D D^T."""
    orders = len(columns)
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
    seen: np.ndarray,
    weight: np.ndarray,
    fraction: float,
    floor: np.ndarray,
    curves: np.ndarray,
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
        seen, weight: observed flux over sigma and 1 / sigma, both 0 where masked, (pixels,).
        fraction: sigma over model flux; 0 for the quoted sigma.
        floor: noise floor as a fraction of the model flux, float32, shape (n,).
        curves: by which the model may be off, times their standard deviations, float32, shape
            (orders, pixels); their amplitudes are integrated out, see `Likelihood.of_model`.
        chi2, log_ratio: filled, float64, shape (n,).
    """
    pixels, orders = len(k), len(curves)
    power, part = np.empty(pixels, np.int32), np.empty(pixels, np.float32)
    two, ratio = power.view(np.float32), np.ones(_padded(pixels, BLOCK), np.float32)
    apart, many = np.empty(1), _padded(pixels, LANES)
    pull, over, model = (
        np.zeros(many, np.float32),
        np.zeros(many, np.float32),
        np.empty(pixels, np.float32),
    )
    columns = np.zeros((orders, many), np.float32)
    for i in range(len(mass)):
        scale, t, own = np.float32(mass[i]), dust2[i], floor[i]
        for p in range(pixels):  # exp(-t k) = 2^power 2^part
            x = min(max(-t * k[p] * np.float32(LOG2E), np.float32(-126)), np.float32(126))
            whole = np.floor(x + np.float32(0.5))
            power[p] = (np.int32(whole) + 127) << 23
            part[p] = (x - whole) * np.float32(LN2)
        for p in range(pixels):
            scaled = bare[i, p] * (scale * weight[p]) * (small_exp(part[p]) * two[p])
            difference = seen[p] - scaled
            if fraction > 0:
                wide = np.float32(fraction) * scaled
                wide = wide * wide if weight[p] > 0 else np.float32(1)
            else:
                wide = np.float32(1) + (own * scaled) * (own * scaled)
            ratio[p] = wide
            pull[p], over[p], model[p] = difference, difference / wide, scaled
        rest = product(ratio, apart)
        log_ratio[i] = math.log(rest) + apart[0] * LN2
        if orders:
            for p in range(pixels):
                root = np.float32(1) / np.sqrt(ratio[p])
                pull[p] *= root
                model[p] *= root
            for c in range(orders):
                for p in range(pixels):
                    columns[c, p] = model[p] * curves[c, p]
            gain, log_det = _calibrated(columns, pull)
            chi2[i] = inner(pull, pull) - gain
            log_ratio[i] += log_det
        else:
            chi2[i] = inner(pull, over)
