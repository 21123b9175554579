"""Do posteriors hold the truth when the model is wrong as it is wrong on real galaxies?

    python benchmarks/injections.py FLOW_FOLDER SPECTRA.zarr ... [--injections 400] [--rank 2]
        [--strength 1] [--model-error 0.01] [--length 200]

SPECTRA are stores of ingest. What a fit leaves over of each real spectrum, as a fraction of the
model and beside the most probable calibration, multiplies model spectra of random theta of the
prior, at redshift, sigma and mask of another real object. The donor's own noise counts as noise:
what it lacks to the quoted sigma is added, and where it is more, it is quoted. A calibration error
is drawn as the flow's noise has it. Posteriors are draws of the exact likelihood (the flow's,
weighted or rescued) with the free white floor alone, with a smooth error beside it, and with an
error that the real spectra taught without any of the donor's object. The first control has the
model's own floor and calibration in the place of the residual, and must be exact under the free
floor; the second a known error beside them, and must be so with it, and not without.

What theta could imitate is in no residual: the fit has taken it, and each error takes another part.
So there are two kinds: what fits with the free floor leave, and what those with the learned error
do. Each is a lower limit of the error, and kind to the fits that it is from.

Printed: shares of truths in central intervals of 68 and 95 %, and the median pull (mean of the
draws less truth, over their width), of each column and derived quantity. Errors of the shares are
binomial; residuals of one donor come again and again, so the error of their mean from donor to
donor is told, too.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from learned_error import true_error
from scipy.ndimage import gaussian_filter1d

from hpcsbi.flags import NOT_INFERRED, Flag
from hpcsbi.inference.columns.derived_columns import derived_values
from hpcsbi.inference.columns.row_checks import HIGH_FLOOR
from hpcsbi.inference.learning.error_path import Care, Survey, error_path
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.observation.exposure import draw_factor
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.store.opening import open_complete
from hpcsbi.survey.same_object import object_names

DRAWS, CAP, TAUGHT = 1000, 50, 100
LEVELS = (0.68, 0.95)
STEPS, MOVES = 3, 6


NoiseOf = Callable[[str], Noise]  # for residuals of an object of that name


@dataclass(frozen=True)
class Galaxies:
    """Real spectra with certified draws under a white floor; rows are spectra.

    Arguments:
        ids, objects: names, and those that spectra of one object share.
        batch: the spectra.
        coordinates: equally weighted draws, shape (n, DRAWS, n_theta).
    """

    ids: np.ndarray
    objects: np.ndarray
    batch: Batch
    coordinates: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Galaxies":
        return Galaxies(*(values[rows] for values in vars(self).values()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("spectra", nargs="+")
    parser.add_argument("--injections", type=int, default=400)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--model-error", type=float, default=0.01)
    parser.add_argument("--length", type=float, default=200.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    posterior = load_posterior(options.flow)
    noise = posterior.model.noise
    galaxies = real_galaxies(posterior, options.spectra)
    print(f"{len(galaxies.ids)} real spectra of {len(set(galaxies.objects))} objects")
    errors = {
        name: learned(posterior, galaxies[galaxies.objects != name], options)
        for name in np.unique(galaxies.objects)
    }
    sizes = [np.sqrt(np.mean(np.square(error.mean))) for error in errors.values()]
    print(f"errors learned without each, means of {np.mean(sizes):.2%} (rms), {spent(began)}")
    smooth = replace(noise, model_error=options.model_error, model_error_length=options.length)
    fits = {
        "free floor": lambda _: noise,
        "smooth error": lambda _: smooth,
        "learned error": lambda name: replace(noise, learned=errors[name]),
    }
    control = injected(posterior, galaxies, None, options.injections)
    scores = {"free floor": scored(posterior, *control, fits["free floor"])}
    tell("control: the model's own floor", posterior, scores, control[1])
    known = true_error()
    with_known = replace(noise, learned=known)
    fits_of_known = {"free floor": fits["free floor"], "known error": lambda _: with_known}
    control = injected(posterior, galaxies, known, options.injections)
    scores = {name: scored(posterior, *control, each) for name, each in fits_of_known.items()}
    tell("control: a known error", posterior, scores, control[1])
    for kind in ("free floor", "learned error"):
        residuals = left_over(posterior, galaxies, fits[kind])
        rms = np.sqrt(np.nanmean(residuals**2, 1))
        print(f"residuals of {rms.min():.1%} to {rms.max():.1%} (rms)")
        truths = injected(posterior, galaxies, residuals, options.injections)
        scores = {name: scored(posterior, *truths, noise_of) for name, noise_of in fits.items()}
        tell(f"what the {kind} leaves", posterior, scores, truths[1])
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
    return Galaxies(ids[good], objects[good], batch, coordinates)[np.flatnonzero(kept)]


def draws_of(
    posterior: Posterior, likelihood: Likelihood, batch: Batch
) -> tuple[np.ndarray, np.ndarray]:
    """Equally weighted draws, and where they are the exact posterior's."""
    drawn = posterior.sample(batch, DRAWS, CAP)
    certificate = certify(posterior, likelihood, drawn, batch, [0.5])
    return certificate.draws.coordinates, certificate.reweighted


