"""Amplitudes of many templates integrated out, of DRAWS spectra at once: the normal equations.

`likelihood.Likelihood.of_model` says it in matrices. A template that reaches few pixels meets few
others, so the matrix is a band, with a border of those that reach all pixels; both are linear in
(model / sigma)^2, but for templates of each spectrum's own, which end the border. Every operation
stands in a loop over draws, which any processor does in vectors without changing a sum's order.
"""

import math

import numpy as np

from hpcsbi.kernels.arithmetic import DRAWS, compiled

__all__ = ["integrate"]

EVERY = 3  # products of so many diagonals of float32 numbers squared stay within float64


@compiled
def integrate(
    pull: np.ndarray,
    model: np.ndarray,
    curves: np.ndarray,
    first: np.ndarray,
    local: np.ndarray,
    spread: np.ndarray,
    additive: np.ndarray,
    chi2: np.ndarray,
    log_ratio: np.ndarray,
) -> None:
    """Take from chi squared what the amplitudes do, and add ln det of their normal matrix.

    The matrix is 1 + D D^T, with D = templates * deviations * model / sigma, and is decomposed into
    L diag L^T. Domain: any numbers; what is not finite gives NaN or inf.

    Arguments:
        pull, model: residual and model over sigma, 0 where masked, float32, shape (n, pixels).
        curves: templates that reach all pixels, times their standard deviations, float32, shape
            (orders, pixels).
        first: first of the local templates that reach a pixel, shape (pixels,).
        local: that one and those after it, float64, shape (pixels, reach); of a reach of 0, where
            `first` is 0 as well, there is none.
        spread: standard deviation of the local templates' amplitudes, float32, shape (n,).
        additive: templates over sigma that are no factor of the model, times their standard
            deviations, float32, shape (n, some, pixels).
        chi2, log_ratio: changed, float64, shape (n,).
    """
    pixels, everywhere = pull.shape[1], curves.astype(np.float64)
    # Arrays one by one: of parts of a larger one the compiler does not know that they are whole.
    light, cross = np.zeros((pixels, DRAWS)), np.zeros((pixels, DRAWS))
    templates = first[pixels - 1] + local.shape[1]
    border = len(curves) + additive.shape[1]
    rows = np.empty((templates + border, local.shape[1] + border + 1, DRAWS))
    deviation, gains, log_dets = np.zeros(DRAWS), np.empty(DRAWS), np.empty(DRAWS)
    for start in range(0, len(pull), DRAWS):
        draws = min(DRAWS, len(pull) - start)
        for p in range(pixels):
            for s in range(draws):
                scaled = np.float64(model[start + s, p])
                light[p, s] = scaled * scaled
                cross[p, s] = scaled * np.float64(pull[start + s, p])
        for s in range(draws):
            deviation[s] = spread[start + s]
        _normal_equations(first, local, everywhere, light, cross, templates, rows)
        if additive.shape[1]:
            some = slice(start, start + draws)
            _of_own(first, local, everywhere, model[some], pull[some], additive[some], rows)
        _decompose(rows, templates, local.shape[1], deviation, gains, log_dets)
        for s in range(draws):
            chi2[start + s] -= gains[s]
            log_ratio[start + s] += log_dets[s]


@compiled
def _normal_equations(
    first: np.ndarray,
    local: np.ndarray,
    curves: np.ndarray,
    light: np.ndarray,
    cross: np.ndarray,
    templates: int,
    rows: np.ndarray,
) -> None:
    """D D^T without deviations: each row from its diagonal on, the border, and the right side.

    Arguments:
        light, cross: (model / sigma)^2 and model * residual / sigma^2, shape (pixels, DRAWS).
        templates: that reach few pixels.
        rows: filled, shape (templates + border, reach + border + 1, DRAWS); the border ends with
            additive templates, which are 0 here.
    """
    (pixels, reach), orders, last = local.shape, len(curves), rows.shape[1] - 1
    rows[:] = 0.0
    for p in range(pixels):
        squares, sides = light[p], cross[p]
        for i in range(reach):
            k, value = first[p] + i, local[p, i]
            for j in range(i, reach):
                _add(value * local[p, j], squares, rows[k, j - i])
            for j in range(orders):
                _add(value * curves[j, p], squares, rows[k, reach + j])
            _add(value, sides, rows[k, last])
        for i in range(orders):
            value = curves[i, p]
            for j in range(i, orders):
                _add(value * curves[j, p], squares, rows[templates + i, reach + j])
            _add(value, sides, rows[templates + i, last])


