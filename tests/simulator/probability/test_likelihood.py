"""The likelihood against formulas, against Prospector, and against itself in float64."""

import copy
import os

import numpy as np
import pytest
import tiny
import torch
from likelihood_bench import FREE, NAMES, SURVEY, WAVE, sigma_of, spectra
from one_device import META, OneDevice
from prospect.likelihood import lnlike_spec
from scipy import stats

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.direct.prospector_model import spectrum
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.observation.sky_lines import sky_shares
from hpcsbi.simulator.observation.templates import SmoothError, line_curves, response_curves
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.probability.pulls import KINDS
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.importance_weights import effective_sample_size


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


def likelihood(engine, kind, names=SURVEY):
    return Likelihood(engine, names, kind, 0.05 if kind == "fractional" else None)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_a_product_of_normals(engine, kind):
    """Spectrum by spectrum, sum of scipy's normal log densities over valid pixels, in float64."""
    noise = FractionalNoise() if kind == "fractional" else SurveyNoise(snr=(3, 100))
    theta, flux, ivar = spectra(engine, noise, 12, 0)
    found, chi2 = likelihood(engine, kind).evaluate(flux, ivar, theta)
    exact = copy.deepcopy(engine).double()

    for i in range(12):
        valid = ivar[i].numpy() > 0
        model = exact.flux(theta[i], SURVEY).numpy()[:, valid]
        y, weight = (a[i].double().numpy()[valid] for a in (flux, ivar))
        floor = theta[i, :, -1:].double().numpy()
        sigma = sigma_of(kind, model, weight, floor)
        expected = stats.norm.logpdf(y, model, sigma).sum(1)
        assert found[i].numpy() == pytest.approx(expected, abs=2e-3, rel=1e-5)
        assert chi2[i].numpy() == pytest.approx((((y - model) / sigma) ** 2).sum(1), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_prospector_on_the_same_spectra(engine, kind):
    """Prospector's own function, given the same model and sigma: 1e-3 in ln L."""
    noise = SurveyNoise(snr=(5, 50)) if kind == "survey" else FractionalNoise()
    theta, flux, ivar = spectra(engine, noise, 40, 1)
    found = likelihood(engine, kind)(flux, ivar, theta[:, :1])[:, 0].numpy()

    for i in range(40):
        valid = ivar[i].numpy() > 0
        model = engine.flux(theta[i, :1], SURVEY)[0].double().numpy()
        weight = np.where(valid, ivar[i].double().numpy(), 1.0)
        observation = {
            "spectrum": flux[i].double().numpy(),
            "unc": sigma_of(kind, model, weight, float(theta[i, 0, -1])),
            "mask": valid,
            "wavelength": Grid().wave,
        }
        assert found[i] == pytest.approx(lnlike_spec(model, observation), abs=1e-3)


def learned_error(rank=3, mean=0.02, seed=0):
    """A mean and templates without any shape; the first template is a line."""
    rng = np.random.default_rng(seed)
    templates = 0.01 * rng.normal(size=(rank, len(WAVE)))
    templates[:1] = 0.05 * (np.arange(len(WAVE)) == 67)
    return LearnedError(mean * rng.normal(size=len(WAVE)), templates, Grid().settings())


ERRORS = {
    "learned": (SURVEY, {"calibration": 0.04, "learned": learned_error()}),
    "learned and smooth": (FREE, {"smooth": SmoothError(150), "learned": learned_error()}),
    "calibrated": (SURVEY, {"calibration": 0.04}),
    "smooth": (SURVEY, {"smooth": SmoothError(150, 0.01)}),
    "all": (FREE, {"calibration": 0.04, "smooth": SmoothError(60)}),
}


@pytest.mark.parametrize("kind", [*KINDS, *ERRORS])
def test_the_compiled_loop_is_the_written_one(engine, kind):
    """Without gradients a compiled loop does it: ln L and chi squared to 2e-3."""
    names, errors = ERRORS.get(kind, (SURVEY, {}))
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(3, 50)), 20, 11, names)
    theta[..., 0] -= torch.tensor([0.0, 1e-3, -1e-3, 3e-3, -3e-3])
    one = Likelihood(engine, names, "survey", **errors) if errors else likelihood(engine, kind)
    compiled, written = (one.evaluate(flux, ivar, rows) for rows in (theta, moving(theta)))

    near = written[0].detach() > written[0].detach()[:, :1] - 30
    assert near[:, 0].all() and not engine.is_compiled(moving(theta))
    for a, b in zip(compiled, written, strict=True):
        assert torch.allclose(a[near], b.detach()[near], rtol=3e-6, atol=2e-3)