def learned(posterior: Posterior, galaxies: Galaxies, options: argparse.Namespace) -> LearnedError:
    """The error that some galaxies teach."""
    draws, model = galaxies.coordinates[:, :TAUGHT], posterior.model
    about = posterior.ssp, posterior.prior, model.noise, model.grid.settings()
    care = Care(options.rank, STEPS, MOVES, options.strength)
    survey = Survey(galaxies.batch, draws, *about)
    *_, last = error_path(survey, np.full(len(galaxies.ids), True), care)
    return last.error


@torch.no_grad()
def left_over(posterior: Posterior, galaxies: Galaxies, noise_of: NoiseOf) -> np.ndarray:
    """Data over model and calibration less one, NaN where masked, shape (n, pixels)."""
    rows = []
    for i, name in enumerate(galaxies.objects):
        likelihood = of_simulator(posterior.ssp, posterior.names, noise_of(name))
        row = galaxies.batch[i : i + 1]
        few = draws_of(posterior, likelihood, row)[0][:, :TAUGHT]
        theta = torch.tensor(posterior.prior.theta(few, np.float32))
        seen = torch.tensor(row.flux), torch.tensor(row.ivar)
        over_sigma = likelihood.draws_over_sigma(*seen, theta)
        of = likelihood.amplitudes
        calibration = slice(of.of_lines.start)
        amplitudes = of.moments(*over_sigma)[0][0, :, calibration]
        factor = 1 + amplitudes @ of.curves[calibration]
        model = (likelihood.spectra(theta)[0] * factor).double().numpy().mean(0)
        rows.append(np.where(row.ivar[0] > 0, row.flux[0] / model - 1, np.nan))
    return np.array(rows)


def injected(
    posterior: Posterior, galaxies: Galaxies, residuals: np.ndarray | LearnedError | None, n: int
) -> tuple[np.ndarray, np.ndarray, Batch]:
    """Truths, objects of the donors, and spectra.

    Arguments:
        residuals: of the donors; or an error beside the model's own floor, or that alone.
    """
    rng = np.random.default_rng(0)
    hosts = np.arange(n) % len(galaxies.ids)
    donors = np.array([rng.choice(others(galaxies, host)) for host in hosts])
    zred = galaxies.batch.zred[hosts]
    theta = posterior.prior.sample(n, rng, zred)
    with torch.no_grad():
        model = posterior.ssp.flux(torch.tensor(theta).float(), posterior.names).double().numpy()
    wave, generator = torch.tensor(posterior.grid.wave).float(), torch.Generator().manual_seed(0)
    size, draw = posterior.model.noise.calibration, RandomTensors(generator)
    calibration = draw_factor(wave, n, draw, size, None, 0.0, 0.0, None).double().numpy()
    relative = relative_sigma(galaxies)
    quoted, of_donor = relative[hosts], relative[donors]
    if residuals is None or isinstance(residuals, LearnedError):
        floor = theta[:, posterior.names.index("noise_floor"), None]
        error, sigma, added = floor * rng.normal(size=model.shape), quoted, quoted
        if residuals is not None:
            model = model * residuals.factor
            error = error + rng.normal(size=(n, len(residuals.curves))) @ residuals.curves
    else:
        error, sigma = residuals[donors], np.maximum(quoted, of_donor)
        added = np.sqrt(sigma**2 - of_donor**2)
    flux = model * (calibration + error + added * rng.normal(size=model.shape))
    ivar = (sigma * model) ** -2.0
    valid = np.isfinite(flux) & np.isfinite(ivar)
    flux, ivar = (np.where(valid, each, 0).astype(np.float32) for each in (flux, ivar))
    return theta, galaxies.objects[donors], Batch(flux, ivar, np.arange(n), zred)


def relative_sigma(galaxies: Galaxies) -> np.ndarray:
    """Quoted sigma over the flux, smooth over neighbours, NaN where masked, (n, pixels)."""
    batch, rows = galaxies.batch, []
    for flux, ivar in zip(batch.flux.astype(float), batch.ivar.astype(float), strict=True):
        valid = ivar > 0
        level = gaussian_filter1d(np.where(valid, flux, 0), 2)
        level /= np.maximum(gaussian_filter1d(valid.astype(float), 2), 1e-9)
        rows.append(np.where(valid, ivar, np.nan) ** -0.5 / level)
    return np.array(rows)


