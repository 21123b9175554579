"""Do posteriors hold the truth when the model is wrong as it is wrong on real galaxies?

    python benchmarks/injections.py FLOW_FOLDER SPECTRA.zarr ... [--injections 300] [--rank 2]
        [--model-error 0.01] [--length 200]

SPECTRA are stores of ingest. What the model leaves over of each real spectrum, as a fraction of it
and beside the most probable calibration, multiplies model spectra of random theta of the prior, at
redshift, sigma and mask of another real object. The donor's own noise counts as noise: what it
lacks to the quoted sigma is added, and where it is more, it is quoted. A calibration error is drawn
as the flow's noise has it. Posteriors are draws of the exact likelihood (the flow's, weighted or
rescued) with the free white floor alone, with a smooth error beside it, and with an error that the
real spectra taught without any of the donor's object (`error_path` at a strength of 30). The
control has the model's own floor and calibration in the place of the residual, and no other error:
it must be exact.

Printed: shares of truths in central intervals of 68 and 95 %, and mean and median of the pull (mean
of the draws less truth, over their width), of each column and derived quantity. Errors of the
shares are binomial; residuals of one donor come again and again, so the spread from donor to donor
is told, too. What theta could imitate is not in a residual: the fit has taken it.
"""

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from hpcsbi.flags import NOT_INFERRED, Flag
from hpcsbi.inference.certificate import certify
from hpcsbi.inference.derived_columns import derived_values
from hpcsbi.inference.error_path import Care, Survey, error_path
from hpcsbi.inference.posterior import Posterior
from hpcsbi.inference.row_checks import HIGH_FLOOR
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.batch import Batch
from hpcsbi.simulator.derived import QUANTITIES
from hpcsbi.simulator.exposure import draw_factor
from hpcsbi.simulator.learned_error import LearnedError
from hpcsbi.simulator.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.random_tensors import RandomTensors
from hpcsbi.store.opening import open_complete
from hpcsbi.survey.same_object import object_names

DRAWS, CAP, TAUGHT = 1000, 50, 100
LEVELS = (0.68, 0.95)
STRENGTH, STEPS, MOVES = 30.0, 3, 6


