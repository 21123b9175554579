"""Lines of the data: what was put in comes out, whatever the model thinks of its lines."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.grid import Grid
from hpcsbi.inference.columns.observed_lines import OBSERVED, observed_line_columns
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.templates import SmoothError
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch

PRIOR, GRID = tiny.prior(survey=True), Grid()
POSTERIOR = SimpleNamespace(prior=PRIOR, grid=GRID, model=SimpleNamespace(physics=Physics()))
NAMES = list(PRIOR.names)
OBJECTS, DRAWS = 4, 40
STRENGTHS = np.tile([0.0, 5.0, 20.0, 60.0, 10.0], (OBJECTS, 1))  # over the mean flux, Angstrom


@pytest.fixture(scope="module")
def likelihood():
    return Likelihood(load_engine(tiny.TABLE, PRIOR), PRIOR.names, "survey", calibration=0.04)


@pytest.fixture
def truth():
    """From young to old, with hardly any lines of the model's own."""
    coordinates = PRIOR.sample_coordinates(OBJECTS, np.random.default_rng(0), 0.05)
    coordinates[:, NAMES.index("tage")] = [1.0, 3.0, 6.0, 10.0]
    coordinates[:, NAMES.index("line_strength")] = -1.5
    coordinates[:, NAMES.index("noise_floor")] = np.log10(0.003)
    return coordinates


def with_lines(likelihood, coordinates, seed=0, snr=200.0, noise=True, factor=1.0):
    """Spectra, off by a factor, with Gaussian lines of 350 km/s, and their luminosities."""
    theta = torch.tensor(PRIOR.theta(coordinates)).float()
    theta[:, NAMES.index("line_strength")] = 0.0
    flux = likelihood.ssp.flux(theta, PRIOR.names).double().numpy()
    luminosity, flux = flux.mean(1)[:, None] * STRENGTHS, flux * factor
    for j, lines in enumerate(BLENDS.values()):
        for line in lines:
            profile = np.exp(-0.5 * ((GRID.fine / line - 1) * 299792.458 / 350) ** 2).mean(1)
            profile /= profile @ GRID.widths
            flux = flux + luminosity[:, j, None] / len(lines) * profile
    sigma = flux / snr
    if noise:
        flux = flux + sigma * np.random.default_rng(seed).normal(size=flux.shape)
    return Batch(flux.astype("f4"), (1 / sigma**2).astype("f4"), np.arange(OBJECTS)), luminosity


def drawn(coordinates, n=DRAWS):
    """Draws that are the truth each time."""
    draws = np.repeat(coordinates[:, None], n, axis=1)
    return Draws(draws, np.zeros(draws.shape[:2]), np.full(OBJECTS, n), np.ones(OBJECTS))


@pytest.mark.parametrize("strength", [-1.5, 0.4])
def test_what_was_put_in_comes_out(likelihood, truth, strength):
    """To the error that is told, whatever strength the draws give the model's own lines."""
    batch, luminosity = with_lines(likelihood, truth)
    truth[:, NAMES.index("line_strength")] = strength
    columns = observed_line_columns(POSTERIOR, likelihood, drawn(truth), batch)
    measured, error = columns["observed_luminosity"], columns["observed_luminosity_error"]

    assert set(columns) == set(OBSERVED)
    assert np.isnan(measured[:, 0]).all()  # [O II] leaves the grid
    # Wings beyond 2.5 sigma, and faint lines that are not masked.
    allowed = 4.5 * error + 0.05 * luminosity
    assert (np.abs(measured - luminosity) < allowed)[:, 1:].all()


def test_errors_are_those_of_the_noise(likelihood, truth):
    """Spread of the measurement over realisations of the noise."""
    measured, errors = [], []
    for seed in range(60):
        batch, _ = with_lines(likelihood, truth, seed, 50.0)
        columns = observed_line_columns(POSTERIOR, likelihood, drawn(truth, n=4), batch)
        measured.append(columns["observed_luminosity"][:, 1:])
        errors.append(columns["observed_luminosity_error"][:, 1:])

    ratio = np.std(measured, axis=0) / np.mean(errors, axis=0)
    assert ((ratio > 0.6) & (ratio < 1.4)).all(), ratio