def moving(theta):
    return theta.clone().requires_grad_()


@pytest.mark.parametrize("snr, allowed", [(20, 1e-3), (1000, 0.1)])
def test_float32_is_exact_enough(engine, snr, allowed):
    """The float64 engine gives the same ln L to 1e-3 at 5 % noise and to 0.1 at S/N 1000."""
    theta, flux, ivar = spectra(engine, FractionalNoise(1 / snr), 100, 2)
    exact = copy.deepcopy(engine).double()

    single, double = (
        Likelihood(one, SURVEY, "fractional", 1 / snr)(flux, ivar, theta[:, :1])
        for one in (engine, exact)
    )
    assert float((single - double).abs().max()) < allowed


def test_the_engine_against_the_full_sum(engine):
    """At 5 % noise the basis and its interpolation move ln L by hundredths in the median."""
    theta, flux, ivar = spectra(engine, FractionalNoise(), 100, 3, NAMES)
    one = likelihood(engine, "fractional", NAMES)
    full = torch.from_numpy(exact_spectra(engine, theta[:, 0].numpy(), NAMES))[:, None]

    error = (one(flux, ivar, theta[:, :1]) - one.of_model(flux, ivar, full, theta[:, :1])[0]).abs()

    assert float(error.median()) < 0.02 and float(error.max()) < 1


@pytest.mark.parametrize("kind", [*KINDS, *ERRORS])
def test_gradient_is_that_of_finite_differences(engine, kind):
    """Every column's derivative, in float64, to 1e-4 of its own size."""
    double = copy.deepcopy(engine).double()
    names, errors = ERRORS.get(kind, (SURVEY, {}))
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(20, 60)), 6, 4, names)
    theta = theta.double()
    one = Likelihood(double, names, "survey", **errors) if errors else likelihood(double, kind)
    moving = theta.clone().requires_grad_()
    gradient = torch.autograd.grad(one(flux, ivar, moving).sum(), moving)[0]

    for j in range(len(names)):
        step = torch.zeros(len(names), dtype=torch.float64)
        step[j] = 1e-5
        up, down = (one(flux, ivar, theta + sign * step) for sign in (1, -1))
        numeric = (up - down) / 2e-5
        assert torch.allclose(gradient[..., j], numeric, rtol=2e-3, atol=2e-2), names[j]


@pytest.mark.parametrize("kind", ["given", "survey"])
def test_calibration_is_integrated_out(engine, kind):
    """The density of one big normal with the tilts in its covariance, and its chi squared."""
    noise = SurveyNoise(snr=(5, 60), calibration=0.05)
    theta, flux, ivar = spectra(engine, noise, 8, 9)
    found, chi2 = Likelihood(engine, SURVEY, kind, calibration=0.05).evaluate(flux, ivar, theta)

    curves = response_curves(WAVE.double()).numpy()
    for i in range(8):
        valid = ivar[i].numpy() > 0
        y, weight = (a[i].double().numpy()[valid] for a in (flux, ivar))
        models = engine.flux(theta[i], SURVEY).double().numpy()[:, valid]
        for j, model in enumerate(models):
            sigma = sigma_of(kind, model, weight, float(theta[i, j, -1]))
            design = 0.05 * curves[:, valid] * model
            # In units of sigma, where the covariance is well conditioned.
            covariance = np.eye(valid.sum()) + (design / sigma).T @ (design / sigma)
            normal = stats.multivariate_normal(np.zeros(valid.sum()), covariance)
            pull = (y - model) / sigma
            expected = normal.logpdf(pull) - np.log(sigma).sum()
            assert float(found[i, j]) == pytest.approx(expected, abs=5e-3, rel=5e-6)
            squared = pull @ np.linalg.solve(covariance, pull)
            assert float(chi2[i, j]) == pytest.approx(squared, rel=1e-3)


