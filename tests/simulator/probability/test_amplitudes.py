"""Amplitudes of templates, given a spectrum: against the formulas of a linear Gaussian model."""

import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.templates import SmoothError, line_curves, line_groups
from hpcsbi.simulator.probability.amplitudes import Amplitudes

WAVE = Grid().wave
CASES = [(0.04, None), (0.0, SmoothError(200)), (0.04, SmoothError(70)), (0.04, SmoothError(2000))]


def spectra(seed: int = 0, objects: int = 3, draws: int = 4):
    """Pulls, models over sigma with masked pixels, and standard deviations of the smooth error."""
    rng = np.random.default_rng(seed)
    pull = rng.normal(size=(objects, draws, len(WAVE)))
    scaled = rng.uniform(20, 60, pull.shape)
    masked = rng.random((objects, 1, len(WAVE))) < 0.2
    masked[0, :, 100:] = True
    error = rng.uniform(0.005, 0.05, pull.shape[:2])
    return [
        torch.tensor(a) for a in (np.where(masked, 0, pull), np.where(masked, 0, scaled), error)
    ]


def covariance(amplitudes: Amplitudes, error: float) -> np.ndarray:
    """Of the errors in pixels, before any spectrum."""
    curves = amplitudes.curves.numpy().copy()
    curves[amplitudes.everywhere :] *= error
    return curves.T @ curves


@pytest.mark.parametrize(("calibration", "smooth"), CASES)
def test_excess_of_lines_is_that_of_a_joint_normal_distribution(calibration, smooth):
    """Of pixels and amplitudes in one large covariance, conditioned on the pixels that are seen."""
    amplitudes, (pull, scaled, error) = Amplitudes(WAVE, calibration, smooth, 2.5), spectra(3)
    mean, variance = amplitudes.of_line_groups(pull, scaled, error)
    curves = line_curves(torch.from_numpy(WAVE)).numpy()

    assert amplitudes.groups == line_groups(torch.from_numpy(WAVE)) and len(curves) > 8
    assert mean.shape == variance.shape == (3, 4, len(curves))
    for i in range(3):
        for j in range(4):
            relative = np.diag(scaled[i, j].numpy())
            before = covariance(amplitudes, float(error[i, j]))
            lines = 2.5**2 * np.eye(len(curves))
            both = lines @ curves @ relative  # of amplitudes and pixels
            of_pulls = np.eye(len(WAVE)) + relative @ before @ relative
            after = lines - both @ np.linalg.solve(of_pulls, both.T)
            right = both @ np.linalg.solve(of_pulls, pull[i, j].numpy())
            np.testing.assert_allclose(mean[i, j], right, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(variance[i, j], np.diag(after), rtol=1e-6)


@pytest.mark.parametrize(("calibration", "smooth"), CASES)
def test_errors_given_a_spectrum_are_those_of_a_gaussian_process(calibration, smooth):
    """Mean, and variance of sums over pixels, by conditioning in pixels; the density as well."""
    amplitudes, (pull, scaled, error) = Amplitudes(WAVE, calibration, smooth), spectra()
    sums = torch.rand(6, len(WAVE)).double().expand(3, 4, -1, -1)
    expected, _ = amplitudes.expected(pull, scaled, error)
    variance = amplitudes.variance(sums, pull, scaled, error)
    nothing = torch.zeros(3, 4).double()
    chi2, log_det = amplitudes.integrated(pull, scaled, error, (pull**2).sum(-1), nothing)

    for i in range(3):
        for j in range(4):
            before = covariance(amplitudes, float(error[i, j]))
            relative = np.diag(scaled[i, j].numpy())
            of_pulls = np.eye(len(WAVE)) + relative @ before @ relative
            gain = before @ relative @ np.linalg.inv(of_pulls)
            r = pull[i, j].numpy()
            np.testing.assert_allclose(expected[i, j], gain @ r, atol=1e-8)
            after = before - gain @ relative @ before
            some = sums[i, j].numpy()
            np.testing.assert_allclose(variance[i, j], np.diag(some @ after @ some.T), rtol=1e-5)
            assert float(chi2[i, j]) == pytest.approx(r @ np.linalg.solve(of_pulls, r))
            assert float(log_det[i, j]) == pytest.approx(np.linalg.slogdet(of_pulls)[1])


def test_what_a_spectrum_does_not_hold_is_not_known():
    """Where nothing is measured the variance is that of before, elsewhere far less."""
    amplitudes, (pull, scaled, error) = Amplitudes(WAVE, 0.0, SmoothError(200)), spectra()
    pixels = torch.eye(len(WAVE)).double().expand(3, 4, -1, -1)
    share = amplitudes.variance(pixels, pull, scaled, error) / error[..., None] ** 2

    assert share[0, :, 125:].min() > 0.98
    assert share[0, :, 10:90].median() < 0.5  # a few pixels lie in masked stretches
    assert share.max() < 1 + 1e-9


def test_many_objects_are_worked_on_in_parts(monkeypatch):
    """With the same numbers as all at once."""
    amplitudes, rows = Amplitudes(WAVE, 0.04, SmoothError(100)), spectra(2, objects=7)
    whole, _ = amplitudes.expected(*rows)
    monkeypatch.setattr(
        "hpcsbi.simulator.probability.amplitudes.ENTRIES", 2 * 4 * len(amplitudes) ** 2
    )

    assert torch.allclose(amplitudes.expected(*rows)[0], whole, atol=1e-12)


@pytest.mark.parametrize(("calibration", "smooth"), CASES)
def test_lines_are_no_smooth_error(calibration, smooth):
    """They add nothing to the variance of sums where no pixel of theirs tells their amplitudes."""
    with_lines, without = (Amplitudes(WAVE, calibration, smooth, x) for x in (5.0, 0.0))
    pull, scaled, error = spectra()
    quiet = torch.from_numpy((with_lines.curves[with_lines.of_lines] < 1e-9).numpy().all(0))
    pull, scaled = pull * quiet, scaled * quiet
    sums = (~quiet).double().expand(3, 4, 1, -1)
    one, other = (each.variance(sums, pull, scaled, error) for each in (with_lines, without))

    assert (~quiet).sum() > 10 and torch.allclose(one, other, rtol=1e-6)
    assert with_lines.kinds == (
        *without.kinds[: bool(calibration)],
        "lines",
        *without.kinds[bool(calibration) :],
    )
    expected = (each.expected(pull, scaled, error)[0] for each in (with_lines, without))
    assert torch.allclose(*expected, atol=1e-6)  # nor are lines expected where nothing tells them


@pytest.mark.parametrize(("calibration", "smooth"), CASES)
def test_residuals_lack_the_most_probable_errors(calibration, smooth):
    """C^-1 r in pixels, whether r is told whole or as noise and amplitudes apart."""
    amplitudes, (pull, scaled, error) = Amplitudes(WAVE, calibration, smooth), spectra()
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 4, 5, len(WAVE), generator=rng).double() * (scaled > 0)[:, :, None]
    drawn = torch.randn(3, 4, 5, len(amplitudes), generator=rng).double()
    deviations = torch.ones(3, 4, len(amplitudes)).double()
    deviations[..., amplitudes.everywhere :] = error[..., None]
    design = amplitudes.curves * deviations[..., None] * scaled[..., None, :]
    whole = noise + drawn @ design
    apart = amplitudes.residuals(noise, drawn, scaled, error)
    together = amplitudes.residuals(whole, torch.zeros_like(drawn), scaled, error)
    covariance = torch.eye(len(WAVE)).double() + design.mT @ design
    expected = torch.linalg.solve(covariance, whole.mT).mT

    np.testing.assert_allclose(apart, expected, atol=1e-8)
    np.testing.assert_allclose(together, expected, atol=1e-8)
    one = amplitudes.residuals(pull[..., None, :], torch.zeros_like(drawn[:, :, :1]), scaled, error)
    best = pull - amplitudes.expected(pull, scaled, error)[0] * scaled
    np.testing.assert_allclose(one[:, :, 0], best, atol=1e-8)


