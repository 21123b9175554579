"""Draws against a spectrum whose likelihood scipy knows, and the bytes that kernels make of it."""

import hashlib
import inspect

import numpy as np
from scipy import stats

from hpcsbi.kernels.amplitudes import BEND, MODEL, ROOT, SLOPE
from hpcsbi.kernels.attenuation import attenuate
from hpcsbi.kernels.likelihood import pulls
from hpcsbi.kernels.logarithm import project_log

ARGUMENTS = tuple(inspect.signature(pulls.py_func).parameters)[:-2]


def case(pixels, snr, floor, orders=0, n=8, seed=0, smooth=False):
    """Arguments of `pulls` for draws about a truth, and the residuals' likelihood by scipy.

    That is without the errors of curves (`orders`), and of templates of all kinds (`smooth`).
    """
    rng = np.random.default_rng(seed)
    k = np.linspace(1.5, 0.5, pixels).astype(np.float32)
    bare = rng.uniform(0.5, 2, (n, pixels)).astype(np.float32)
    mass, dust2 = 10 ** rng.uniform(9.99, 10.01, n), rng.uniform(0.5, 0.6, n).astype(np.float32)
    model = mass[:, None] * bare * np.exp(-dust2[:, None] * k.astype(float))
    sigma = np.median(model, 0) / snr
    flux = model[0] + np.hypot(sigma, floor * model[0]) * rng.normal(size=pixels)
    seen, weight = (flux / sigma).astype(np.float32), (1 / sigma).astype(np.float32)
    curves = 0.04 * rng.normal(size=(orders, pixels)).astype(np.float32)
    templates, base_of, free = np.empty((0, pixels)), *np.empty((2, 0), np.int64)
    steps = np.empty(0, np.float32)
    if smooth:
        places, centres = np.arange(pixels), np.arange(0, pixels, 5)
        splines = np.exp(-((places - centres[:, None]) ** 2) / 50)
        splines[splines < 0.05] = 0
        sky, moved = 2.0 * (abs(places - centres[3::9, None]) < 4), np.full((2, pixels), 1e-4)
        templates = np.concatenate([curves, splines, sky, moved])
        base_of = np.repeat([MODEL, ROOT, SLOPE, BEND], [orders + len(splines), len(sky), 1, 1])
        free = (np.arange(len(templates)) // len(splines) == 0).astype(np.int64)
        curves, steps = curves[:0], np.full(pixels, 10.0, np.float32)
    errors = templates, base_of, free, np.full(n, 0.01, np.float32)
    errors += np.ones(pixels, np.float32), steps
    floors = np.full(n, floor, np.float32)
    arguments = bare, mass, dust2, k, seen, weight, 0.0, floors, curves, *errors
    variance = sigma**2 + (floor * model) ** 2
    right = stats.norm.logpdf(flux, model, np.sqrt(variance)).sum(1)
    return arguments, right, -np.log(sigma).sum() - pixels / 2 * np.log(2 * np.pi)


def found(arguments):
    """Chi squared and the sum of logarithms."""
    out = np.empty((2, len(arguments[0])))
    pulls(*arguments, *out)
    return out


def digest():
    """Of the bytes that the kernels make."""
    bytes_of = hashlib.blake2b()
    for pixels in (37, 138, 500):
        for orders in (0, 3):
            bytes_of.update(found(case(pixels, 50, 0.02, orders)[0]).tobytes())
            bytes_of.update(found(case(pixels, 50, 0.02, orders, smooth=True)[0]).tobytes())
        flux = case(pixels, 1, 0, n=40)[0][0]
        out = np.empty((40, 2), np.float32)
        project_log(flux, np.stack([np.ones(pixels), np.arange(pixels)]).astype("f4"), out)
        bytes_of.update(out.tobytes())
        rng, light = np.random.default_rng(1), np.empty((9, pixels), np.float32)
        numbers = [*rng.random((2, 9, pixels)), *rng.random((3, 9)), *rng.random((4, pixels))]
        attenuate(*(each.astype("f4") for each in numbers), np.array([0.85, -1.9]), light)
        bytes_of.update(light.tobytes())
    return bytes_of.hexdigest()