def of_big_normals(engine, kind, theta, flux, ivar, fixed, smooth):
    """ln density and chi squared of draws of one object, by one big normal each, (draws,).

    `fixed` are templates times their standard deviations; theta ends with floor and model error.
    """
    valid, wave = ivar.numpy() > 0, torch.from_numpy(engine.wave)
    curves = smooth.curves(engine.wave).dense(wave).numpy() if smooth else np.zeros((1, len(wave)))
    y, weight = (a.double().numpy()[valid] for a in (flux, ivar))
    models, values = engine.flux(theta, FREE).double().numpy()[:, valid], []
    for model, (floor, error) in zip(models, theta[:, -2:].double().numpy(), strict=True):
        sigma = sigma_of(kind, model, weight, floor)
        whole = error**2 * curves.T @ curves + fixed.T @ fixed
        # In units of sigma, where the covariance is well conditioned.
        relative, pull = model / sigma, (y - model) / sigma
        whole = np.eye(valid.sum()) + relative[:, None] * whole[valid][:, valid] * relative
        normal = stats.multivariate_normal(np.zeros(valid.sum()), whole)
        squared = pull @ np.linalg.solve(whole, pull)
        values.append((normal.logpdf(pull) - np.log(sigma).sum(), squared))
    return np.transpose(values)


@pytest.mark.parametrize("kind", ["given", "survey"])
@pytest.mark.parametrize("length", [60.0, 200.0])
@pytest.mark.parametrize("calibration", [0.0, 0.04])
def test_a_smooth_error_is_integrated_out(engine, kind, length, calibration):
    """The density of one big normal with a Gaussian process in its covariance, draw by draw."""
    noise = SurveyNoise(snr=(5, 60), calibration=calibration, model_error_length=length)
    theta, flux, ivar = spectra(engine, noise, 6, 9, FREE)
    one = Likelihood(engine, FREE, kind, None, calibration, SmoothError(length))
    found, chi2 = one.evaluate(flux, ivar, theta)
    other = Likelihood(engine, FREE, kind, None, calibration, SmoothError(1.2 * length))
    of_model = one.of_model(
        flux, ivar, engine.flux(theta.flatten(0, 1), FREE).view(6, 5, -1), theta
    )

    wave = torch.from_numpy(engine.wave)
    tilts, smooth = calibration * response_curves(wave).numpy(), SmoothError(length)
    for i in range(6):
        expected, squared = of_big_normals(engine, kind, theta[i], flux[i], ivar[i], tilts, smooth)
        assert found[i].numpy() == pytest.approx(expected, abs=5e-3, rel=5e-6)
        assert chi2[i].numpy() == pytest.approx(squared, rel=1e-3)
    for a, b in zip((found, chi2), of_model, strict=True):
        assert torch.allclose(a, b, rtol=3e-6, atol=5e-3)
    # Control: a length that is a fifth off is another density.
    assert (other(flux, ivar, theta) - found).abs().max() > 0.5


@pytest.mark.parametrize("kind", ["given", "survey"])
@pytest.mark.parametrize("smooth", [None, SmoothError(200)])
def test_errors_of_lines_are_integrated_out(engine, kind, smooth):
    """The density of one big normal with the lines in its covariance; half of them is another."""
    noise = SurveyNoise(snr=(5, 60), line_error=3.0)
    theta, flux, ivar = spectra(engine, noise, 6, 9, FREE)
    one, other = (Likelihood(engine, FREE, kind, None, 0.04, smooth, x) for x in (3.0, 1.5))
    found, _ = one.evaluate(flux, ivar, theta)

    wave = torch.from_numpy(engine.wave)
    fixed = torch.cat([0.04 * response_curves(wave), 3.0 * line_curves(wave)]).numpy()
    for i in range(6):
        expected, _ = of_big_normals(engine, kind, theta[i], flux[i], ivar[i], fixed, smooth)
        assert found[i].numpy() == pytest.approx(expected, abs=5e-3, rel=5e-6)
    assert (other(flux, ivar, theta) - found).abs().max() > 0.5


@pytest.mark.parametrize("kind", ["given", "survey"])
@pytest.mark.parametrize("smooth", [None, SmoothError(200)])
def test_learned_errors_are_integrated_out(engine, kind, smooth):
    """The density of one big normal about (1 + mean) times the model, templates in its covariance:
    floor and templates are fractions of that product. Half of the mean is another density.
    """
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(5, 60)), 6, 9, FREE)
    error = learned_error()
    one, other = (
        Likelihood(engine, FREE, kind, None, 0.04, smooth, 0.0, each)
        for each in (error, learned_error(mean=0.01))
    )
    found, chi2 = one.evaluate(flux, ivar, theta)

    wave, products = torch.from_numpy(engine.wave), copy.copy(engine)
    products.flux = lambda *rows: engine.flux(*rows) * torch.from_numpy(error.factor)
    fixed = np.concatenate([0.04 * response_curves(wave).numpy(), error.curves])
    for i in range(6):
        rows = theta[i], flux[i], ivar[i], fixed, smooth
        expected, squared = of_big_normals(products, kind, *rows)
        assert found[i].numpy() == pytest.approx(expected, abs=5e-3, rel=5e-6)
        assert chi2[i].numpy() == pytest.approx(squared, rel=1e-3)
    assert (other(flux, ivar, theta) - found).abs().max() > 0.5


