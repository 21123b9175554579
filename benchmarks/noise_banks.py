"""What a bank of a survey's own noise is worth, and what its sigma says of its galaxies.

    python benchmarks/noise_banks.py SPECTRA.zarr ... [--seconds 200] [--bank 3000]

SPECTRA are stores that `ingest` made. There are too few of them to make a bank, so each is
multiplied: moved in redshift by up to 0.05 (mask and sigma with it), its S/N scattered by 0.3 in
the logarithm, sigma by a tilt of 0.1 and a jitter of 0.03. Every other spectrum makes the bank, the
rest makes the held-out one. Two flows of the survey prior learn for the same CPU time, of the bank
and of the parametric noise; of pairs of either, and with held-out vectors: the mean log density of
the truth (nat, in `Prior.coordinates`), and of the last the share with strong weights of 1000 draws
before any rescue.

Before that: correlation of ln sigma with ln flux, both without what is smooth over 400 Angstrom,
pixel by pixel, of the spectra as they are; with the flux of another spectrum in place of its own as
control; and the power p of sigma as flux^p that fits the smooth part (0: sky, 0.5: photons).
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml
from histories import CONF
from scipy.ndimage import gaussian_filter1d

from hpcsbi.cluster.executors import Serial
from hpcsbi.flags import NOT_INFERRED
from hpcsbi.grid import REFERENCE_WIDTH, Grid
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.noise_bank import BankNoise
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.augment import augment
from hpcsbi.stages.simulate import simulate
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.stages.train import speed, train
from hpcsbi.statistics.importance_weights import strong
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete

SMOOTH = 400 / REFERENCE_WIDTH  # pixels
SCORED, CERTIFIED, DRAWS = 2000, 300, 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spectra", nargs="+")
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--bank", type=int, default=3000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    real = spectra_of(options.spectra)
    print(f"{len(real[0])} real spectra")
    tell_signal(*real[:2])
    with TemporaryDirectory() as name:
        compare(Path(name), real, options)


def spectra_of(paths):
    """Flux, ivar and redshift of all that can be inferred."""
    parts = []
    for path in paths:
        store = open_complete(path, "ingest")
        flux, ivar, zred, flags = (store.read(k) for k in ("flux", "ivar", "zred", "flags"))
        good = (flags & int(NOT_INFERRED) == 0) & (zred > 0) & (zred < 1)
        parts.append((flux[good], ivar[good], zred[good]))
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def tell_signal(flux, ivar):
    """How much sigma follows the spectrum."""
    valid, n = (ivar > 0) & (flux > 0), len(flux)
    level = (flux * valid).sum(1) / valid.sum(1)
    ln_flux = np.log(np.where(valid, flux / level[:, None], 1))
    ln_sigma = -0.5 * np.log(np.where(valid, ivar * level[:, None] ** 2, 1))
    fine = {"own": [], "other": []}
    powers = []
    for i in range(n):
        for which, j in (("own", i), ("other", (i + n // 2) % n)):
            some = valid[i] & valid[j]
            rough = [rest_of(x, some) for x in (ln_sigma[i], ln_flux[j])]
            fine[which].append(np.corrcoef(*rough)[0, 1])
        some = valid[i]
        powers.append(np.polyfit(ln_flux[i][some], ln_sigma[i][some], 1)[0])
    for which, values in fine.items():
        low, middle, high = np.quantile(values, [0.16, 0.5, 0.84])
        print(f"correlation with the {which} flux: {middle:.2f} ({low:.2f} to {high:.2f})")
    low, middle, high = np.quantile(powers, [0.16, 0.5, 0.84])
    print(f"power of the flux: {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


def rest_of(values, valid):
    """What is left of valid pixels without their smooth part."""
    weight = gaussian_filter1d(valid.astype(float), SMOOTH)
    smooth = gaussian_filter1d(np.where(valid, values, 0), SMOOTH) / np.maximum(weight, 1e-9)
    return (values - smooth)[valid]


def multiplied(flux, ivar, zred, n, rng):
    """Spectra that stand for n of a survey, made of a few; see the top of this file."""
    wave = Grid().wave
    rows = rng.integers(len(flux), size=n)
    new = np.maximum(zred[rows] + rng.uniform(-0.05, 0.05, n), 0.001)
    moved = [], []
    for i, z in zip(rows, new, strict=True):
        at = wave * (1 + z) / (1 + zred[i])
        valid = np.interp(at, wave, (ivar[i] > 0).astype(float), 0, 0) > 0.5
        sigma = np.where(ivar[i] > 0, ivar[i], np.nan) ** -0.5
        known = np.isfinite(sigma)
        sigma = np.interp(at, wave[known], sigma[known])
        x = np.linspace(-1, 1, len(wave))
        change = 0.3 * rng.normal() + 0.1 * rng.normal() * x + 0.03 * rng.normal(size=len(wave))
        moved[0].append(np.where(valid, np.interp(at, wave, flux[i]), 0))
        moved[1].append(np.where(valid, (sigma * np.exp(change)) ** -2.0, 0))
    good = [(ivar > 0).sum() >= 20 for ivar in moved[1]]
    return np.array(moved[0])[good], np.array(moved[1])[good], new[good]


def store_of(path, flux, ivar, zred):
    """A store as `ingest` makes it."""
    n, grid = len(flux), Grid()
    pixels, row = {"row": n, "pixel": grid.pixels}, {"row": n}
    arrays = {name: Array(pixels, "float32") for name in ("flux", "ivar")}
    arrays |= {"zred": Array(row, "float64"), "flags": Array(row, "int32")}
    store = create(path, arrays, {"grid": grid.settings()}, n)
    flags = np.zeros(n, np.int32)
    store.write(0, flux=flux.astype("f4"), ivar=ivar.astype("f4"), zred=zred, flags=flags)
    return str(path)


def compare(folder, real, options):
    """Two flows on pairs of the noise that each learned, and of held-out vectors."""
    rng, shared = np.random.default_rng(0), {"calibration": 0.04}
    banks = [
        store_of(folder / f"{k}.zarr", *multiplied(*(x[k::2] for x in real), options.bank, rng))
        for k in (0, 1)
    ]
    noises = {
        "parametric": SurveyNoise(**shared),
        "bank": BankNoise(banks[0], **shared),
        "held-out bank": BankNoise(banks[1], **shared),
    }
    settings = yaml.safe_load((CONF / "prior" / "survey.yaml").read_text())
    prior = Prior(**{key: value for key, value in settings.items() if key[0] != "_"})
    simulations, table = str(folder / "simulations.zarr"), str(SHIPPED)
    simulate(
        simulations, "table", 2 * SCORED, None, 4096, prior, Grid(), Physics(), table, 0, Serial()
    )
    pairs = {name: str(folder / f"pairs of {name}.zarr") for name in noises}
    for name, noise in noises.items():
        augment(pairs[name], simulations, noise, "own", 0, 1000, SCORED, 4096, 0, Serial())
    for name in ("parametric", "bank"):
        known = pairs[name], table, "fresh", Flow(), "projection"
        steps = int(options.seconds / cost_of_a_step(*known))
        flow = str(folder / f"flow of {name}")
        train(flow, *known, steps, 512, 2e-3, 0, 1, 100_000)
        posterior = load_posterior(flow)
        for tried in noises:
            words = judged(posterior, pairs[tried], tried not in ("parametric", "bank"))
            print(f"{name} flow, {steps} steps, on {tried}: {words}", flush=True)


def cost_of_a_step(*known):
    """CPU seconds, without what comes once."""
    spent = []
    for steps in (20, 20, 120):  # the first compiles
        began = time.process_time()
        speed(*known, 512, 1, 10, steps)
        spent.append(time.process_time() - began)
    return (spent[2] - spent[1]) / 100


def judged(posterior, path, certified):
    """Score and share of strong weights on the test pairs of a store."""
    store = open_complete(path, "augment")
    rows = slice(store.rows - SCORED, store.rows)
    theta, flux, ivar, zred = (store.read(k, rows) for k in ("theta", "flux", "ivar", "zred"))
    truth = posterior.prior.coordinates(theta)
    score = posterior.log_prob(truth, flux, ivar)
    beyond = posterior.model.noise.beyond(flux, ivar, posterior.grid.wave, zred).mean()
    error = score.std() / len(score) ** 0.5
    words = f"{score.mean():.3f} +- {error:.3f} nat, beyond {beyond:.3f}"
    if not certified:
        return words
    batch = Batch(flux, ivar, np.arange(SCORED), zred.astype(float))
    some = batch[np.flatnonzero(posterior.prior.inside(truth, batch.zred))[:CERTIFIED]]
    drawn = posterior.sample(some, DRAWS, 50)
    weights = certify(posterior, posterior.likelihood, drawn, some, [0.5], None).before
    share = strong(weights["ess"], weights["pareto_k"]).mean()
    return f"{words}, strong {share:.3f}, ESS {np.median(weights['ess']):.0f} of {DRAWS}"


if __name__ == "__main__":
    main()