@compiled
def _of_own(
    first: np.ndarray,
    local: np.ndarray,
    curves: np.ndarray,
    model: np.ndarray,
    pull: np.ndarray,
    additive: np.ndarray,
    rows: np.ndarray,
) -> None:
    """What additive templates put into the border; arguments of `integrate`, of some spectra."""
    reach, orders, last = local.shape[1], len(curves), rows.shape[1] - 1
    draws, some = additive.shape[:2]
    begin, templates = reach + orders, len(rows) - orders - some
    own, light = np.zeros(DRAWS), np.zeros(DRAWS)
    for i in range(some):  # one after the other: of all at once the cache would hold no line
        row, (begins, ends) = templates + orders + i, _ends(additive[:, i])
        for p in range(begins, ends):
            for s in range(draws):
                own[s] = additive[s, i, p]
                light[s] = own[s] * model[s, p]
            for j in range(reach):
                _add(local[p, j], light, rows[first[p] + j, begin + i])
            for j in range(orders):
                _add(curves[j, p], light, rows[templates + j, begin + i])
            for s in range(draws):
                rows[row, last, s] += own[s] * pull[s, p]
            for j in range(i, some):
                for s in range(draws):
                    rows[row, begin + j, s] += own[s] * additive[s, j, p]


@compiled
def _ends(templates: np.ndarray) -> tuple[int, int]:
    """First pixel that any of some templates reaches, and the one after the last: few, of the sky.

    Arguments:
        templates: shape (n, pixels).
    """
    pixels = templates.shape[1]
    begins, ends = pixels, 0
    for s in range(len(templates)):
        p = 0
        while p < begins and templates[s, p] == 0:
            p += 1
        begins, p = p, pixels
        while p > max(begins, ends) and templates[s, p - 1] == 0:
            p -= 1
        ends = max(ends, p)
    return begins, ends


@compiled
def _decompose(
    rows: np.ndarray,
    templates: int,
    reach: int,
    deviation: np.ndarray,
    gain: np.ndarray,
    log_det: np.ndarray,
) -> None:
    """L diag L^T of 1 + D D^T in the place of D D^T, and what follows from it, (DRAWS,) each."""
    last = rows.shape[1] - 1
    inverse, factor, determinant = np.empty(DRAWS), np.empty(DRAWS), np.ones(DRAWS)
    for s in range(DRAWS):
        gain[s], log_det[s] = 0.0, 0.0
    for k in range(templates):
        for j in range(last + 1):
            _scale(rows[k, j], deviation)
            if j < reach:
                _scale(rows[k, j], deviation)
    for k in range(len(rows)):
        # Of a template: the diagonal, those after it, the border. Of the border: the rest of it.
        begin = 0 if k < templates else reach + k - templates
        _pivot(rows[k, begin], rows[k, last], inverse, determinant, gain)
        if k % EVERY == EVERY - 1 or k == len(rows) - 1:
            _to_logarithm(determinant, log_det)
        _eliminate(rows, k, templates, reach, begin + 1, inverse, factor)


@compiled
def _eliminate(
    rows: np.ndarray,
    k: int,
    templates: int,
    reach: int,
    begin: int,
    inverse: np.ndarray,
    factor: np.ndarray,
) -> None:
    """Take row k out of the rows below it that it meets."""
    last = rows.shape[1] - 1
    for i in range(begin, min(reach, templates - k)):
        _multiply(rows[k, i], inverse, factor)
        for j in range(i, reach):
            _subtract(factor, rows[k, j], rows[k + i, j - i])
        for j in range(reach, last + 1):
            _subtract(factor, rows[k, j], rows[k + i, j])
    for i in range(max(begin, reach), last):
        _multiply(rows[k, i], inverse, factor)
        for j in range(i, last + 1):
            _subtract(factor, rows[k, j], rows[templates + i - reach, j])


@compiled
def _add(value: float, x: np.ndarray, out: np.ndarray) -> None:
    for s in range(DRAWS):
        out[s] += value * x[s]


@compiled
def _subtract(factor: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    for s in range(DRAWS):
        out[s] -= factor[s] * x[s]


@compiled
def _multiply(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for s in range(DRAWS):
        out[s] = x[s] * y[s]


@compiled
def _scale(x: np.ndarray, factor: np.ndarray) -> None:
    for s in range(DRAWS):
        x[s] *= factor[s]


@compiled
def _pivot(
    diagonal: np.ndarray,
    side: np.ndarray,
    inverse: np.ndarray,
    determinant: np.ndarray,
    gain: np.ndarray,
) -> None:
    """One row of L diag L^T: adds the unit matrix, and takes what its diagonal decides."""
    for s in range(DRAWS):
        diagonal[s] += 1.0
        inverse[s] = 1.0 / diagonal[s]
        determinant[s] *= diagonal[s]
        gain[s] += side[s] * side[s] * inverse[s]


@compiled
def _to_logarithm(determinant: np.ndarray, log_det: np.ndarray) -> None:
    for s in range(DRAWS):
        log_det[s] += math.log(determinant[s])
        determinant[s] = 1.0