MOVED = AdditiveErrors(900.0, 900.0)  # of pixels of 42 Angstrom, which few km/s do not move


@pytest.mark.parametrize("kind", ["given", "survey"])
@pytest.mark.parametrize("smooth", [None, SmoothError(200)])
def test_errors_that_add_are_integrated_out(engine, kind, smooth):
    """The density of one big normal with each draw's own templates; half of them is another."""
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(5, 60)), 6, 9, FREE)
    half = AdditiveErrors(450.0, 600.0)
    one, other = (
        Likelihood(engine, FREE, kind, None, 0.04, smooth, additive=each) for each in (MOVED, half)
    )
    found, squared = one.evaluate(flux, ivar, theta)
    exact = copy.deepcopy(engine).double()
    slow = Likelihood(exact, FREE, kind, None, 0.04, smooth, additive=MOVED)
    models = exact.flux(theta.flatten(0, 1), FREE)
    models = models.unflatten(0, (6, 5))
    own, models = MOVED.templates(models, slow.wave).numpy(), models.numpy()
    wave = torch.from_numpy(engine.wave)
    curves = [0.04 * response_curves(wave).numpy()]
    curves += [smooth.curves(engine.wave).dense(wave).numpy()] if smooth else []
    for i in range(6):
        valid = ivar[i].numpy() > 0
        y, weight = (a[i].double().numpy()[valid] for a in (flux, ivar))
        for j in range(5):
            model, (floor, error) = models[i, j][valid], theta[i, j, -2:].double().numpy()
            sigma = sigma_of(kind, model, weight, floor)
            sizes = [1.0, error][: len(curves)]
            rows = [a[:, valid] * model * s for a, s in zip(curves, sizes, strict=True)]
            design = np.concatenate([*rows, own[i, j][:, valid]]) / sigma
            covariance, pull = np.eye(valid.sum()) + design.T @ design, (y - model) / sigma
            normal = stats.multivariate_normal(np.zeros(valid.sum()), covariance)
            expected = normal.logpdf(pull) - np.log(sigma).sum()
            assert float(found[i, j]) == pytest.approx(expected, abs=5e-3, rel=5e-6)
            chi2 = pull @ np.linalg.solve(covariance, pull)
            assert float(squared[i, j]) == pytest.approx(chi2, rel=1e-3)
    assert torch.allclose(slow(flux, ivar, theta.double()), found, rtol=5e-6, atol=5e-3)
    assert (other(flux, ivar, theta) - found).abs().max() > 0.5


def test_an_amplitude_that_is_integrated_over_by_numbers_is_the_same(engine):
    """Of the redshift: the likelihood without it of data that are moved back, on a fine ladder."""
    noise, error = SurveyNoise(snr=(20, 60)), AdditiveErrors(900.0)
    theta, flux, ivar = spectra(engine, noise, 4, 2)
    plain = Likelihood(engine, SURVEY, "survey")
    amplitudes = torch.linspace(-6, 6, 241).double()
    found = Likelihood(engine, SURVEY, "survey", additive=error)(flux, ivar, theta[:, :1])
    model = engine.flux(theta[:, 0], SURVEY)
    template = error.templates(model[:, None].double(), plain.wave)[:, 0, 0]
    moved = flux - amplitudes[:, None, None] * template
    values = torch.stack([plain(each.float(), ivar, theta[:, :1])[:, 0] for each in moved], 1)
    weight = stats.norm.logpdf(amplitudes.numpy()) + np.log(0.05)
    right = torch.logsumexp(values + torch.from_numpy(weight), 1)

    assert torch.allclose(found[:, 0], right, atol=0.01)
    assert (found[:, 0] - values[:, 120]).abs().max() > 0.5


