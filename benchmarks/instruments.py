"""Spectra through DESI's line spread: against Prospector's, their cost, and what it is worth.

    OMP_NUM_THREADS=1 SPS_HOME=... python benchmarks/instruments.py TABLE [--draws 40] [--sn 30]

TABLE is one of `prior=kinematics`. Of draws of that prior at redshifts up to 0.4, the instrument's
dispersion by wavelength beside the galaxy's: |d ln flux| against Prospector's smoothing by a line
spread function (smoothtype "lsf"); CPU time of spectra with over that without an instrument; and of
galaxies of 100 km/s at a signal-to-noise ratio a pixel of 42 Angstrom, fitted by least squares with
and without the curve: the dispersion that comes out, and how far off all columns are, in their
standard deviations.
"""

import argparse
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import yaml

from hpcsbi.grid import REFERENCE_WIDTH, Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.direct.prospector_model import fsps_here, spectrum
from hpcsbi.simulator.galaxy.kinematics import STARS, Kinematics
from hpcsbi.simulator.observation.instruments import LINE_SPREADS
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete
from hpcsbi.survey.record.line_spread import LIGHT, between_knots

CONF = Path(__file__).parents[1] / "conf"
DESI = LINE_SPREADS[1]
GALAXY = 100.0  # km/s
BATCH = 4096


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--sn", type=float, default=30.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = yaml.safe_load((CONF / "prior" / "kinematics.yaml").read_text())
    prior = Prior(settings["columns"], settings["bound_age"])
    engine = load_engine(options.table, prior)
    rng = np.random.default_rng(0)
    theta = prior.sample(BATCH, rng)
    for name in ("sigma_smooth", "eline_sigma"):  # through the instrument still in the table
        theta[:, prior.names.index(name)] = theta[:, prior.names.index(name)].clip(50, 390)
    added = DESI.at_knots(engine.wave, rng.uniform(0, 0.4, BATCH))
    grid = Grid(**open_complete(options.table, "tabulate").settings["grid"])
    agreement(engine, prior, grid, theta[: options.draws], added[: options.draws])
    speed(engine, prior, theta, added)
    worth(engine.double(), prior, theta[: options.draws], added[: options.draws], options.sn)


def agreement(engine, prior, grid, theta, added):
    """Against Prospector, and how far the same is off without the curve."""
    weights = between_knots(engine.wave, fsps_here().ssp.wavelengths)
    direct = []
    for row, curve in zip(theta, added, strict=True):
        square = curve**2 @ weights
        with mock.patch.object(Kinematics, "prospector", through(square)):
            one = dict(zip(prior.names, row, strict=True))
            direct.append(spectrum(engine.physics, grid, one))
    direct = np.array(direct)
    for what, curve in (("with", torch.tensor(added)), ("without", None)):
        error = np.abs(
            np.log(engine.flux(torch.tensor(theta), prior.names, curve).numpy() / direct)
        )
        median, most = np.median(error), np.percentile(error, 99)
        print(f"{what} the curve: |d ln flux| median {median:.1e}, 99 % {most:.1e}")


def through(square):
    """What Prospector is told of a dispersion with the square of an instrument's beside it."""

    def prospector(row, fixed):
        wave = fsps_here().ssp.wavelengths
        width = np.sqrt(row.get(STARS, fixed) ** 2 + square) * wave / LIGHT
        return {STARS: width, "smoothtype": "lsf", "preserve_all_input_frequencies": True}

    return staticmethod(prospector)


def speed(engine, prior, theta, added):
    """CPU seconds with the curve over those without."""
    theta, added = torch.tensor(theta).float(), torch.tensor(added).float()
    seconds = []
    for curve in (None, added):
        engine.flux(theta, prior.names, curve)
        start = time.process_time()
        for _ in range(5):
            engine.flux(theta, prior.names, curve)
        seconds.append(time.process_time() - start)
    print(f"cost with the curve over that without: {seconds[1] / seconds[0]:.2f}")


def worth(engine, prior, theta, added, sn):
    """Fits of galaxies of one dispersion, in the prior's coordinates."""
    theta = theta.copy()
    inferred = [i for i, name in enumerate(prior.names) if name != "noise_floor"]
    for name in ("sigma_smooth", "eline_sigma"):
        theta[:, prior.names.index(name)] = GALAXY
    truth, curves = prior.coordinates(theta), torch.tensor(added)
    width = np.sqrt(np.gradient(engine.wave) / REFERENCE_WIDTH)
    flux = model(engine, prior, truth, curves)
    for what, known in (("with", curves), ("without", None)):
        fit, errors = fitted(engine, prior, truth, flux, sn * width / flux, inferred, known)
        off = (fit - truth)[:, inferred] / errors
        sigma = np.median(prior.theta(fit)[:, prior.names.index("sigma_smooth")])
        error = np.median(errors[:, inferred.index(prior.names.index("sigma_smooth"))])
        told = ", ".join(
            f"{prior.names[i]} {np.median(np.abs(off[:, k])):.1f}" for k, i in enumerate(inferred)
        )
        print(
            f"{what} the curve: {sigma:.0f} km/s of {GALAXY:.0f}, known to "
            f"{100 * (10**error - 1):.1f} %; off by, in errors: {told}"
        )


def model(engine, prior, coordinates, curves):
    theta = torch.tensor(prior.theta(coordinates))
    return engine.flux(theta, prior.names, curves).numpy()


def fitted(engine, prior, start, flux, weight, columns, curves, steps=6, step=1e-4):
    """Gauss-Newton from the truth without noise; the prior's widths hold what is not told."""
    at, scale = start.copy(), (prior.high - prior.low)[columns]
    for _ in range(steps):
        centre = model(engine, prior, at, curves)
        slopes = []
        for k, i in enumerate(columns):
            moved = at.copy()
            moved[:, i] += step * scale[k]
            slopes.append((model(engine, prior, moved, curves) - centre) / step * weight)
        slopes, rest = np.stack(slopes, -1), (flux - centre) * weight
        precision = np.einsum("npi,npj->nij", slopes, slopes) + 12 * np.eye(len(columns))
        gradient = np.einsum("npi,np->ni", slopes, rest)
        gradient -= 12 * (at - start)[:, columns] / scale
        move = np.linalg.solve(precision, gradient[..., None])[..., 0]
        at[:, columns] += (move * scale).clip(-0.2 * scale, 0.2 * scale)
        at = at.clip(prior.low + 2 * step, prior.high - 2 * step)
    variance = np.linalg.inv(precision).diagonal(axis1=1, axis2=2)
    return at, np.sqrt(variance) * scale


if __name__ == "__main__":
    main()
