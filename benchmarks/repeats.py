"""What two spectra of one galaxy tell of its errors: real repeats, and simulated ones.

    python benchmarks/repeats.py FLOW_FOLDER SPECTRA.zarr ... [--galaxies 2000] [--rank 2]
        [--strength 1]

SPECTRA are stores of ingest, some of whose spectra are of one place. A repeat shares the galaxy's
theta and what the model is off by; photons and the flux calibration are new. So the difference of
two posterior means is less than the posteriors' widths have it, and is to be held against what
the first night says of the second: draws of theta, of the floor's realisation and of the learned
amplitudes, given the first spectrum, make spectra with the sigma and mask of the second and a new
calibration, whose posterior means are computed as that of the second spectrum is. Among these it
is one more where the model is right, whatever prior and shape of the posterior are.

Printed of each quantity: the difference over the widths of both posteriors, and the normal score
of the second mean among those predicted (of real pairs both ways). Real: under the free white floor
and with an error that all other objects taught. Simulated: one theta, two exposures (S/N 20 to 300)
of its galaxy, the size of the first (median over 0.67) and the rms of the second, one if all is
right: where noise alone differs and the model is right; with a white error of the model, 0.3 to
2 %, that both share; and, as the negative control, quoted sigmas that are 20 % too small.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from injections import (
    CAP,
    columns_of,
    draws_of,
    learned,
    names_of,
    real_galaxies,
    spent,
    whole,
)
from scipy.stats import norm

from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import normalised, pareto_smoothed

DRAWS, CHUNK = 400, 25
PREDICTED, OF_REAL = 9, 400  # second nights that a first one predicts
FLOOR, UNDERSTATED = (0.003, 0.02), 0.8
SNR = (20.0, 300.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("spectra", nargs="+")
    parser.add_argument("--galaxies", type=int, default=2000)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--strength", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    posterior = load_posterior(options.flow)
    names = names_of(posterior)
    tell_real(posterior, options, names)
    print(spent(began), flush=True)
    for what, floor, understated in (
        ("noise alone differs, the model is right", None, 1.0),
        ("noise alone differs, both share an error of the model", FLOOR, 1.0),
        (f"as the first, sigma understated by {1 - UNDERSTATED:.0%}", None, UNDERSTATED),
    ):
        first, second = nights(posterior, options.galaxies, floor, understated)
        tell(what, names, *pulls(posterior, posterior.likelihood, first, second, PREDICTED))
        print(f"    {spent(began)}", flush=True)


def tell(what: str, names: list[str], over_widths: np.ndarray, scores: np.ndarray) -> None:
    """Size of both numbers, of all galaxies."""
    known = np.isfinite(scores).all(1)
    middle = np.median(np.abs(over_widths[known]), 0) / norm.ppf(0.75)
    rms = [middle, np.sqrt((scores[known] ** 2).mean(0))]
    error = 1 / np.sqrt(2 * known.sum())
    print(f"{what}: {known.sum()} galaxies, {(~known).sum()} weak; a rms of 1 is so to {error:.3f}")
    print(f"    {'':26s} over widths  predicted")
    for name, *values in zip(names, *rms, strict=True):
        print(f"    {name:26s} {values[0]:11.3f} {values[1]:10.3f}")
    print(f"    {'mean':26s} {rms[0].mean():11.3f} {rms[1].mean():10.3f}")


def tell_real(posterior: Posterior, options: argparse.Namespace, names: list[str]) -> None:
    """Pairs of one object, without and with an error that others taught."""
    galaxies = real_galaxies(posterior, options.spectra)
    objects, counts = np.unique(galaxies.objects, return_counts=True)
    for name in objects[counts == 2]:
        pair = np.flatnonzero(galaxies.objects == name)
        error = learned(posterior, galaxies[galaxies.objects != name], options)
        columns = []
        for noise in (posterior.model.noise, replace(posterior.model.noise, learned=error)):
            likelihood = of_simulator(posterior.ssp, posterior.names, noise)
            for order in (pair, pair[::-1]):
                first, second = (galaxies.batch[order[i : i + 1]] for i in (0, 1))
                columns.append(pulls(posterior, likelihood, first, second, OF_REAL))
        print(f"{' and '.join(galaxies.ids[pair])}: over widths; predicted by either")
        print(f"    {'':26s} {'free floor':24s} learned error")
        for i, quantity in enumerate(names):
            words = [f"{widths[0, i]:+6.2f}, {score[0, i]:+6.2f}" for widths, score in columns]
            one_way = [word.split(", ") for word in words]
            text = [
                f"{a[0]};{a[1]}{b[1]}" for a, b in zip(one_way[::2], one_way[1::2], strict=True)
            ]
            print(f"    {quantity:26s} {'     '.join(text)}")


def nights(
    posterior: Posterior, n: int, floor: tuple[float, float] | None, understated: float
) -> list[Batch]:
    """Two exposures of n galaxies whose model error, if any, they share."""
    rng = np.random.default_rng(0)
    zred = rng.uniform(0.01, 0.3, n)
    rows = torch.tensor(posterior.prior.sample(n, rng, zred)).float()
    with torch.no_grad():
        clean = posterior.ssp.flux(rows, posterior.names)
    if floor is not None:
        size = np.exp(rng.uniform(*np.log(floor), (n, 1)))
        clean = clean * torch.tensor(1 + size * rng.normal(size=clean.shape)).float()
    noise = replace(posterior.model.noise, snr=SNR, cut=0.0)
    wave, told = torch.tensor(posterior.grid.wave).float(), torch.tensor(zred).float()
    batches = []
    for night in (1, 2):
        generator = torch.Generator().manual_seed(night)
        flux, ivar, _ = noise(clean, wave, None, generator, told)
        seeds = np.arange(n) + night * n
        batches.append(Batch(flux.numpy(), (ivar / understated**2).numpy(), seeds, zred))
    return batches


def pulls(
    posterior: Posterior, likelihood: Likelihood, first: Batch, second: Batch, predicted: int
) -> tuple[np.ndarray, np.ndarray]:
    """Differences over widths, and scores among predicted ones, shapes (objects, quantities)."""
    parts = []
    for start in range(0, len(first), CHUNK):
        one, other = (batch[start : start + CHUNK] for batch in (first, second))
        coordinates, strong = draws_of(posterior, likelihood, one)
        rng = np.random.default_rng(int(one.seeds[0]))
        again = second_nights(posterior, likelihood, one, other, coordinates[:, :predicted], rng)
        mean, width = summaries(posterior, likelihood, again)
        mean, width = (x.reshape(len(one), predicted + 1, -1) for x in (mean, width))
        values = whole(posterior, coordinates, columns_of(posterior))
        difference = mean[:, 0] - values.mean(1)
        over_widths = difference / np.hypot(width[:, 0], values.std(1))
        below = (mean[:, 1:] < mean[:, :1]).sum(1) + rng.random(difference.shape)
        scores = norm.ppf(below / (predicted + 1))
        weak = ~strong[:, None]
        parts.append([np.where(weak, np.nan, x) for x in (over_widths, scores)])
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


@torch.no_grad()
def second_nights(
    posterior: Posterior,
    likelihood: Likelihood,
    first: Batch,
    second: Batch,
    coordinates: np.ndarray,
    rng: np.random.Generator,
) -> Batch:
    """The second spectrum of each object, and after it those that the first one predicts."""
    theta = torch.tensor(posterior.prior.theta(coordinates, np.float32))
    seen = torch.tensor(first.flux), torch.tensor(first.ivar)
    model, floor = likelihood.spectra(theta), likelihood.floor(theta)
    pull, scaled, _, own = likelihood.over_sigma(*seen, model, theta)
    of = likelihood.amplitudes
    mean, covariance = of.moments(pull, scaled, likelihood.model_error(theta), own)
    root = np.linalg.cholesky(covariance.numpy())
    amplitudes = mean.numpy() + (root @ rng.normal(size=(*mean.shape, 1)))[..., 0]
    curves, size = of.curves.numpy(), len(of.curves[: of.of_lines.start])
    model = model.double().numpy() * likelihood.factor.numpy()
    valid = first.ivar[:, None] > 0
    variance = 1 / np.where(valid, first.ivar[:, None], 1).astype(float)
    white = (floor.double().numpy()[..., None] * model) ** 2
    share = np.where(valid, white / (white + variance), 0)
    left = first.flux[:, None] - model * (1 + amplitudes @ curves)
    shared = share * left + np.sqrt(white * (1 - share)) * rng.normal(size=model.shape)
    amplitudes[..., :size] = rng.normal(size=(*mean.shape[:2], size))  # a new calibration
    good = second.ivar[:, None] > 0
    sigma = np.where(good, second.ivar[:, None], 1).astype(float) ** -0.5
    flux = model * (1 + amplitudes @ curves) + shared + sigma * rng.normal(size=model.shape)
    flux = np.concatenate([second.flux[:, None], np.where(good, flux, 0)], 1)
    ivar = np.broadcast_to(second.ivar[:, None], flux.shape)
    n = flux.shape[1]
    flat = [each.reshape(-1, flux.shape[-1]).astype(np.float32) for each in (flux, ivar)]
    seeds = rng.integers(2**62, size=len(flat[0]))
    return Batch(*flat, seeds, np.repeat(second.zred, n))


def summaries(
    posterior: Posterior, likelihood: Likelihood, batch: Batch
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and width of each quantity by the flow's draws and weights, (objects, quantities)."""
    drawn = posterior.sample(batch, DRAWS, CAP)
    theta = torch.tensor(posterior.prior.theta(drawn.coordinates, np.float32))
    with torch.no_grad():
        log_likelihood = likelihood(torch.tensor(batch.flux), torch.tensor(batch.ivar), theta)
    log_prior = posterior.prior.log_density(drawn.coordinates, batch.zred_column)
    log_weights = log_likelihood.numpy() + log_prior - drawn.log_prob
    weights = normalised(pareto_smoothed(np.where(np.isnan(log_weights), -np.inf, log_weights))[0])
    values = np.nan_to_num(whole(posterior, drawn.coordinates, columns_of(posterior)))
    mean = (weights[..., None] * values).sum(1)
    square = (weights[..., None] * (values - mean[:, None]) ** 2).sum(1)
    return mean, np.sqrt(square)


if __name__ == "__main__":
    main()