def test_the_truth_fits_only_with_its_moved_lines(engine):
    """Spectra that the simulator made with it: chi squared is the number of pixels, else not;
    what is most probable brings the model onto the data.
    """
    noise = SurveyNoise((100, 1000), calibration=0.04, redshift_error=300, width_error=300)
    theta, flux, ivar = spectra(engine, noise, 100, 5)
    theta, pixels = theta[:, :1], (ivar > 0).sum(1)
    one = of_simulator(engine, SURVEY, noise)
    without = of_simulator(engine, SURVEY, SurveyNoise(calibration=0.04))
    chi2 = one.evaluate(flux, ivar, theta)[1][:, 0]
    expected, plain = (x.expected_spectra(flux, ivar, theta)[:, 0] for x in (one, without))
    floor = theta[:, 0, -1:]

    assert abs((chi2 - pixels).sum()) < 4.5 * (2 * pixels.sum()) ** 0.5
    assert (without.evaluate(flux, ivar, theta)[1][:, 0] / pixels).mean() > 1.5
    misfit = [
        (((flux - each) ** 2) / (1 / ivar + (floor * each) ** 2))[ivar > 0].mean()
        for each in (expected, plain)
    ]
    assert misfit[0] < 1.1 < 1.5 < misfit[1]


TOLD = (*SURVEY, "zred")


def test_the_sky_is_integrated_out_where_each_object_has_it(engine):
    """By one big normal with the templates of its redshift; of another redshift it is another. A
    draw that is not finite changes no other.
    """
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(5, 60)), 6, 9)
    zred, error = torch.rand(6), AdditiveErrors(sky=4.0)
    theta = torch.cat([theta, zred[:, None, None].expand(-1, 5, 1)], -1)
    one = Likelihood(engine, TOLD, "survey", additive=error)
    found = one(flux, ivar, theta)
    plain = Likelihood(engine, SURVEY, "survey")
    model = plain.spectra(theta[..., :-1])
    pull, scaled, *_ = plain.over_sigma(flux, ivar, model, theta)
    shares = 4 * sky_shares(torch.from_numpy(engine.wave), zred).numpy()
    without, other = plain(flux, ivar, theta[..., :-1]), theta.clone()
    for i in range(6):
        valid = ivar[i].numpy() > 0
        for j in range(5):
            floor = float(theta[i, j, SURVEY.index("noise_floor")])
            over = (1 - (floor * scaled[i, j].double().numpy()) ** 2).clip(0) ** 0.5
            design = shares[i] * np.where(valid, over, 0)
            r = pull[i, j].double().numpy()
            covariance = np.eye(len(r)) + design.T @ design
            gain = r @ r - r @ np.linalg.solve(covariance, r)
            expected = 0.5 * (gain - np.linalg.slogdet(covariance)[1])
            assert float(found[i, j] - without[i, j]) == pytest.approx(expected, abs=0.02)
    other[..., -1] += 0.05
    assert (one(flux, ivar, other) - found).abs().max() > 0.5
    theta[:, 1] = torch.nan
    again = one(flux, ivar, theta)
    assert torch.equal(again[:, [0, 2, 3, 4]], found[:, [0, 2, 3, 4]])
    assert (again[:, 1] == -torch.inf).all()


def test_the_truth_fits_only_with_its_sky(engine):
    """Spectra that the simulator made with it, at the redshifts that it was told."""
    noise = SurveyNoise((100, 1000), cut=0.0, calibration=0.04, sky_error=5.0)
    rng = np.random.default_rng(3)
    theta = torch.from_numpy(tiny.prior(survey=True).sample(200, rng)).float()
    zred, generator = 0.3 * torch.rand(200), torch.Generator().manual_seed(1)
    floor = theta[:, SURVEY.index("noise_floor")]
    flux, ivar, told = noise(engine.flux(theta, SURVEY), WAVE, floor, generator, zred)
    theta = torch.cat([theta, zred[:, None]], 1)[:, None]
    pixels = (ivar > 0).sum(1)
    with_it = of_simulator(engine, TOLD, noise).evaluate(flux, ivar, theta)[1][:, 0]
    plain = SurveyNoise(calibration=0.04)
    without = of_simulator(engine, TOLD, plain).evaluate(flux, ivar, theta)[1][:, 0]

    assert torch.equal(told, zred)
    assert abs((with_it - pixels).sum()) < 4.5 * (2 * pixels.sum()) ** 0.5
    assert (without / pixels).mean() > 1.2
    with pytest.raises(BadInput, match="no column zred"):
        of_simulator(engine, SURVEY, noise)


