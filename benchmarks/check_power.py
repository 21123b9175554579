"""How often the checks of residuals raise an alarm: rightly fitted spectra, and wrong ones.

    python benchmarks/check_power.py FLOW_FOLDER [--objects 1000] [--wrong 200]
        [--spectra STORE ...]

Certified posteriors as `infer` publishes them. Right spectra are draws of the flow's prior and
noise: shares of p-values below 1 % and 0.1 %. Wrong ones are the same at S/N above 30 a pixel and
a floor of 1 %, with a redshift that is off, wavelengths shuffled, another dust law, broad lines, a
black body in the place of the galaxy, and post-starburst histories: shares below 0.1 %, with the
flag FLOOR_HIGH, and of rows with any of these. STORE is one of ingest: p-values, floor and flags of
each of its spectra. Last, what the checks cost.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from histories import CONF
from negative_controls import STEEPER, observed

from hpcsbi.flags import names
from hpcsbi.inference.columns.row_checks import (
    HIGH_FLOOR,
    P_VALUES,
    error_fractions,
    outside_training,
    posterior_flags,
    predictive_columns,
)
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.run.flows import load_engine, load_posterior
from hpcsbi.run.folder import FlowFolder
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.observation.survey_sigma import mean_snr
from hpcsbi.simulator.probability.residual_checks import residual_p_values
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

DRAWS, CAP, LEVELS = 1000, 20, [0.16, 0.5, 0.84]
BRIGHT, FLOOR = 30.0, 0.01  # S/N a pixel of wrong spectra, and the floor that they have
SHIFTS = (0.003, 0.02)  # of the redshift
BROAD = {"hbeta": 30.0, "halpha_nii": 100.0}  # equivalent widths, Angstrom, of 2500 km/s dispersion
TEMPERATURES = (4500.0, 8000.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--wrong", type=int, default=200)
    parser.add_argument("--spectra", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    theta = posterior.prior.sample(options.objects, np.random.default_rng(0))
    print("| right spectra | " + " | ".join(P_VALUES) + " |")
    right = checked(posterior, *observed(posterior, theta))
    for limit in (0.01, 0.001):
        shares = [f"{np.mean(right[name] < limit):.4f}" for name in P_VALUES]
        print(f"| below {limit} | " + " | ".join(shares) + " |", flush=True)
    print("| wrong spectra, below 0.001 | " + " | ".join(P_VALUES) + " | FLOOR_HIGH | any |")
    for name, flux, ivar in wrong_spectra(options.flow, posterior, options.wrong):
        columns = checked(posterior, flux, ivar)
        low = {key: columns[key] < 1e-3 for key in P_VALUES}
        floor = error_fractions(posterior.names, columns["medians"])
        low["FLOOR_HIGH"] = np.zeros(len(flux), bool) if floor is None else floor > HIGH_FLOOR
        low["any"] = np.any(list(low.values()), axis=0)
        shares = [f"{share.mean():.2f}" for share in low.values()]
        print(f"| {name} ({len(flux)}) | " + " | ".join(shares) + " |", flush=True)
    for path in options.spectra:
        real(posterior, path)
    flux, ivar = observed(posterior, theta)
    draws = np.repeat(theta[:, None], 64, 1)
    began = time.process_time()
    residual_p_values(posterior.likelihood, draws, flux, ivar, np.arange(len(flux)))
    print(f"{1e3 * (time.process_time() - began) / len(flux):.2f} CPU ms a right spectrum")


def checked(posterior, flux: np.ndarray, ivar: np.ndarray, zred: np.ndarray | None = None) -> dict:
    """Columns of certified posteriors, and medians of theta."""
    batch = Batch(flux, ivar, np.arange(len(flux)), zred)
    drawn = posterior.sample(batch, DRAWS, CAP)
    certificate = certify(posterior, posterior.likelihood, drawn, batch, LEVELS)
    columns = predictive_columns(posterior.prior, posterior.likelihood, certificate.draws, batch)
    return columns | {"draws": certificate.draws, "medians": certificate.quantiles[1]}


def wrong_spectra(flow: str, posterior, n: int):
    """Name, flux and ivar of each kind, those of S/N above BRIGHT."""
    rng, wave = np.random.default_rng(1), posterior.grid.wave
    theta = posterior.prior.sample(6 * n, rng)
    if "noise_floor" in posterior.names:  # nothing shows through a large one
        theta[:, posterior.names.index("noise_floor")] = FLOOR
    flux, ivar = observed(posterior, theta)
    kept = np.flatnonzero(mean_snr(flux, ivar, np.ones(len(wave))) > BRIGHT)[:n]
    flux, ivar = flux[kept], ivar[kept]
    yield "right", flux, ivar
    for shift in SHIFTS:
        yield f"redshift off by {shift}", *moved(wave, flux, ivar, shift)
    order = rng.permutation(len(wave))
    yield "shuffled wavelengths", flux[:, order], ivar[:, order]
    steep = observed(posterior, theta, STEEPER)
    dusty = kept[theta[kept, posterior.names.index("dust2")] > 1]
    yield "another dust law, dust2 > 1", *(a[dusty] for a in steep)
    yield "broad lines", *changed(flux, ivar, lines(wave))
    with torch.no_grad():
        model = posterior.ssp.flux(torch.tensor(theta[kept]).float(), posterior.names).numpy()
    for temperature in TEMPERATURES:
        body = wave**-5.0 / np.expm1(1.4388e8 / (wave * temperature))
        level = model.mean(1, keepdims=True) * body / body.mean()
        yield f"black body, {temperature:.0f} K", *changed(flux, ivar, level / model - 1)
    yield "post-starburst", *post_starbursts(flow, posterior, n, rng)


def moved(wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, shift: float):
    """Spectra at a redshift that is too low; a pixel is valid where both neighbours are."""
    place = np.interp(wave / (1 + shift), wave, np.arange(len(wave)))
    left, part = np.minimum(place.astype(int), len(wave) - 2), place % 1
    nearest = np.rint(place).astype(int)
    mixed = flux[:, left] * (1 - part) + flux[:, left + 1] * part
    good = (ivar[:, left] > 0) & (ivar[:, left + 1] > 0)
    return np.where(good, mixed, 0), np.where(good, ivar[:, nearest], 0)


def changed(flux: np.ndarray, ivar: np.ndarray, part: np.ndarray):
    """Spectra times a factor, at their S/N."""
    return (flux * (1 + part)).astype(np.float32), (ivar / (1 + part) ** 2).astype(np.float32)


def lines(wave: np.ndarray) -> np.ndarray:
    """Broad lines over the continuum."""
    total = np.zeros(len(wave))
    for name, width in BROAD.items():
        centre = np.mean(BLENDS[name])
        sigma = centre * 2500 / 299792
        total += (
            width / (sigma * np.sqrt(2 * np.pi)) * np.exp(-(((wave - centre) / sigma) ** 2) / 2)
        )
    return total


def post_starbursts(flow: str, posterior, n: int, rng: np.random.Generator):
    """Of conf/prior/post_starburst, near us, with a burst that ended 0.1 to 1 Gyr ago."""
    settings = yaml.safe_load((CONF / "prior" / "post_starburst.yaml").read_text())
    prior = Prior(settings["columns"], settings["bound_age"])
    engine = load_engine(FlowFolder(Path(flow)).table, prior)
    theta = prior.sample(6 * n, rng, np.full(6 * n, 0.05))
    column = {name: theta[:, i] for i, name in enumerate(prior.names)}
    column["tlast"][:] = rng.uniform(0.1, 1.0, len(theta))
    column["logsfr_ratio_young"][:] = rng.uniform(-3, -1.5, len(theta))
    column["logsfr_ratio_1"][:] = rng.uniform(0.5, 1.5, len(theta))
    column["dust2"][:] = rng.uniform(0, 0.5, len(theta))
    rows = torch.from_numpy(theta).float()
    with torch.no_grad():
        clean = engine.flux(rows, prior.names)
    wave, generator = torch.from_numpy(posterior.grid.wave).float(), torch.Generator()
    floor = torch.full((len(rows),), FLOOR)
    flux, ivar, _ = posterior.model.noise(clean, wave, floor, generator.manual_seed(2))
    flux, ivar = flux.numpy(), ivar.numpy()
    kept = np.flatnonzero(mean_snr(flux, ivar, np.ones(len(wave))) > BRIGHT)[:n]
    return flux[kept], ivar[kept]


def real(posterior, path: str) -> None:
    """One line for each spectrum."""
    store = open_complete(path, "ingest")
    flux, ivar, zred, ids = (store.read(name) for name in ("flux", "ivar", "zred", "id"))
    good = posterior.usable(flux, ivar) & np.isfinite(zred)
    flux, ivar, zred, ids = flux[good], ivar[good], zred[good].astype(float), ids[good]
    columns = checked(posterior, flux, ivar, zred)
    floor = error_fractions(posterior.names, columns["medians"])
    flags = posterior_flags(posterior, columns["draws"], columns, floor, zred)
    outside = outside_training(posterior, Batch(flux, ivar, np.arange(len(flux)), zred))
    snr = mean_snr(flux, ivar, np.ones(flux.shape[1]))
    print("| " + path + " | z | S/N | floor | " + " | ".join(P_VALUES) + " | flags |")
    for i, name in enumerate(ids):
        p = " | ".join(f"{columns[key][i]:.4f}" for key in P_VALUES)
        told = " ".join(names(flags[i]) + ["OUTSIDE_TRAINING"] * bool(outside[i]))
        part = f"{100 * floor[i]:.1f} %" if floor is not None else ""
        print(f"| {name} | {zred[i]:.3f} | {snr[i]:.0f} | {part} | {p} | {told} |")


if __name__ == "__main__":
    main()