def others(galaxies: Galaxies, row: int) -> np.ndarray:
    """Rows of other objects."""
    return np.flatnonzero(galaxies.objects != galaxies.objects[row])


def scored(
    posterior: Posterior, theta: np.ndarray, donors: np.ndarray, batch: Batch, noise_of: NoiseOf
) -> np.ndarray:
    """Shares of draws below the truths, and pulls, NaN of weak weights, (2, n, quantities)."""
    prior, columns = posterior.prior, columns_of(posterior)
    truths = prior.coordinates(theta)
    noises = {name: noise_of(name) for name in np.unique(donors)}
    scores = np.full((2, len(theta), len(columns) + len(QUANTITIES)), np.nan)
    for noise in dict.fromkeys(noises.values()):
        rows = np.flatnonzero([noises[name] is noise for name in donors])
        likelihood = of_simulator(posterior.ssp, prior.names, noise)
        draws, strong = draws_of(posterior, likelihood, batch[rows])
        rows, draws = rows[strong], draws[strong]
        if not len(rows):
            continue
        values, truth = (whole(posterior, each, columns) for each in (draws, truths[rows][:, None]))
        width = values.std(1)
        scores[0, rows] = (values < truth).mean(1) + (values == truth).mean(1) / 2
        pull = values.mean(1) - truth[:, 0]
        scores[1, rows] = pull / np.where(width > 0, width, np.nan)
    return scores


def columns_of(posterior: Posterior) -> list[int]:
    """Columns of theta that a spectrum has, without the floor."""
    return [i for i, name in enumerate(posterior.names) if name != "noise_floor"]


def names_of(posterior: Posterior) -> list[str]:
    """Those columns and the derived quantities."""
    derived = [each.name for each in QUANTITIES]
    return [posterior.names[i] for i in columns_of(posterior)] + derived


def whole(posterior: Posterior, coordinates: np.ndarray, columns: list[int]) -> np.ndarray:
    """Columns and derived quantities, the latter in log10 where they are shown so."""
    derived = derived_values(posterior, coordinates)
    log = [each.log for each in QUANTITIES]
    derived[..., log] = np.log10(np.maximum(derived[..., log], 1e-30))
    return np.concatenate([coordinates[..., columns], derived], -1)


def coverage(below: np.ndarray) -> np.ndarray:
    """Shares of truths in central intervals of LEVELS, shape (levels, names)."""
    known = below[np.isfinite(below[:, 0])]
    return np.array([(np.abs(known - 0.5) < level / 2).mean(0) for level in LEVELS])


def tell(
    what: str, posterior: Posterior, scores: dict[str, np.ndarray], donors: np.ndarray
) -> None:
    """One table: coverage and pulls of each quantity, of each way to fit."""
    n = min(np.isfinite(below[:, 0]).sum() for below, _ in scores.values())
    errors = [f"{level} +- {np.sqrt(level * (1 - level) / n):.3f}" for level in LEVELS]
    print(f"{what}; right: {', '.join(errors)}, 0 +- {1 / np.sqrt(n):.2f}")
    heads = [f"{name} ({np.isfinite(below[:, 0]).sum()})" for name, (below, _) in scores.items()]
    print(line("", heads))
    shares = {name: coverage(below) for name, (below, _) in scores.items()}
    for i, quantity in enumerate(names_of(posterior)):
        words = [
            f"{middle[i]:.3f} {wide[i]:.3f} {np.nanmedian(scores[name][1][:, i]):+.2f}"
            for name, (middle, wide) in shares.items()
        ]
        print(line(quantity, words))
    words = []
    for name, (middle, wide) in shares.items():
        error = error_between(scores[name][0], donors)
        words.append(f"{middle.mean():.3f} {wide.mean():.3f} +- {error:.3f}")
    print(line("mean, +- between donors", words))


def line(head: str, words: list[str]) -> str:
    """One of a table."""
    return "    " + "".join([f"{head:26s}", *(f"{word:24s}" for word in words)]).rstrip()


def error_between(below: np.ndarray, donors: np.ndarray) -> float:
    """Standard error of the mean coverage at 68 %, of donors as the independent ones."""
    shares = [coverage(below[donors == name])[0].mean() for name in np.unique(donors)]
    return float(np.nanstd(shares, ddof=1) / np.sqrt(np.isfinite(shares).sum()))


if __name__ == "__main__":
    main()