def test_the_mean_is_a_change_of_variables(engine):
    """Data over 1 + mean, with the density's factor, have the likelihood of no mean at all."""
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(5, 60)), 12, 3)
    error = learned_error()
    factor = torch.from_numpy(error.factor).float()
    bare = LearnedError(np.zeros(len(WAVE)), error.templates, error.grid)
    one, other = (Likelihood(engine, SURVEY, "survey", learned=each) for each in (error, bare))
    logarithm = torch.where(ivar > 0, factor.double().log(), 0.0).sum(1, keepdim=True)

    same = other(flux / factor, ivar * factor**2, theta) - logarithm
    assert torch.allclose(one(flux, ivar, theta), same, rtol=3e-6, atol=5e-3)


def test_the_truth_fits_only_with_its_learned_error(engine):
    """Spectra that the simulator made with it: chi squared is the number of pixels, else not."""
    noise = SurveyNoise(snr=(100, 1000), calibration=0.04, learned=learned_error())
    theta, flux, ivar = spectra(engine, noise, 200, 5)
    pixels = (ivar > 0).sum(1)
    with_it = of_simulator(engine, SURVEY, noise).evaluate(flux, ivar, theta[:, :1])[1][:, 0]
    without = of_simulator(engine, SURVEY, SurveyNoise(calibration=0.04))
    without = without.evaluate(flux, ivar, theta[:, :1])[1][:, 0]

    # Each is chi squared of so many degrees: the mean of 200 scatters by their root.
    assert abs((with_it - pixels).sum()) < 4.5 * (2 * pixels.sum()) ** 0.5
    assert (without / pixels).median() > 1.2


def test_an_error_without_mean_and_templates_is_none(engine):
    """To the bit."""
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(5, 60)), 6, 3)
    none = LearnedError(np.zeros(len(WAVE)), [], Grid().settings())
    one = Likelihood(engine, SURVEY, "survey", None, 0.04, learned=none)

    assert torch.equal(
        one(flux, ivar, theta), Likelihood(engine, SURVEY, "survey", None, 0.04)(flux, ivar, theta)
    )
    assert torch.equal(
        one.expected_spectra(flux, ivar, theta),
        Likelihood(engine, SURVEY, "survey", None, 0.04).expected_spectra(flux, ivar, theta),
    )


@pytest.mark.parametrize("length", [60.0, 200.0])
def test_the_truth_fits_only_with_its_smooth_error(engine, length):
    """Chi squared of the truth is the number of pixels; with half the error it is not."""
    prior = tiny.prior(survey=True).columns | {"model_error": Column(0.02, 0.1)}
    theta = torch.from_numpy(Prior(prior).sample(300, np.random.default_rng(10))).float()
    theta[:, FREE.index("noise_floor")] = 0.003
    noise = SurveyNoise(snr=(100, 300), cut=0.0, model_error_length=length)
    generator = torch.Generator().manual_seed(10)
    model = engine.flux(theta, FREE)
    flux, ivar, _ = noise(model, WAVE, theta[:, -2], generator, None, theta[:, -1])
    one = Likelihood(engine, FREE, "survey", smooth=SmoothError(length))
    smaller = theta * torch.where(torch.arange(len(FREE)) == len(FREE) - 1, 0.5, 1.0)
    shares = [
        float((one.evaluate(flux, ivar, rows[:, None])[1][:, 0] / (ivar > 0).sum(1)).mean())
        for rows in (theta, smaller)
    ]

    assert abs(shares[0] - 1) < 4 * np.sqrt(2 / 130 / 300)
    assert shares[1] > 1.15


def test_no_error_of_the_model_is_the_likelihood_without(engine):
    """An amplitude that goes to zero; and the amplitude that made the spectra is the best."""
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(100, 300), cut=0.0), 200, 12, FREE)
    theta = theta[:, :1].repeat(1, 7, 1)
    factors = torch.tensor([1e-6, 0.3, 0.7, 1.0, 1.4, 3.0, 10.0])
    theta[..., -1] *= factors
    found = Likelihood(engine, FREE, "survey", smooth=SmoothError(200))(flux, ivar, theta)
    without = Likelihood(engine, SURVEY, "survey")(flux, ivar, theta[..., :-1])

    assert torch.allclose(found[:, 0], without[:, 0], rtol=1e-6, atol=2e-3)
    assert int(found.mean(0).argmax()) == 3


