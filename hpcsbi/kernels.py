"""Compiled inner loops of the table and of the likelihood: one pass over a draw, no arrays between.

They do what `ssp.Ssp` and `likelihood.Likelihood` say, in float32 and without gradients;
benchmarks/likelihood_speed.py has the gain, the tests of both have the error.
"""

import math

import numpy as np
from numba import njit

__all__ = ["LN2", "LOG2E", "compiled", "look_up", "project_log", "pulls", "small_exp"]

LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453
LANES = 8  # products side by side: few logarithms, and none overflows
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
summed = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@compiled
def small_exp(u: np.float32) -> np.float32:
    """exp(u) to float32 for |u| of at most ln(2) / 2."""
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
        x = min(max((math.log(tage[i]) - age_axis[0]) / age_axis[1], 0.0), age_axis[2])
        y = min(max((math.log(tau[i]) - tau_axis[0]) / tau_axis[1], 0.0), tau_axis[2])
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


@summed
def project_log(flux: np.ndarray, onto: np.ndarray, out: np.ndarray) -> None:
    """ln of spectra projected on curves, `out = ln(flux) @ onto.T`.

    Arguments:
        flux: taken for 1e-30 where it is less, float32, shape (n, pixels).
        onto: float32, shape (curves, pixels).
        out: filled, float32, shape (n, curves).
    """
    half, mantissa = np.int32(0x3F3504F3), np.int32(0x7FFFFF)  # bits of sqrt(1/2); their place
    logs = np.empty(flux.shape[1], np.float32)
    positive = np.empty(flux.shape[1], np.float32)
    bits = positive.view(np.int32)
    for i in range(len(flux)):
        for p in range(len(logs)):
            positive[p] = max(flux[i, p], np.float32(1e-30))
        for p in range(len(logs)):  # flux = 2^power m, m between sqrt(1/2) and sqrt(2)
            place = bits[p] - half
            m = np.int32((place & mantissa) + half).view(np.float32)
            t = (m - np.float32(1)) / (m + np.float32(1))
            q = t * t
            series = q * np.float32(2 / 9) + np.float32(2 / 7)
            series = q * series + np.float32(2 / 5)
            series = q * series + np.float32(2 / 3)
            power = np.float32(place >> np.int32(23))
            logs[p] = power * np.float32(LN2) + (t + t + t * (q * series))
        for c in range(len(onto)):
            total = np.float32(0)
            for p in range(len(logs)):
                total += logs[p] * onto[c, p]
            out[i, c] = total


@compiled
def _log_product(ratio: np.ndarray, product: np.ndarray) -> float:
    """Sum of logarithms of a multiple of LANES numbers; `product` is room for LANES."""
    product[:] = 1
    for p in range(0, len(ratio), LANES):
        for j in range(LANES):
            product[j] *= ratio[p + j]
    logs = 0.0
    for j in range(LANES):
        logs += math.log(product[j])
    return logs


@summed
def _calibrated(design: np.ndarray, pull: np.ndarray, curves: np.ndarray) -> tuple[float, float]:
    """What the amplitudes of the curves take from chi squared, and ln det of 1 + D D^T."""
    orders = len(curves)
    factor, solved = np.zeros((orders, orders)), np.empty(orders)
    gain, log_det = 0.0, 0.0
    for i in range(orders):
        projected = np.float32(0)
        for p in range(len(pull)):
            projected += pull[p] * design[p] * curves[i, p]
        rest = float(projected)
        for j in range(i + 1):
            product = np.float32(0)
            for p in range(len(pull)):
                product += design[p] * design[p] * curves[i, p] * curves[j, p]
            left = float(product) + (1.0 if i == j else 0.0)
            for k in range(j):
                left -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(left) if i == j else left / factor[j, j]
        for j in range(i):
            rest -= factor[i, j] * solved[j]
        solved[i] = rest / factor[i, i]
        gain += solved[i] * solved[i]
        log_det += 2 * math.log(factor[i, i])
    return gain, log_det


@summed
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
        chi2, log_ratio: filled, float32 and float64, shape (n,).
    """
    pixels = len(k)
    power, part = np.empty(pixels, np.int32), np.empty(pixels, np.float32)
    two, ratio = power.view(np.float32), np.empty(-(-pixels // LANES) * LANES, np.float32)
    product, orders = np.empty(LANES), len(curves)
    design, pull = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    ratio[pixels:] = 1
    for i in range(len(mass)):
        scale, t, own = np.float32(mass[i]), dust2[i], floor[i]
        for p in range(pixels):  # exp(-t k) = 2^power 2^part
            x = min(max(-t * k[p] * np.float32(LOG2E), np.float32(-126)), np.float32(126))
            whole = np.floor(x + np.float32(0.5))
            power[p] = (np.int32(whole) + 127) << 23
            part[p] = (x - whole) * np.float32(LN2)
        total = np.float32(0)
        for p in range(pixels):
            scaled = bare[i, p] * (scale * weight[p]) * (small_exp(part[p]) * two[p])
            difference = seen[p] - scaled
            if fraction > 0:
                wide = np.float32(fraction) * scaled
                wide = wide * wide if weight[p] > 0 else np.float32(1)
            else:
                wide = np.float32(1) + (own * scaled) * (own * scaled)
            ratio[p] = wide
            total += difference * difference / wide
            if orders:
                design[p], pull[p] = scaled, difference
        chi2[i] = total
        log_ratio[i] = _log_product(ratio, product)
        if orders:
            for p in range(pixels):
                root = np.float32(1) / np.sqrt(ratio[p])
                design[p] *= root
                pull[p] *= root
            gain, log_det = _calibrated(design, pull, curves)
            chi2[i] -= gain
            log_ratio[i] += log_det
