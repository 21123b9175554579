"""Noise of a survey's own spectra: what is drawn, what it says of the galaxy, what lies beyond."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.errors import BadInput
from hpcsbi.grid import REFERENCE_WIDTH, Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.instruments import line_spreads
from hpcsbi.simulator.observation.noise import SurveyNoise, make_noise
from hpcsbi.simulator.observation.noise_bank import LEAST, BankNoise, Observations
from hpcsbi.simulator.probability.likelihood import of_simulator

GRID, NARROW = Grid(), Grid(pixels=1151)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectra(n: int, grid: Grid = GRID, level: float = 1.0) -> torch.Tensor:
    """Smooth, positive spectra of different slopes, in no order."""
    slope = 4 * torch.rand(n, 1, generator=seeded(99)) - 2
    return level * torch.exp(slope * (torch.from_numpy(grid.wave).float() / 6000 - 1))


def survey(n: int, seed: int, grid: Grid = GRID, **options: object) -> tuple[np.ndarray, ...]:
    """Flux, ivar, redshifts and instruments of spectra that stand for those of a survey."""
    noise = SurveyNoise(**({"snr": (5, 100), "max_zred": 0.3, "instrument": True} | options))
    wave, generator = torch.from_numpy(grid.wave).float(), seeded(seed)
    added = line_spreads(noise, n, wave, generator)
    flux, ivar, zred = noise(spectra(n, grid), wave, None, generator)
    return flux.numpy(), ivar.numpy(), zred.double().numpy(), added.numpy()


def bank(n: int = 600, seed: int = 0, grid: Grid = GRID, **options: object) -> BankNoise:
    known = Observations.of_spectra(*survey(n, seed, grid), grid.wave)
    return BankNoise(known.summary(grid.wave), observations=known, **options)


def observed(noise: BankNoise, n: int, seed: int, grid: Grid = GRID, **options: object):
    """Noise-free flux, and what is recorded of it."""
    flux, wave = spectra(n, grid), torch.from_numpy(grid.wave).float()
    return flux, *noise(flux, wave, options.get("floor"), seeded(seed), options.get("zred"))


def test_an_observation_is_that_of_another_spectrum():
    """Mask, redshift, instrument and the shape of sigma are those of one of the bank, at random."""
    noise, n = bank(instrument=True), 3000
    wave, known = torch.from_numpy(GRID.wave).float(), noise.observations
    added = line_spreads(noise, n, wave, seeded(1))
    _, flux, ivar, zred = observed(noise, n, 1)
    rows = np.abs(known.zred[:, None] - zred.double().numpy()).argmin(0)
    sigma = torch.where(ivar > 0, ivar, torch.inf).rsqrt().double().numpy()
    ratio = sigma / np.where(known.sigma[rows] > 0, known.sigma[rows], 1)
    valid = known.sigma[rows] > 0

    assert np.array_equal(ivar.numpy() > 0, valid) and (flux.numpy()[~valid] == 0).all()
    level = ratio.sum(1, keepdims=True) / valid.sum(1, keepdims=True)
    assert np.abs(ratio / level - 1)[valid].max() < 1e-4
    assert np.array_equal(added.numpy(), known.instrument[rows])
    counts = np.bincount(rows, minlength=len(known))
    assert (counts == 0).mean() < 0.02 and counts.max() < 20  # 5 of each


def test_pulls_are_standard_with_the_floor_only():
    """Quoted errors and floor together give unit pulls; the quoted errors alone do not."""
    floor = torch.full((3000,), 0.05)
    flux, noisy, ivar, _ = observed(bank(), 3000, 2, floor=floor)
    valid = ivar > 0
    pull = ((noisy - flux) / torch.hypot(ivar.rsqrt(), floor[:, None] * flux))[valid]

    assert abs(pull.mean()) < 0.01 and abs(pull.std() - 1) < 0.01
    assert ((noisy - flux) * ivar.sqrt())[valid].std() > 1.3  # control


@pytest.mark.parametrize("grid", [GRID, NARROW])
def test_signal_to_noise_is_the_banks_and_as_much_more_as_is_asked(grid):
    """Its logarithm differs from that of the bank by a uniform number."""
    noise = bank(300, 0, grid, snr_factor=3.0)
    flux, _, ivar, zred = observed(noise, 2000, 3, grid)
    known = noise.observations
    rows = np.abs(known.zred[:, None] - zred.double().numpy()).argmin(0)
    wide = (flux * ivar.sqrt()).double().numpy() / np.sqrt(np.gradient(grid.wave) / REFERENCE_WIDTH)
    snr = wide.sum(1) / (ivar > 0).sum(1).numpy()
    power = np.log(snr / known.snr[rows]) / np.log(3.0)

    assert np.abs(power).max() < 1.001 and abs(power.std() - 3**-0.5) < 0.03
    quantiles = np.quantile(known.snr, [0.01, 0.99])
    assert np.quantile(snr, 0.01) < quantiles[0] and np.quantile(snr, 0.99) > quantiles[1]
    same = bank(300, 0, grid, snr_factor=1.0)
    _, _, ivar, _ = observed(same, 500, 3, grid)
    assert same.settings()["snr_factor"] == 1.0 and (ivar > 0).any(1).all()


def tilts(values: torch.Tensor, valid: torch.Tensor) -> np.ndarray:
    """Slope of the logarithm over the valid pixels of each spectrum."""
    rows = zip(values.numpy(), valid.numpy(), strict=True)
    return np.array([np.polyfit(GRID.wave[v], np.log(x[v]), 1)[0] for x, v in rows])


def test_sigma_says_nothing_of_the_galaxy():
    """It follows the spectrum where it was measured alone: tilts of both do not go together."""
    n, wave = 3000, torch.from_numpy(GRID.wave).float()
    flux, _, ivar, _ = observed(bank(), n, 4)
    _, own, _ = SurveyNoise()(flux, wave, None, seeded(4))
    blind, seen = (
        np.corrcoef(tilts(flux, x > 0), tilts(torch.where(x > 0, x, 1).rsqrt(), x > 0))[0, 1]
        for x in (ivar, own)
    )

    assert abs(blind) < 4 / np.sqrt(n)
    assert seen > 0.2  # control: sigma of the flux itself


def test_redshifts_that_are_told_choose_masks_of_their_own():
    """Of a bank to z = 0.3; what is told is handed on, and the masks are those of its redshift."""
    noise = bank(2000)
    told = torch.linspace(0.0, 0.3, 1500)
    _, _, ivar, zred = observed(noise, 1500, 5, zred=told)
    known = noise.observations
    rows = known.draw(1500, seeded(5), told)
    last = (ivar > 0).numpy() * GRID.wave

    assert torch.equal(zred, told)
    assert np.array_equal((ivar > 0).numpy(), known.sigma[rows] > 0)
    assert np.abs(known.zred[rows] - told.numpy()).max() < 0.03
    assert np.median(last.max(1)[:200]) > np.median(last.max(1)[-200:]) + 500
    beyond = known.draw(50, seeded(6), torch.full((50,), 2.0))
    assert (known.zred[beyond] > np.quantile(known.zred, 0.97)).all()


def test_noise_scales_with_the_flux():
    """A brighter galaxy has the same spectrum at the same S/N."""
    noise, wave = bank(), torch.from_numpy(GRID.wave).float()
    one, other = (noise(spectra(50, GRID, x), wave, None, seeded(7)) for x in (1.0, 1e9))
    assert torch.allclose(other[0], one[0] * 1e9, rtol=2e-4, atol=1e4)
    assert torch.allclose(other[1] * 1e18, one[1], rtol=2e-4)


def test_settings_tell_the_bank_and_make_an_equal_model():
    """By its digest, which one number changes; its vectors are no settings, and are asked for."""
    noise = bank(calibration=0.04)
    settings = noise.settings()
    again = make_noise(**settings)
    arrays = survey(600, 0)
    arrays[1][7] *= np.where(np.arange(GRID.pixels) == 60, 1.01, 1.0)
    changed = Observations.of_spectra(*arrays, GRID.wave).summary(GRID.wave)

    assert again == noise and again.settings() == settings
    assert "observations" not in settings and settings["bank"]["observations"] == 600
    assert changed.digest != noise.bank.digest
    assert "redshift_error" not in settings
    moved = replace(noise, redshift_error=30.0, width_error=80.0)
    assert make_noise(**moved.settings()) == moved != noise
    assert moved.settings() == settings | {"redshift_error": 30.0, "width_error": 80.0}
    with pytest.raises(BadInput, match=r"noise\.bank: .*not at hand"):
        observed(again, 3, 0)
    with pytest.raises(BadInput, match=r"noise\.snr_factor is 0\.5: a number, 1 to 100"):
        BankNoise("spectra.zarr", 0.5)


def test_its_likelihood_is_that_of_survey_noise():
    """Quoted sigma, floor and the same errors that are integrated out."""
    prior, errors = tiny.prior(survey=True), {"calibration": 0.04, "model_error": 0.01}
    engine = load_engine(tiny.TABLE, prior)
    mine, other = (
        of_simulator(engine, prior.names, noise)
        for noise in (bank(120, **errors, line_error=2.0), SurveyNoise(**errors, line_error=2.0))
    )
    theta = torch.from_numpy(prior.sample(4, np.random.default_rng(0), 0.1)).float()
    wave = torch.from_numpy(GRID.wave).float()
    flux, ivar, _ = bank(120)(engine.flux(theta, prior.names), wave, None, seeded(9))
    both = [each(flux, ivar, theta.expand(4, -1, -1)) for each in (mine, other)]
    assert torch.equal(*both) and torch.isfinite(both[0].diagonal()).all()


def test_a_bank_of_few_is_refused():
    """Those are counted that can be used: with pixels, a signal, a redshift and an instrument."""
    flux, ivar, zred, added = survey(LEAST + 4, 0)
    whole = Observations.of_spectra(flux, ivar, zred, added, GRID.wave)
    assert len(whole) == LEAST + 4 and (np.diff(whole.zred) >= 0).all()
    ivar[0], flux[1], zred[2], added[3] = 0.0, -flux[1], np.nan, np.nan
    assert len(Observations.of_spectra(flux, ivar, zred, added, GRID.wave)) == LEAST
    assert len(Observations.of_spectra(flux, ivar, zred, None, GRID.wave)) == LEAST + 1
    ivar[4] = 0.0
    with pytest.raises(BadInput, match=r"^99 of 104 spectra can be used.*noise=survey\.$"):
        Observations.of_spectra(flux, ivar, zred, added, GRID.wave)


def beyond(noise: BankNoise, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    flux, ivar, zred, _ = arrays
    return noise.beyond(flux, ivar, GRID.wave, zred)


@pytest.mark.parametrize(("n", "most"), [(LEAST, 0.05), (2000, 0.01)])
def test_hardly_a_spectrum_of_the_survey_is_beyond_its_bank(n, most):
    """Others of the same survey, and what the noise makes itself."""
    noise = bank(n)
    assert beyond(noise, survey(4000, 1)).mean() < most
    _, flux, ivar, zred = observed(noise, 4000, 8)
    assert noise.beyond(flux.numpy(), ivar.numpy(), GRID.wave, zred.numpy()).mean() < 0.005


def test_what_the_survey_has_not_is_beyond_its_bank():
    """Another S/N, redshift, window, many lost pixels or few."""
    noise = bank(2000, snr_factor=2.0)
    flux, ivar, zred, _ = survey(300, 2, snr=(20, 40), cut=0.0)
    alternate = np.arange(GRID.pixels) % 2

    assert beyond(noise, (flux, ivar, zred, None)).mean() < 0.01
    assert noise.beyond(flux, 200 * ivar, GRID.wave, zred).all()  # S/N above 240
    assert noise.beyond(flux, ivar / 1600, GRID.wave, zred).all()
    assert noise.beyond(flux, ivar, GRID.wave, zred + 7.0).all()
    assert noise.beyond(flux, ivar, GRID.wave, zred + 0.4, told=True).all()
    assert noise.beyond(flux, ivar * alternate, GRID.wave, zred).all()
    assert noise.beyond(flux, ivar * (GRID.wave < 4300), GRID.wave, zred).all()