def test_the_truth_fits_only_with_its_calibration(engine):
    """Chi squared of the truth is the number of pixels; without the tilts far above it."""
    noise = SurveyNoise(snr=(50, 200), cut=0.0, calibration=0.05)
    theta, flux, ivar = spectra(engine, noise, 200, 10)
    pixels = (ivar > 0).sum(1)
    share = {}
    for calibration in (0.0, 0.05):
        one = Likelihood(engine, SURVEY, "survey", calibration=calibration)
        share[calibration] = float(
            (one.evaluate(flux, ivar, theta[:, :1])[1][:, 0] / pixels).mean()
        )

    assert abs(share[0.05] - 1) < 4 * np.sqrt(2 / 130 / 200)
    assert share[0.0] > 2


def test_expected_spectra_follow_the_calibration(engine):
    """Where noise is low they are the tilted spectrum, however masked; else the model itself."""
    theta = torch.from_numpy(tiny.prior(survey=True).sample(20, np.random.default_rng(3))).float()
    theta[:, SURVEY.index("noise_floor")] = 1e-4
    model = engine.flux(theta, SURVEY)
    amplitudes = 0.05 * torch.randn(20, 3, generator=torch.Generator().manual_seed(3))
    flux = model * (1 + amplitudes @ response_curves(WAVE))
    ivar = (1000 / model) ** 2
    ivar[:, 40:60] = 0

    def off(likelihood, ivar):
        expected = likelihood.expected_spectra(flux, ivar, theta[:, None])[:, 0]
        return abs(expected / flux - 1).amax(1)

    tilted = Likelihood(engine, SURVEY, "survey", calibration=0.05)
    assert off(tilted, ivar).max() < 1e-3
    assert torch.equal(off(tilted, 0 * ivar), abs(model / flux - 1).amax(1))
    assert off(Likelihood(engine, SURVEY, "survey"), ivar).median() > 0.05


def test_expected_spectra_follow_the_smooth_error(engine):
    """Where noise is low, and some pixels beyond; far from any datum they are the model itself."""
    theta = torch.from_numpy(tiny.prior(survey=True).sample(20, np.random.default_rng(3))).float()
    theta[:, SURVEY.index("noise_floor")] = 1e-4
    model, smooth = engine.flux(theta, SURVEY), SmoothError(200, 0.03)
    curves = smooth.curves(engine.wave).dense(WAVE)
    amplitudes = 0.03 * torch.randn(20, len(curves), generator=torch.Generator().manual_seed(3))
    flux, ivar = model * (1 + amplitudes @ curves), (1000 / model) ** 2
    ivar[:, 60:62] = 0
    ivar[:, 100:] = 0
    one = Likelihood(engine, SURVEY, "survey", smooth=smooth)
    expected = one.expected_spectra(flux, ivar, theta[:, None])[:, 0]
    off, before = abs(expected / flux - 1), abs(model / flux - 1)

    assert off[:, :100].max() < 5e-3 < before[:, :100].amax(1).median()
    assert torch.allclose(expected[:, 125:], model[:, 125:], rtol=1e-4)


def test_masked_pixels_do_not_count(engine):
    """Not a number under ivar = 0 changes nothing, and an empty spectrum has ln L = 0."""
    theta, flux, ivar = spectra(engine, SurveyNoise(snr=(20, 60)), 6, 5)
    ivar[:, 30:60] = 0
    ivar[5] = 0
    broken = flux.clone()
    broken[:, 30:60] = torch.nan

    for kind in KINDS:
        one = likelihood(engine, kind)
        assert torch.equal(one(flux, ivar, theta), one(broken, ivar, theta))
        assert float(one(flux, ivar, theta)[5].abs().max()) == 0


def test_a_model_that_is_not_finite_has_no_likelihood(engine):
    """Parameters that are not numbers have ln L = -inf, not NaN."""
    theta, flux, ivar = spectra(engine, FractionalNoise(), 2, 6)
    theta[0, 1] = torch.nan

    found = likelihood(engine, "fractional")(flux, ivar, theta)

    assert found[0, 1] == -torch.inf and torch.isfinite(found).sum() == 9


