"""What a smooth error of the model does to real spectra: evidence, floor, mass and age, no flow.

    python benchmarks/model_errors.py SPECTRA [--table ssp.zarr] [--prior survey]
        [--errors none 0.01@200 free@200 ...]

SPECTRA is a store of ingest. An error is its standard deviation and its length in Angstrom, with
`free` for an amplitude that is inferred, flat in its logarithm from 0.1 to 10 %, and after a + the
error of lines, Angstrom of equivalent width (0.01@200+1, none+1), and after a ~ those of redshift
and width, km/s, on pixels that resolve lines (none~30, 0.01@200+1~30,100). Of each spectrum,
by importance sampling in rounds (as benchmarks/histories.py): ln evidence over that of the first
error, effective draws, Pareto's k, CPU seconds, p-values of chi squared and of neighbouring
residuals, median and half the 68 % interval of some columns. Last, what it would take from the
effective draws to decompose the amplitudes' normal matrix once, at the median draw, and to weight
draws of that likelihood by the exact one: as it is, and with its size adapted to each draw.
"""

import argparse
import time

import numpy as np
import torch
import yaml
from histories import CONF, noise, sampled

from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.probability.predictive import predict
from hpcsbi.simulator.probability.residual_checks import residual_p_values
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.statistics.importance_weights import effective_sample_size
from hpcsbi.store.opening import open_complete

ERRORS = (
    "none", "0.005@60", "0.005@100", "0.01@60", "0.01@100", "0.01@200", "0.02@60", "0.02@100",
    "0.02@200", "free@60", "free@100", "free@200",
)  # fmt: skip
FREE = {"low": 0.001, "high": 0.1, "log": True, "nuisance": True}
SHOWN = {
    "logmass": 1,
    "tage": 1,
    "tau": 1,
    "sigma_smooth": 1,
    "eline_sigma": 1,
    "noise_floor": 100,
    "model_error": 100,
    "line_strength": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spectra")
    parser.add_argument("--table", default=str(SHIPPED))
    parser.add_argument("--prior", default="survey")
    parser.add_argument("--errors", nargs="+", default=ERRORS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spectra = open_complete(options.spectra, "ingest")
    ids, zred = spectra.read("id"), spectra.read("zred").astype(float)
    columns = yaml.safe_load((CONF / "prior" / f"{options.prior}.yaml").read_text())
    for row, name in enumerate(ids):
        flux, ivar = (spectra.read(each, np.array([row])) for each in ("flux", "ivar"))
        first = None
        print(name)
        if not (ivar > 0).any():
            print("  no pixels")
            continue
        for error in options.errors:
            prior, of_error = prior_and_noise(columns, error)
            engine = load_engine(options.table, prior)
            likelihood = of_simulator(engine, prior.names, of_error)
            began = time.process_time()
            draws = sampled(prior, engine, likelihood, flux, ivar, zred[row])
            theta, evidence, uncertainty, ess, k = draws
            seconds = time.process_time() - began
            first = evidence if first is None else first
            p = predict(likelihood, theta[None], flux, ivar)[1][0]
            rows = np.array([row])
            neighbours = residual_p_values(likelihood, theta[None], flux, ivar, rows)
            print(
                f"  {error:10} ln Z {evidence - first:+6.1f} +- {uncertainty:.2f} ({ess:.0f} "
                f"effective, k {k:.2f}, {seconds:.0f} s), p {p:.2f}, "
                f"{neighbours['autocorrelation_p'][0]:.3f}: "
                f"{columns_of(prior, theta)}, {age_of(options.table, engine, prior, theta)}"
                f"{share_solved_once(likelihood, theta, flux, ivar)}",
                flush=True,
            )


def prior_and_noise(settings: dict, error: str) -> tuple[Prior, SurveyNoise]:
    """The prior with a column of the error where it is free, and the noise of surveys with it."""
    plain, columns = noise().settings(), settings["columns"]
    del plain["kind"]
    error, _, slopes = error.partition("~")
    smooth, _, lines = error.partition("+")
    names = ("redshift_error", "width_error")
    plain |= dict(zip(names, map(float, filter(None, slopes.split(","))), strict=False))
    plain["line_error"] = float(lines or 0)
    if smooth != "none":
        size, length = smooth.split("@")
        plain["model_error_length"] = float(length)
        if size == "free":
            columns = {**columns, "model_error": FREE}
        else:
            plain["model_error"] = float(size)
    return Prior(columns, settings["bound_age"]), SurveyNoise(**plain)


def columns_of(prior: Prior, theta: np.ndarray) -> str:
    """Medians and half widths."""
    words = []
    for name, factor in SHOWN.items():
        if name in prior.names:
            low, middle, high = factor * np.quantile(
                theta[:, prior.names.index(name)], [0.16, 0.5, 0.84]
            )
            words.append(f"{name} {middle:.4g} +- {(high - low) / 2:.2g}")
    return ", ".join(words)


def age_of(table: str, engine: Ssp, prior: Prior, theta: np.ndarray) -> str:
    """Mass-weighted age, Gyr."""
    derived = load_derived(table, engine)
    ages = derived(theta, prior.names)[:, derived.names.index("mass_weighted_age")]
    low, middle, high = np.quantile(ages, [0.16, 0.5, 0.84])
    return f"age {middle:.2f} +- {(high - low) / 2:.2f}"


def share_solved_once(
    likelihood: Likelihood, theta: np.ndarray, flux: np.ndarray, ivar: np.ndarray
) -> str:
    """Effective share of equally weighted draws after an exchange of their likelihood."""
    of = likelihood.amplitudes
    if not len(of) or of.additive:
        return ""
    rows = torch.tensor(theta)[None]
    flux, ivar = torch.tensor(flux)[:, None], torch.tensor(ivar)[:, None]
    with torch.no_grad():
        model = likelihood.ssp.flux(rows[0], likelihood.names)[None]
        exact = likelihood.of_model(flux[:, 0], ivar[:, 0], model, rows)[0][0].numpy()
    valid = ivar > 0
    floor = likelihood.floor(rows)[..., None] * model
    sigma = torch.where(valid, torch.hypot(ivar.clamp_min(1e-38).rsqrt(), floor), 1.0)
    pull = torch.where(valid, (flux - model) / sigma, 0.0)[0].double()
    scaled = torch.where(valid, model / sigma, 0.0)[0].double()
    error = likelihood.model_error(rows)[0].double()[:, None]
    local = len(of) - of.everywhere
    deviations = torch.cat(
        [torch.ones(len(theta), of.everywhere), error.expand(-1, local)], 1
    ).double()
    middle, at = scaled.quantile(0.5, 0), deviations.quantile(0.5, 0)
    design = at[:, None] * of.curves * middle
    values, vectors = torch.linalg.eigh(design @ design.T)
    side = ((pull * scaled) @ of.curves.T * deviations) @ vectors
    variance = torch.where(valid, sigma, 1.0)[0].double().log().sum(1)
    size = (scaled**2).sum(1) / (middle**2).sum()
    shares = []
    for factor in (torch.ones_like(size), size * (deviations[:, -1] / at[-1]) ** 2):
        matrix = 1 + factor[:, None] * values
        chi2 = (pull**2).sum(1) - (side**2 / matrix).sum(1)
        once = (-variance - 0.5 * (chi2 + matrix.log().sum(1))).numpy()
        shares.append(effective_sample_size(exact - once) / len(theta))
    return f"; solved once {shares[0]:.3f}, with its size {shares[1]:.3f}"


if __name__ == "__main__":
    main()