@pytest.mark.parametrize(("calibration", "smooth"), CASES)
def test_templates_of_each_spectrum_stand_beside_the_others(calibration, smooth):
    """All that is asked of amplitudes, by one large covariance of pixels and amplitudes."""
    amplitudes = Amplitudes(WAVE, calibration, smooth, 2.5, additive=AdditiveErrors(30, 80))
    pull, scaled, error = spectra(5)
    rng = torch.Generator().manual_seed(1)
    own = torch.randn(3, 4, 2, len(WAVE), generator=rng).double() * (scaled > 0)[:, :, None]
    drawn = torch.randn(3, 4, 5, len(amplitudes), generator=rng).double()
    nothing = torch.zeros(3, 4).double()
    squared = (pull**2).sum(-1)
    chi2, log_det = amplitudes.integrated(pull, scaled, error, squared, nothing, own)
    mean, after = amplitudes.moments(pull, scaled, error, own)
    factor, sizes = amplitudes.expected(pull, scaled, error, own)
    noise = torch.zeros(3, 4, 5, len(WAVE)).double()
    left = amplitudes.residuals(noise, drawn, scaled, error, own)

    assert len(amplitudes) == len(amplitudes.curves) + 2
    assert amplitudes.kinds[-2:] == ("the redshift", "the width of lines")
    for i in range(3):
        for j in range(4):
            curves = amplitudes.curves.numpy().copy()
            deviations = np.ones(len(amplitudes))
            deviations[amplitudes.everywhere : len(curves)] = error[i, j]
            design = np.concatenate([curves * scaled[i, j].numpy(), own[i, j].numpy()])
            design *= deviations[:, None]
            of_pulls, r = np.eye(len(WAVE)) + design.T @ design, pull[i, j].numpy()
            gain = design @ np.linalg.inv(of_pulls)
            units = np.outer(deviations, deviations)
            covariance = (np.eye(len(design)) - gain @ design.T) * units
            np.testing.assert_allclose(mean[i, j], gain @ r * deviations, atol=1e-8)
            np.testing.assert_allclose(after[i, j], covariance, atol=1e-8)
            np.testing.assert_allclose(sizes[i, j], mean[i, j, -2:], atol=1e-10)
            np.testing.assert_allclose(factor[i, j], mean[i, j, :-2].numpy() @ curves, atol=1e-9)
            whole = np.linalg.solve(of_pulls, (drawn[i, j].numpy() @ design).T).T
            np.testing.assert_allclose(left[i, j], whole, atol=1e-8)
            assert float(chi2[i, j]) == pytest.approx(r @ np.linalg.solve(of_pulls, r))
            assert float(log_det[i, j]) == pytest.approx(np.linalg.slogdet(of_pulls)[1])
    with pytest.raises(ValueError, match="additive"):
        amplitudes.moments(pull, scaled, error)


def test_without_templates_residuals_are_the_pulls():
    """Nothing is taken out of them."""
    amplitudes, (pull, scaled, error) = Amplitudes(WAVE, 0.0, None), spectra()

    nothing = torch.zeros(3, 4, 1, 0)
    assert torch.equal(
        amplitudes.residuals(pull[..., None, :], nothing, scaled, error)[:, :, 0], pull
    )