def test_sigma_of_the_observed_flux_is_noticed(engine):
    """As weights of draws from the right posterior, the wrong sigma costs effective draws."""
    rng = np.random.default_rng(7)
    truth = torch.tensor([[10.0, -0.5, 1.0, 3.0, 1.0]])
    flux, ivar, _ = FractionalNoise()(
        engine.flux(truth, NAMES).expand(30, -1), WAVE, None, torch.Generator().manual_seed(7)
    )
    # A posterior on mass alone, by its own grid.
    theta = truth.repeat(30, 4001, 1)
    theta[..., 0] += torch.linspace(-0.02, 0.02, 4001)
    right = likelihood(engine, "fractional", NAMES)(flux, ivar, theta).numpy()
    wrong = likelihood(engine, "given", NAMES)(flux, ivar, theta).numpy()

    shares = []
    for a, b in zip(right, wrong, strict=True):
        p = np.exp(a - a.max())
        drawn = rng.choice(4001, 2000, p=p / p.sum())
        shares.append(effective_sample_size(b[drawn] - a[drawn]) / 2000)
    assert np.median(shares) < 0.7


def test_simulators_have_their_likelihood(engine):
    """A noise model names it; nonsense is refused."""
    one = of_simulator(engine, NAMES, FractionalNoise(0.03))
    assert (one.kind, one.fraction) == ("fractional", 0.03)
    assert of_simulator(engine, NAMES, SurveyNoise()).kind == "survey"
    tilted = of_simulator(engine, NAMES, SurveyNoise(calibration=0.04))
    assert tilted.amplitudes.curves.abs().max() == pytest.approx(0.04)
    free = of_simulator(engine, FREE, SurveyNoise(model_error_length=90))
    assert free.smooth == SmoothError(90, None)
    assert of_simulator(engine, NAMES, SurveyNoise(model_error=0.02)).smooth.amplitude == 0.02

    with pytest.raises(ValueError, match="choose from fractional, survey, given"):
        Likelihood(engine, NAMES, "poisson")
    with pytest.raises(ValueError, match="fraction=None"):
        Likelihood(engine, NAMES, "fractional")
    with pytest.raises(ValueError, match="no calibration"):
        Likelihood(engine, NAMES, "fractional", 0.05, 0.04)
    with pytest.raises(ValueError, match="no smooth error"):
        Likelihood(engine, NAMES, "fractional", 0.05, smooth=SmoothError())
    with pytest.raises(ValueError, match="no error of lines"):
        Likelihood(engine, NAMES, "fractional", 0.05, lines=1.0)
    with pytest.raises(ValueError, match="no learned error"):
        Likelihood(engine, NAMES, "fractional", 0.05, learned=learned_error())
    with pytest.raises(ValueError, match="no additive error"):
        Likelihood(engine, NAMES, "fractional", 0.05, additive=MOVED)
    with pytest.raises(ValueError, match="column model_error"):
        of_simulator(engine, FREE, FractionalNoise())


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif("SPS_HOME" not in os.environ, reason="SPS_HOME is not set")
def test_table_against_direct_fsps(engine):
    """ln L of Prospector's spectra from the table and from FSPS: 0.1 apart in the median at 5 %."""
    rng = np.random.default_rng(8)
    theta = tiny.prior().sample(10, rng).astype(np.float32)
    rows = [dict(zip(NAMES, row, strict=True)) for row in theta.astype(float).tolist()]
    direct = torch.from_numpy(np.stack([spectrum(Physics(), Grid(), row) for row in rows]))
    flux, ivar, _ = FractionalNoise()(direct.float(), WAVE, None, torch.Generator().manual_seed(8))
    one = likelihood(engine, "fractional", NAMES)

    table = one(flux, ivar, torch.from_numpy(theta)[:, None])
    rows = torch.from_numpy(theta)[:, None]
    error = (table - one.of_model(flux, ivar, direct[:, None], rows)[0]).abs()

    assert float(error.median()) < 0.1 and float(error.max()) < 1


@pytest.mark.parametrize(
    "errors",
    [{}, ERRORS["calibrated"][1], ERRORS["smooth"][1], ERRORS["learned"][1], {"additive": MOVED}],
)
def test_the_table_and_the_curves_move_with_it(engine, errors):
    """Moved, it takes spectra and theta of its new device and mixes no others in."""
    elsewhere = Likelihood(copy.deepcopy(engine), SURVEY, "survey", **errors)
    flux, theta = torch.ones(3, len(WAVE), device=META), torch.ones(3, 5, len(SURVEY), device=META)

    with OneDevice():
        log_likelihood, chi2 = elsewhere.to(META).evaluate(flux, flux, theta)

    assert log_likelihood.device == chi2.device == elsewhere.device == META
    assert log_likelihood.shape == (3, 5)
