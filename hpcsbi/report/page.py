"""Pictures as they stand on the page of a run: addresses that hold their own bytes."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from hpcsbi.report import diagnostic_plots, object_plots, spectrum_plots
from hpcsbi.simulator.galaxy.histories import family_of
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.calibration import rank_fractions

__all__ = [
    "calibration_pictures",
    "corner_picture",
    "errors_words",
    "example_picture",
    "fit_picture",
    "html",
    "picture",
]

Columns = Mapping[str, np.ndarray]


def html(template: str, content: Mapping) -> bytes:
    """A page: one of the package's templates, filled in and escaped.

    A template has its script from here, and its digest, by which the page lets it alone run.
    """
    script = files("hpcsbi").joinpath("data", "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("hpcsbi", "data"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template(template)
    return page.render(content, script=Markup(script), script_digest=digest).encode()


def picture(figure: Figure, form: str = "svg") -> str:
    """A figure as an address that holds its bytes."""
    kind = {"svg": "svg+xml", "png": "png"}[form]
    encoded = base64.b64encode(diagnostic_plots.image_bytes(figure, form)).decode()
    return f"data:image/{kind};base64,{encoded}"


def example_picture(wave: np.ndarray, flux: np.ndarray, theta: np.ndarray, prior: Prior) -> str:
    """Five of many simulated spectra, from young to old.

    Arguments:
        wave: Angstrom, shape (pixel,).
        flux: noise-free, shape (n, pixel).
        theta: own units, shape (n, n_theta).
        prior: theta's columns.
    """
    ages = family_of(prior.names).mean_age(dict(zip(prior.names, theta.T, strict=True)))
    order = np.argsort(ages)
    chosen = order[np.linspace(0.02 * (len(order) - 1), len(order) - 1, 5).astype(int)]
    columns = (dict(zip(prior.names, row, strict=True)) for row in theta[chosen])
    titles = [
        f"mean age {age:.2f} Gyr, log Z {c['logzsol']:+.2f}, dust2 {c['dust2']:.2f}"
        for age, c in zip(ages[chosen], columns, strict=True)
    ]
    return picture(spectrum_plots.example_seds(wave, flux[chosen], titles))


def calibration_pictures(columns: Columns, prior: Prior) -> dict[str, str]:
    """The three figures of a calibration.

    Arguments:
        columns: arrays theta, ranks (n, n_theta), quantiles (n, n_theta, 5), tarp and n_draws
            (n,) of spectra that have draws.
        prior: gives names and coordinates; what it does not infer is not drawn.
    """
    inferred = prior.inferred
    titles = diagnostic_plots.labels(prior.inferred_names, prior.log[inferred])
    percentiles = np.moveaxis(columns["quantiles"][..., 1:4], -1, 1)
    quantiles = np.moveaxis(prior.coordinates(percentiles), 1, -1)[:, inferred]
    fractions = rank_fractions(columns["ranks"][:, inferred], columns["n_draws"])
    theta = prior.coordinates(columns["theta"])[:, inferred]
    figures = {
        "recovery": diagnostic_plots.recovery(theta, quantiles, titles),
        "ranks": diagnostic_plots.rank_histograms(fractions, titles),
        "curves": diagnostic_plots.calibration_curves(fractions, columns["tarp"], titles),
    }
    return {name: picture(figure) for name, figure in figures.items()}


def corner_picture(
    prior: Prior,
    draws: np.ndarray,
    *others: tuple[Prior, np.ndarray],
    keys: Sequence[str] = (),
) -> str:
    """Posterior of each pair of inferred parameters, with other posteriors over it.

    Arguments:
        prior, draws: first posterior, own units, shape (n, n_theta).
        others: a prior and draws each; parameters that it does not infer are left out.
        keys: legend of all.
    """
    sets = [prior.coordinates(draws)]
    for theirs, other in others:
        columns = np.full((len(other), len(prior.names)), np.nan)
        for i, name in enumerate(prior.names):
            if name in theirs.inferred_names:
                columns[:, i] = other[:, theirs.names.index(name)]
        sets.append(prior.coordinates(columns))
    titles = diagnostic_plots.labels(prior.inferred_names, prior.log[prior.inferred])
    sets = [coordinates[:, prior.inferred] for coordinates in sets]
    return picture(object_plots.corner(sets, titles, keys=keys), "png")


def fit_picture(likelihood: Likelihood, draws: np.ndarray, batch: Batch) -> tuple[str, float]:
    """The observed spectrum under what posterior draws expect of it, smooth errors included.

    Arguments:
        likelihood: makes spectra of draws.
        draws: the posterior, own units, shape (n, n_theta).
        batch: the spectrum, one.

    Returns:
        The picture, and the median noise floor that its residuals include.
    """
    theta, flux, ivar, *added = map(torch.as_tensor, (draws[None], *batch.spectra))
    with torch.no_grad():
        model = likelihood.expected_spectra(flux, ivar, theta, *added)[0].numpy()
    floor = float(likelihood.floor(theta).median())
    return picture(
        spectrum_plots.spectrum_fit(likelihood.ssp.wave, batch.flux[0], batch.ivar[0], model, floor)
    ), floor


def errors_words(kinds: Sequence[str]) -> str:
    """Which errors the spectra of `fit_picture` have; "" for none.

    Arguments:
        kinds: `Amplitudes.kinds` of the likelihood.
    """
    return f", each with the errors of {' and '.join(kinds)} that suit it best" if kinds else ""