@dataclass(frozen=True)
class Galaxies:
    """Real spectra with certified draws; rows are spectra.

    Arguments:
        ids, objects: names, and those that spectra of one object share.
        batch: the spectra.
        coordinates: equally weighted draws, shape (n, DRAWS, n_theta).
        residuals: data over model less one, NaN where masked, shape (n, pixels).
        relative: quoted sigma over model, NaN where masked, shape (n, pixels).
    """

    ids: np.ndarray
    objects: np.ndarray
    batch: Batch
    coordinates: np.ndarray
    residuals: np.ndarray
    relative: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Galaxies":
        return Galaxies(*(values[rows] for values in vars(self).values()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("spectra", nargs="+")
    parser.add_argument("--injections", type=int, default=300)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--model-error", type=float, default=0.01)
    parser.add_argument("--length", type=float, default=200.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    posterior = load_posterior(options.flow)
    galaxies = real_galaxies(posterior, options.spectra)
    rms = np.sqrt(np.nanmean(galaxies.residuals**2, 1))
    print(
        f"{len(galaxies.ids)} real spectra of {len(set(galaxies.objects))} objects, residuals of "
        f"{100 * rms.min():.1f} to {100 * rms.max():.1f} % (rms), {spent(began)}"
    )
    errors = {
        name: learned(posterior, galaxies[galaxies.objects != name], options.rank)
        for name in np.unique(galaxies.objects)
    }
    sizes = [np.std(error.mean) for error in errors.values()]
    print(
        f"{len(errors)} errors learned, means of {100 * np.mean(sizes):.2f} % (rms), {spent(began)}"
    )
    noise = posterior.model.noise
    smooth = replace(noise, model_error=options.model_error, model_error_length=options.length)
    rng = np.random.default_rng(0)
    theta, donors, batch = injected(posterior, galaxies, options.injections, rng)
    control = injected(posterior, galaxies, options.injections, rng, False)
    of_donor = galaxies.objects[donors]
    print(f"{len(theta)} injections; flow's noise: {noise.settings()}")
    everything = np.arange(len(theta))
    parts = {
        "free floor": [(everything, noise)],
        "smooth error": [(everything, smooth)],
        "learned error": [
            (np.flatnonzero(of_donor == name), replace(noise, learned=errors[name]))
            for name in np.unique(of_donor)
        ],
    }
    results = {"control": scored(posterior, control[0], control[2], parts["free floor"])}
    tell_table("control: the model's own floor", *results["control"])
    for name, part in parts.items():
        scores = scored(posterior, theta, batch, part)
        tell_table(name, *scores)
        tell_donors(of_donor, *scores)
        print(f"    {spent(began)}", flush=True)


def spent(began: float) -> str:
    return f"{time.process_time() - began:.0f} CPU s"


def real_galaxies(posterior: Posterior, paths: list[str]) -> Galaxies:
    """Galaxies of the stores that the model may make, and their draws with a white floor."""
    columns = ("id", "position", "flux", "ivar", "zred", "flags")
    stores = [open_complete(path, "ingest") for path in paths]
    rows = [np.concatenate([store.read(name) for store in stores]) for name in columns]
    ids, position, flux, ivar, zred, flags = rows
    ids = np.array([str(name) for name in ids])
    objects = object_names(ids, position)
    wrong = int(NOT_INFERRED | Flag.CLASS | Flag.LOW_SN)
    good = (flags & wrong == 0) & posterior.usable(flux, ivar)
    batch = Batch(flux[good], ivar[good], np.arange(good.sum()), zred[good].astype(float))
    coordinates, strong = draws_of(posterior, posterior.likelihood, batch)
    floor = posterior.prior.theta(coordinates)[..., posterior.names.index("noise_floor")]
    kept = strong & (np.median(floor, 1) < HIGH_FLOOR)
    few = coordinates[:, :TAUGHT]
    theta = torch.tensor(posterior.prior.theta(few, np.float32))
    seen = torch.tensor(batch.flux), torch.tensor(batch.ivar), theta
    with torch.no_grad():
        model = posterior.likelihood.expected_spectra(*seen).double().numpy().mean(1)
    valid = batch.ivar > 0
    residuals = np.where(valid, batch.flux / model - 1, np.nan)
    relative = np.where(valid, batch.ivar, np.nan) ** -0.5 / model
    names = ids[good], objects[good]
    return Galaxies(*names, batch, coordinates, residuals, relative)[np.flatnonzero(kept)]


def draws_of(
    posterior: Posterior, likelihood: Likelihood, batch: Batch
) -> tuple[np.ndarray, np.ndarray]:
    """Equally weighted draws, and where they are the exact posterior's."""
    drawn = posterior.sample(batch, DRAWS, CAP)
    certificate = certify(posterior, likelihood, drawn, batch, [0.5])
    return certificate.draws.coordinates, certificate.reweighted


def learned(posterior: Posterior, galaxies: Galaxies, rank: int) -> LearnedError:
    """The error that some galaxies teach."""
    draws = galaxies.coordinates[:, :TAUGHT]
    model = posterior.model
    survey = Survey(
        galaxies.batch, draws, posterior.ssp, posterior.prior, model.noise, model.grid.settings()
    )
    care = Care(rank, STEPS, MOVES, STRENGTH)
    *_, last = error_path(survey, np.full(len(galaxies.ids), True), care)
    return last.error


def injected(
    posterior: Posterior,
    galaxies: Galaxies,
    n: int,
    rng: np.random.Generator,
    real: bool = True,
) -> tuple[np.ndarray, np.ndarray, Batch]:
    """Truths, rows of the donors, and spectra; without residuals if they are not to be real."""
    hosts = np.arange(n) % len(galaxies.ids)
    donors = np.array([rng.choice(others(galaxies, host)) for host in hosts])
    zred = galaxies.batch.zred[hosts]
    theta = posterior.prior.sample(n, rng, zred)
    rows = torch.tensor(theta).float()
    with torch.no_grad():
        model = posterior.ssp.flux(rows, posterior.names).double().numpy()
    wave, generator = torch.tensor(posterior.grid.wave).float(), torch.Generator().manual_seed(n)
    calibration = posterior.model.noise.calibration
    drawn = (
        draw_factor(wave, n, RandomTensors(generator), calibration, None, 0.0, 0.0, None)
        .double()
        .numpy()
    )
    quoted, of_donor = galaxies.relative[hosts], galaxies.relative[donors]
    if real:
        error, sigma = galaxies.residuals[donors], np.maximum(quoted, of_donor)
        added = np.sqrt(sigma**2 - of_donor**2)
    else:
        floor = theta[:, posterior.names.index("noise_floor"), None]
        error, sigma = floor * rng.normal(size=model.shape), quoted
        added = sigma
    flux = model * (drawn + error + added * rng.normal(size=model.shape))
    ivar = (sigma * model) ** -2.0
    valid = np.isfinite(flux) & np.isfinite(ivar)
    flux, ivar = (np.where(valid, each, 0).astype(np.float32) for each in (flux, ivar))
    return theta, donors, Batch(flux, ivar, np.arange(n), zred)


def others(galaxies: Galaxies, row: int) -> np.ndarray:
    """Rows of other objects."""
    return np.flatnonzero(galaxies.objects != galaxies.objects[row])


def scored(
    posterior: Posterior, theta: np.ndarray, batch: Batch, parts: list
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, shares of draws below the truths and pulls, shape (n, names), NaN of weak weights.

    Arguments:
        parts: rows and the noise under which their posteriors are.
    """
    prior = posterior.prior
    columns = [i for i, name in enumerate(prior.names) if name != "noise_floor"]
    truths = prior.coordinates(theta)
    names = [prior.names[i] for i in columns] + [each.name for each in QUANTITIES]
    below, pulls = np.full((2, len(theta), len(names)), np.nan)
    for rows, noise in parts:
        likelihood = of_simulator(posterior.ssp, prior.names, noise)
        draws, strong = draws_of(posterior, likelihood, batch[rows])
        rows, draws = rows[strong], draws[strong]
        if not len(rows):
            continue
        values = [whole(posterior, each, columns) for each in (draws, truths[rows][:, None])]
        below[rows] = (values[0] < values[1]).mean(1) + (values[0] == values[1]).mean(1) / 2
        width = values[0].std(1)
        pulls[rows] = (values[0].mean(1) - values[1][:, 0]) / np.where(width > 0, width, np.nan)
    return names, below, pulls


def whole(posterior: Posterior, coordinates: np.ndarray, columns: list[int]) -> np.ndarray:
    """Columns and derived quantities, the latter in log10 where they are shown so."""
    derived = derived_values(posterior, coordinates)
    log = [each.log for each in QUANTITIES]
    derived[..., log] = np.log10(np.maximum(derived[..., log], 1e-30))
    return np.concatenate([coordinates[..., columns], derived], -1)


def coverage(below: np.ndarray) -> np.ndarray:
    """Shares of truths in central intervals of LEVELS, shape (levels, names)."""
    inside = [np.abs(below - 0.5) < level / 2 for level in LEVELS]
    return np.array([each[np.isfinite(below[:, 0])].mean(0) for each in inside])


def tell_table(name: str, names: list[str], below: np.ndarray, pulls: np.ndarray) -> None:
    known = np.isfinite(below[:, 0])
    binomial = [np.sqrt(level * (1 - level) / known.sum()) for level in LEVELS]
    errors = ", ".join(f"{level} +- {x:.3f}" for level, x in zip(LEVELS, binomial, strict=True))
    print(f"{name}: {known.sum()} posteriors, {(~known).sum()} weak; right: {errors}, 0")
    for i, column in enumerate(names):
        middle, wide = coverage(below)[:, i]
        pull = pulls[known, i]
        mean, error = np.nanmean(pull), np.nanstd(pull) / np.sqrt(known.sum())
        words = f"{mean:+.2f} +- {error:.2f}, {np.nanmedian(pull):+.2f}"
        print(f"    {column:26s} {middle:.3f} {wide:.3f}  {words}")
    middle, wide = coverage(below).mean(1)
    print(f"    {'mean':26s} {middle:.3f} {wide:.3f}")


def tell_donors(donors: np.ndarray, names: list[str], below: np.ndarray, _: np.ndarray) -> None:
    """Means over all quantities, from donor to donor."""
    shares = []
    for name in np.unique(donors):
        some = (donors == name) & np.isfinite(below[:, 0])
        if some.any():
            shares.append(coverage(below[some]).mean(1))
    low, high = np.min(shares, 0), np.max(shares, 0)
    error = np.std(shares, 0, ddof=1) / np.sqrt(len(shares))
    words = [
        f"{a:.2f} to {b:.2f} (+- {e:.3f} of the mean)"
        for a, b, e in zip(low, high, error, strict=True)
    ]
    print(f"    from donor to donor, mean of all quantities: {'; '.join(words)}")


if __name__ == "__main__":
    main()