@pytest.mark.parametrize("error", [0.01, 0.03])
def test_errors_hold_what_a_smooth_error_hides_under_a_line(likelihood, truth, error):
    """Spread over realisations of the error; without it in the likelihood errors are too small."""
    smooth = SmoothError(300, error)
    curves = smooth.curves(GRID.wave).dense(torch.from_numpy(GRID.wave)).numpy()
    aware, blind = (
        Likelihood(likelihood.ssp, NAMES, "survey", None, 0.04, each) for each in (smooth, None)
    )
    rng, measured, errors = np.random.default_rng(0), [], []
    for seed in range(60):
        factor = 1 + error * rng.normal(size=(OBJECTS, len(curves))) @ curves
        wrong, _ = with_lines(likelihood, truth, seed, 300.0, factor=factor)
        both = [
            observed_line_columns(POSTERIOR, each, drawn(truth, n=4), wrong)
            for each in (aware, blind)
        ]
        measured.append([each["observed_luminosity"][:, 1:] for each in both])
        errors.append([each["observed_luminosity_error"][:, 1:] for each in both])

    ratio = np.std(measured, axis=0) / np.mean(errors, axis=0)
    assert ((ratio[0] > 0.6) & (ratio[0] < 1.4)).all(), ratio[0]
    assert np.median(ratio[1]) > 2


def test_widths_are_luminosities_over_the_continuum(likelihood, truth):
    """Emission is positive; a mass that scales all leaves widths alone."""
    batch, _ = with_lines(likelihood, truth, noise=False)
    one = observed_line_columns(POSTERIOR, likelihood, drawn(truth), batch)
    truth[:, NAMES.index("logmass")] += 1
    larger = Batch(10 * batch.flux, batch.ivar / 100, batch.seeds)
    other = observed_line_columns(POSTERIOR, likelihood, drawn(truth), larger)

    assert (one["observed_ew"][:, 1:] > 0).all()
    assert other["observed_ew"] == pytest.approx(one["observed_ew"], rel=1e-3, nan_ok=True)
    ten = 10 * one["observed_luminosity"]
    assert other["observed_luminosity"] == pytest.approx(ten, rel=1e-3, nan_ok=True)


def test_a_masked_pixel_costs_its_own_blend(likelihood, truth):
    """NaN there, and what stands under the mask reaches no other number."""
    batch, _ = with_lines(likelihood, truth)
    whole = observed_line_columns(POSTERIOR, likelihood, drawn(truth), batch)
    pixel = int(np.abs(GRID.wave - 6564.6).argmin())
    flux, ivar = batch.flux.copy(), batch.ivar.copy()
    flux[0, pixel], ivar[0, pixel] = np.nan, 0
    masked = Batch(flux, ivar, batch.seeds)
    columns = observed_line_columns(POSTERIOR, likelihood, drawn(truth), masked)
    j = [*BLENDS].index("halpha_nii")

    for name in OBSERVED:
        assert np.isnan(columns[name][0, j]) and np.isfinite(columns[name][1:, j]).all()
        others = np.delete(columns[name][0], [0, j])
        assert others == pytest.approx(np.delete(whole[name][0], [0, j]), rel=0.1)


def test_without_draws_nothing_is_measured(likelihood, truth):
    """A row of NaN among others, which have numbers; what is no draw does not count."""
    batch, _ = with_lines(likelihood, truth)
    draws = drawn(truth)
    draws.coordinates[2] = np.nan
    draws.coordinates[1, 10:] = np.nan
    kept = np.array([DRAWS, 10, 0, DRAWS])
    some = Draws(draws.coordinates, draws.log_prob, kept, draws.acceptance)
    columns = observed_line_columns(POSTERIOR, likelihood, some, batch)

    assert np.isnan(columns["observed_ew"][2]).all()
    assert np.isfinite(columns["observed_ew"][[0, 1, 3], 1:]).all()


def test_a_model_whose_lines_are_fixed_has_a_continuum_too():
    """The paper's prior has no strength: what is measured is what was put in."""
    prior = tiny.prior()
    likelihood = Likelihood(load_engine(tiny.TABLE, prior), prior.names, "given")
    coordinates = prior.sample_coordinates(OBJECTS, np.random.default_rng(0))
    theta = torch.tensor(prior.theta(coordinates)).float()
    spectra = [
        likelihood.ssp.flux(torch.cat([theta, torch.full((OBJECTS, 1), strength)], 1),
                            (*prior.names, "line_strength")).numpy()
        for strength in (0.0, 1.0)
    ]  # fmt: skip
    batch = Batch(spectra[1], (200 / spectra[1]) ** 2, np.arange(OBJECTS))
    draws = np.repeat(coordinates[:, None], 3, axis=1)
    truths = Draws(draws, np.zeros(draws.shape[:2]), np.full(OBJECTS, 3), np.ones(OBJECTS))
    posterior = SimpleNamespace(prior=prior, grid=GRID, model=POSTERIOR.model)
    columns = observed_line_columns(posterior, likelihood, truths, batch)
    near = np.abs(GRID.wave - 6568) < 70
    emitted = ((spectra[1] - spectra[0]) * GRID.widths[0])[:, near].sum(1)

    measured = columns["observed_luminosity"][:, [*BLENDS].index("halpha_nii")]
    assert measured == pytest.approx(emitted, rel=0.1)
