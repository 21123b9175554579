"""Spectra through an instrument: limits, invariances, Gaussians of each pixel, both ways to sum."""

import os

import kinematics_table
import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kinematics_table import BOTH, CASES, engine_of
from scipy import stats

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fsps_spectra import direct_ssps
from hpcsbi.simulator.direct.prospector_model import fsps_here, model_of, spectrum
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.instruments import LINE_SPREADS, WIDEST
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.pixel_dispersions import check_instrument, sum_by_pixel
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.survey.record.line_spread import KNOTS, LIGHT, LineSpread, between_knots

STEEP = LineSpread((4700.0, 5200.0), (900.0, 3000.0))  # 142 to 42 km/s


def draws(prior, n=20, seed=0):
    theta = prior.sample(n, np.random.default_rng(seed))
    theta[: n // 2, prior.names.index("tage")] = np.geomspace(0.02, 0.3, n // 2)  # with lines
    for name in BOTH:
        if name in prior.names:  # with the instrument inside of the table
            at = prior.names.index(name)
            theta[:, at] = theta[:, at].clip(60, 370)
    return theta


def steep(n):
    return STEEP.at_knots(kinematics_table.GRID.wave, np.zeros(n))


@pytest.mark.parametrize("case", CASES)
def test_each_pixel_is_smoothed_to_its_own_dispersion(case):
    """Stars and lines, behind their dust, as spectra smoothed to the dispersion of that pixel."""
    dust_type, dust = CASES[case]
    prior, engine = engine_of(dust_type, *dust, *BOTH)
    theta, pixels = draws(prior), range(0, 81, 5)
    added = (steep(1)[0] ** 2 @ between_knots(kinematics_table.GRID.wave))[pixels]
    names, right = prior.names, []
    for square, pixel in zip(added, pixels, strict=True):
        wider = theta.copy()
        for name in BOTH:
            wider[:, names.index(name)] = np.hypot(theta[:, names.index(name)], square**0.5)
        rows = [dict(zip(names, row, strict=True)) for row in wider]
        right.append(kinematics_table.truth(rows, dust_type)[:, pixel])
    right, instrument = np.array(right).T, steep(len(theta))

    flux = engine.flux(torch.tensor(theta), names, torch.tensor(instrument)).numpy()
    for spectra in (flux, exact_spectra(engine, theta, names, instrument)):
        error = np.abs(np.log(spectra[:, pixels] / right))
        assert np.median(error) < 2e-4 and np.percentile(error, 99) < 1e-2
        assert np.sqrt((error**2).mean()) < 5e-4
    for other in (None, torch.tensor(instrument[:, ::-1].copy())):  # negative controls
        moved = engine.flux(torch.tensor(theta), names, other).numpy()[:, pixels]
        assert np.sqrt((np.log(moved / right) ** 2).mean()) > 1e-3


@pytest.mark.parametrize("names", [("dust2", "sigma_smooth"), ("dust2", *BOTH)])
def test_nothing_added_changes_nothing(names):
    """To the rounding of float32."""
    prior, engine = engine_of(2, *names)
    theta = torch.tensor(draws(prior))
    flux = engine.flux(theta, prior.names)
    same = engine.flux(theta, prior.names, torch.zeros(len(theta), KNOTS))
    assert same.numpy() == pytest.approx(flux.numpy(), rel=2e-5)


@settings(max_examples=20, deadline=None)
@given(added=st.floats(0, 150), seed=st.integers(0, 1000))
def test_one_width_at_all_wavelengths_is_a_wider_galaxy(added, seed):
    """Dispersions add in quadrature."""
    prior, engine = engine_of(2, "dust2", *BOTH)
    theta = draws(prior, 4, seed)
    wider = theta.copy()
    for name in BOTH:
        at = prior.names.index(name)
        wider[:, at] = np.hypot(theta[:, at], added)
    through = torch.full((len(theta), KNOTS), added)
    flux = engine.flux(torch.tensor(theta), prior.names, through).numpy()
    assert flux == pytest.approx(engine.flux(torch.tensor(wider), prior.names).numpy(), rel=2e-5)


def test_an_object_has_its_own_curve():
    """Whatever stands beside it in a batch, also of more rows than are worked on at once."""
    prior, engine = engine_of(2, "dust2", *BOTH)
    theta = torch.tensor(np.tile(draws(prior, 10), (400, 1)))
    curves = torch.tensor(np.random.default_rng(1).uniform(0, 100, (len(theta), KNOTS)))
    flux = engine.flux(theta, prior.names, curves)
    for row in (0, 1, 1999, 3999):
        alone = engine.flux(theta[row : row + 1], prior.names, curves[row : row + 1])
        assert alone[0].numpy() == pytest.approx(flux[row].numpy(), rel=1e-4)


def test_slopes_and_both_ways_to_sum():
    """Automatic slopes are those of differences; compiled sums are those of torch."""
    prior, engine = engine_of(2, "dust2", "sigma_smooth")
    theta = torch.tensor(draws(prior))
    instrument = torch.tensor(steep(len(theta)))
    with torch.no_grad():
        compiled = engine.flux(theta, prior.names, instrument)
    written = engine.flux(theta.clone().requires_grad_(), prior.names, instrument).detach()
    assert written.numpy() == pytest.approx(compiled.numpy(), rel=1e-4)

    double = kinematics_table.engine(2, prior).double()
    at, theta = prior.names.index("sigma_smooth"), theta.requires_grad_()
    (slope,) = torch.autograd.grad(double.flux(theta, prior.names, instrument).log().sum(), theta)
    step = 1e-4 * torch.eye(len(prior.names))[at]
    low, high = (
        double.flux(theta.detach() + side * step, prior.names, instrument) for side in (-1, 1)
    )
    numerical = (high.log() - low.log()).sum(1) / 2e-4
    assert slope[:, at].numpy() == pytest.approx(numerical.numpy(), rel=1e-4, abs=1e-7)


@pytest.mark.slow
def test_gas_that_is_free_goes_through_the_instrument():
    """Its continuum as the stars, its lines as lines: as the exact sums."""
    prior, engine = engine_of(2, "dust2", "gas_logu", *BOTH)
    theta, instrument = draws(prior), steep(20)
    exact = exact_spectra(engine, theta, prior.names, instrument)
    flux = engine.flux(torch.tensor(theta), prior.names, torch.tensor(instrument)).numpy()
    error = np.abs(np.log(flux / exact))
    assert np.median(error) < 2e-4 and np.percentile(error, 99) < 1e-2
    assert np.abs(np.log(exact_spectra(engine, theta, prior.names) / exact)).max() > 0.02


def test_sums_are_those_of_chebyshev_polynomials():
    """Numpy's, in any number of degrees and pieces."""
    rng = np.random.default_rng(0)
    for degrees in (2, 3, 7):
        columns = [[slice(4 * k, 4 * k + 3), slice(4 * k + 3, 4 * k + 4)] for k in range(degrees)]
        weighted, basis = rng.normal(size=(5, 4 * degrees)), rng.normal(size=(4 * degrees, 6))
        x = rng.uniform(-1, 1, (5, 6))
        of_degree = np.einsum("nkr,krp->knp", *(
            weighted.reshape(5, degrees, 4), basis.reshape(degrees, 4, 6)
        ))  # fmt: skip
        right = np.polynomial.chebyshev.chebval(x, of_degree, tensor=False)
        made = sum_by_pixel(*map(torch.tensor, (weighted, basis)), columns, torch.tensor(x))
        assert made.numpy() == pytest.approx(right, rel=1e-12, abs=1e-12)


def test_a_dispersion_that_is_not_free_is_refused():
    """An instrument adds to a column."""
    prior, engine = engine_of(2, "dust2")
    with pytest.raises(BadInput, match="adds to sigma_smooth, and the prior has no such column"):
        engine.flux(torch.tensor(draws(prior)), prior.names, torch.zeros(20, KNOTS))


def test_noise_with_instruments_takes_a_dispersion_and_a_table_for_it():
    """One line with the mend."""
    prior, engine = engine_of(2, "dust2", *BOTH)
    noise = SurveyNoise(instrument=True)
    with pytest.raises(BadInput, match=r"no such column: take prior=kinematics"):
        check_instrument(noise, kinematics_table.prior("dust2").columns)
    with pytest.raises(BadInput, match="400 km/s up to 412 wide, and the table ends at 400"):
        check_instrument(noise, prior.columns, engine.kinematics)
    check_instrument(SurveyNoise(), {}, engine.kinematics)
    check_instrument(noise, prior.columns)
    wide = Kinematics.table(prior.columns, kinematics_table.GRID, WIDEST)
    check_instrument(noise, prior.columns, Kinematics(prior.columns, wide.nodes))
    assert (wide.low, wide.high) == (60.0, pytest.approx(412.3, abs=0.1))


def chances(engine, prior, theta, flux, ivar, instrument):
    """Probability below the true dispersion, all other columns known, shape (n,)."""
    likelihood, at = Likelihood(engine, prior.names, "given"), prior.names.index("sigma_smooth")
    grid = torch.linspace(60, 390, 331)
    draws = theta[:, None].repeat(1, len(grid), 1)
    draws[..., at] = grid
    added = None if instrument is None else torch.tensor(instrument).float()
    with torch.no_grad():
        log = likelihood(flux, ivar, draws, added)
    weight = torch.softmax(log, 1)
    return (weight * (grid <= theta[:, at : at + 1])).sum(1).numpy()


def test_dispersions_seen_through_an_instrument_are_recovered():
    """The truth has a uniform rank in its posterior with the curve, and without it none."""
    prior, engine = engine_of(2, "dust2", "sigma_smooth")
    rng, n = np.random.default_rng(5), 200
    theta = draws(prior, n, 5)
    theta[:, prior.names.index("sigma_smooth")] = rng.uniform(60, 390, n)
    theta[:, prior.names.index("dust2")] = 0.3
    theta, desi = torch.tensor(theta).float(), LINE_SPREADS[1]
    instrument = desi.at_knots(kinematics_table.GRID.wave, rng.uniform(0, 0.2, n))
    flux = engine.flux(theta, prior.names, torch.tensor(instrument).float())
    sigma = 0.01 * flux.mean(1, keepdim=True) * torch.ones_like(flux)
    noise = torch.from_numpy(rng.normal(size=flux.shape)).float()
    spectra = theta, flux + sigma * noise, sigma**-2

    right = chances(engine, prior, *spectra, instrument)
    assert stats.kstest(right, "uniform").pvalue > 1e-3
    assert stats.kstest(chances(engine, prior, *spectra, None), "uniform").pvalue < 1e-6
    assert stats.kstest(chances(engine, prior, *spectra, 1.5 * instrument), "uniform").pvalue < 1e-6


def test_likelihoods_through_an_instrument_are_the_same_both_ways():
    """Compiled and differentiable; each object by its own curve, chi squared by hand."""
    prior, engine = engine_of(2, "dust2", *BOTH)
    theta = torch.tensor(draws(prior, 24)).float().view(4, 6, -1)
    curves = torch.tensor(np.random.default_rng(2).uniform(0, 100, (4, KNOTS))).float()
    flux = engine.flux(theta[:, 0], prior.names, curves) * 1.01
    ivar = (0.02 * flux) ** -2
    likelihood = Likelihood(engine, prior.names, "given")
    compiled, chi2 = likelihood.evaluate(flux, ivar, theta, curves)
    written = likelihood(flux, ivar, theta.clone().requires_grad_(), curves).detach()
    model = likelihood.spectra(theta, curves)

    assert written.numpy() == pytest.approx(compiled.numpy(), rel=1e-4)
    by_hand = ((flux[:, None] - model) ** 2 * ivar[:, None]).sum(-1)
    assert chi2.numpy() == pytest.approx(by_hand.numpy(), rel=1e-3, abs=1e-2)
    other = likelihood(flux, ivar, theta, curves.flip(0))
    assert (other - compiled).abs().max() > 1  # negative control


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not os.environ.get("SPS_HOME"), reason="SPS_HOME is not set")
def test_prospectors_line_spread_functions_make_the_same(monkeypatch):
    """Its smoothing by a width at each wavelength, between three metallicities."""
    grid, physics, nodes = Grid(), Physics(), [-0.3, -0.25, -0.2]
    prior = Prior(tiny.columns("kinematics") | {"logzsol": {"low": -0.3, "high": -0.2}})
    free = Kinematics.table(prior.columns, grid, WIDEST)
    tables = direct_ssps(nodes, grid, physics, free=free)
    arrays = {name: tables[name] for name in ("continuum", "lines", "log_age")}
    arrays |= {"logzsol": np.array(nodes), "wave": grid.wave, "sigma_nodes": free.nodes}
    engine = Ssp(**arrays, dust_curve=dust_curve(grid.wave, physics.dust_type), prior=prior)
    theta = prior.sample(8, np.random.default_rng(0))
    added = LINE_SPREADS[1].at_knots(grid.wave, np.linspace(0, 0.4, 8))
    wave = fsps_here().ssp.wavelengths
    direct = []
    for row, curve in zip(theta, added, strict=True):
        square = curve**2 @ between_knots(grid.wave, wave)

        def told(row, fixed, square=square):
            width = np.sqrt(row["sigma_smooth"] ** 2 + square) * wave / LIGHT
            lsf = {"smoothtype": "lsf", "preserve_all_input_frequencies": True}
            return {"sigma_smooth": width} | lsf

        monkeypatch.setattr(Kinematics, "prospector", staticmethod(told))
        direct.append(spectrum(physics, grid, dict(zip(prior.names, row, strict=True))))
    model_of.cache_clear()  # its smoothing stays in it
    flux = engine.flux(torch.tensor(theta), prior.names, torch.tensor(added)).numpy()
    error = np.abs(np.log(flux / np.array(direct)))

    assert np.median(error) < 2e-4 and np.percentile(error, 99) < 5e-3
    swapped = engine.flux(torch.tensor(theta), prior.names, torch.tensor(5 * added)).numpy()
    assert np.percentile(np.abs(np.log(swapped / np.array(direct))), 99) > 5e-3
