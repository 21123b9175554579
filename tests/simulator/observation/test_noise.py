import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.grid import REFERENCE_WIDTH, Grid
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import (
    FractionalNoise,
    SurveyNoise,
    make_noise,
)
from hpcsbi.simulator.observation.templates import SmoothError, line_curves, response_curves

WAVE = torch.linspace(3750, 9500, 138)


# The default grid, and others of about eight times as many pixels.
GRIDS = (Grid(), Grid(pixels=1151), Grid(pixels=1347, spacing="log"))


def spectra(n: int, level: float = 1.0, wave: torch.Tensor = WAVE) -> torch.Tensor:
    """Smooth, positive spectra of different slopes."""
    slope = torch.linspace(-2, 2, n)[:, None]
    return level * torch.exp(slope * (wave / 6000 - 1))


def ivar_on(grid: Grid, noise: SurveyNoise, n: int = 3000, seed: int = 11) -> torch.Tensor:
    """Inverse variance of spectra on a grid, shape (n, pixels)."""
    wave = torch.from_numpy(grid.wave).float()
    return noise(spectra(n, 1.0, wave), wave, None, seeded(seed))[1]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_paper_noise_is_five_per_cent_of_the_true_flux():
    """Relative residuals are Gaussian, 0.05 wide in every pixel, and nothing is masked."""
    flux = spectra(4000)
    noisy, ivar, _ = FractionalNoise()(flux, WAVE, None, seeded(0))
    residual = (noisy / flux - 1).numpy()

    assert abs(residual.std(0) / 0.05 - 1).max() < 0.05
    assert abs(residual.mean()) < 3 * 0.05 / np.sqrt(residual.size)
    assert abs((residual**3).mean() / 0.05**3) < 0.02
    assert (ivar > 0).all()
    assert torch.allclose(ivar, (0.05 * noisy) ** -2)


def test_survey_pulls_are_standard_with_the_floor_only():
    """Quoted errors and floor together give unit pulls; the quoted errors alone do not."""
    flux, floor = spectra(3000), torch.full((3000,), 0.05)
    noisy, ivar, _ = SurveyNoise()(flux, WAVE, floor, seeded(1))
    valid = ivar > 0
    pull = ((noisy - flux) / torch.hypot(ivar.rsqrt(), floor[:, None] * flux))[valid]
    quoted = ((noisy - flux) * ivar.sqrt())[valid]

    assert abs(pull.mean()) < 0.01
    assert abs(pull.std() - 1) < 0.01
    assert quoted.std() > 1.5  # control: the ivar does not know of the floor


def test_masked_pixels_hold_nothing():
    """Flux and ivar are zero together, and at least 20 pixels stay valid in every spectrum."""
    noisy, ivar, zred = SurveyNoise()(spectra(5000), WAVE, None, seeded(2))

    assert (noisy[ivar == 0] == 0).all()
    assert ((ivar > 0).sum(1) >= 20).all()
    assert ((zred >= 0) & (zred <= 0.8)).all()


def test_surveys_cut_and_gap_the_spectra():
    """Truncation by redshift, short stretches and gaps inside occur, and whole spectra too."""
    _, ivar, _ = SurveyNoise()(spectra(4000), WAVE, None, seeded(3))
    valid = ivar > 0
    count = valid.sum(1)
    first, last = valid.int().argmax(1), 137 - valid.flip(1).int().argmax(1)
    holes = (last - first + 1) - count

    assert (count == 138).float().mean() > 0.05
    assert (last < 110).float().mean() > 0.1
    assert (holes > 5).float().mean() > 0.1


def test_calibration_errors_are_smooth_factors():
    """Apart from noise, a tilted spectrum over the same without is 1 plus three Legendres."""
    flux = spectra(3000)
    loud, tilted = SurveyNoise((900, 1000), cut=0.0), SurveyNoise((900, 1000), 0.8, 20, 0.0, 0.05)
    plain, ivar, _ = loud(flux, WAVE, None, seeded(8))
    seen, same, _ = tilted(flux, WAVE, None, seeded(8))
    curves = response_curves(WAVE)
    factor = torch.where(ivar > 0, (seen - plain) / flux, 0.0)
    amplitudes = torch.linalg.lstsq(curves.T, factor[(ivar > 0).all(1)].T).solution

    assert torch.equal(ivar, same)
    assert amplitudes.std(1).numpy() == pytest.approx([0.05] * 3, rel=0.15)
    left = factor[(ivar > 0).all(1)] - amplitudes.T @ curves
    assert float(left.abs().max()) < 1e-4
    assert (
        float((curves @ curves.T / 69).diag().sub(torch.tensor([2 / 3, 2 / 5, 2 / 7])).abs().max())
        < 0.05
    )


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", [100.0, 400.0])
def test_errors_of_the_model_are_smooth_factors(grid, length):
    """Apart from noise they have the covariance that is asked for, and masks and errors stay."""
    wave = torch.from_numpy(grid.wave).float()
    flux, error = spectra(6000, 1.0, wave), torch.linspace(0.01, 0.05, 6000)
    loud = {"snr": (900, 1000), "cut": 0.0}
    plain, same, _ = SurveyNoise(**loud)(flux, wave, None, seeded(8))
    noise = SurveyNoise(**loud, model_error_length=length)
    noisy, ivar, _ = noise(flux, wave, None, seeded(8), None, error)
    given, *_ = SurveyNoise(**loud, model_error=0.02, model_error_length=length)(
        flux, wave, None, seeded(8)
    )
    some = slice(None, None, grid.pixels // 40)
    valid = ivar > 0
    factor = torch.where(valid, (noisy - plain) / flux, 0.0) / error[:, None]
    counts = valid[:, some].float().T @ valid[:, some].float()
    found = (factor[:, some].T @ factor[:, some] / counts).numpy()

    assert torch.equal(ivar, same)
    assert torch.allclose(torch.where(valid, given - plain, 0.0) / flux, 0.02 * factor, atol=1e-5)
    curves = SmoothError(length).curves(grid.wave[some]).dense(wave.double()[some]).numpy()
    enough = counts.numpy() > 2000
    assert np.abs(found - curves.T @ curves)[enough].max() < 0.13
    wrong = SmoothError(2 * length).curves(grid.wave[some]).dense(wave.double()[some]).numpy()
    assert np.abs(found - wrong.T @ wrong)[enough].max() > 0.2


def test_errors_of_lines_have_the_width_that_is_asked_for():
    """Fluxes differ by lines alone, whose equivalent widths scatter about the model's by 3."""
    flux, loud = spectra(4000), {"snr": (900, 1000), "cut": 0.0}
    plain, ivar, _ = SurveyNoise(**loud)(flux, WAVE, None, seeded(8))
    noisy, same, _ = SurveyNoise(**loud, line_error=3.0)(flux, WAVE, None, seeded(8))
    curves = line_curves(WAVE)
    factor = torch.where(ivar > 0, (noisy - plain) / flux, 0.0)
    away = (curves < 1e-9).all(0)
    whole = (ivar > 0).all(1)
    widths = torch.linalg.lstsq(curves.T, factor[whole].T).solution

    assert torch.equal(ivar, same) and (factor[:, away] == 0).all() and whole.sum() > 200
    error = 3 / np.sqrt(2 * whole.sum())
    assert (widths.std(1) - 3).abs().max() < 4.5 * error


def test_a_learned_error_has_the_mean_and_covariance_that_are_asked_for():
    """Apart from noise, spectra over those without it; masks stay."""
    flux, loud, rng = spectra(6000), {"snr": (900, 1000), "cut": 0.0}, np.random.default_rng(0)
    grid = Grid()
    mean, templates = 0.02 * rng.normal(size=138), 0.05 * rng.normal(size=(2, 138))
    noise = SurveyNoise(**loud, learned=LearnedError(mean, templates, grid.settings()))
    ivar = SurveyNoise(**loud)(flux, WAVE, None, seeded(8))[1]
    noisy, same, _ = noise(flux, WAVE, None, seeded(8))
    valid = (ivar > 0).numpy()
    factor = np.where(valid, (noisy / flux).numpy(), 0.0)
    counts = valid.sum(0)

    assert np.array_equal(valid, (same > 0).numpy())
    some = counts > 2000
    spread = np.sqrt((templates**2).sum(0))
    error = 5 * np.hypot(spread, 0.02) / np.sqrt(counts.clip(1))
    assert (np.abs(factor.sum(0) / counts.clip(1) - 1 - mean) < error)[some].all()
    scaled = np.where(valid, factor / (1 + mean) - 1, 0.0)
    both = valid.astype(float).T @ valid
    found = scaled.T @ scaled / np.maximum(both, 1)
    allowed = 6 * np.outer(spread, spread) * np.sqrt(2 / np.maximum(both, 1)) + 3e-5
    assert (np.abs(found - templates.T @ templates) < allowed)[both > 2000].all()
    assert (np.abs(found - 2 * templates.T @ templates) > allowed)[both > 2000].any()


def test_settings_of_the_smooth_error_are_told_where_it_is_not_the_default():
    """So stores of before have the settings that they had, in their order."""
    assert [*SurveyNoise().settings()] == [
        "kind", "snr", "max_zred", "min_pixels", "cut", "calibration",
    ]  # fmt: skip
    changed = {"model_error": 0.01, "model_error_length": 100.0, "line_error": 2.0}
    assert SurveyNoise(**changed).settings() == SurveyNoise().settings() | changed
    assert make_noise(**SurveyNoise(**changed).settings()) == SurveyNoise(**changed)
    moved = {"redshift_error": 30.0, "width_error": 80.0, "sky_error": 2.0}
    assert SurveyNoise(**moved).settings() == SurveyNoise().settings() | moved
    for name in moved:
        with pytest.raises(BadInput, match=rf"noise\.{name} is -1: a number, 0 to [13]00"):
            SurveyNoise(**{name: -1})
        with pytest.raises(TypeError, match=name):
            make_noise("fractional", **{name: 30.0})
    learned = SurveyNoise(learned=LearnedError(np.zeros(138), np.ones((1, 138)), Grid().settings()))
    assert make_noise(**json.loads(json.dumps(learned.settings()))) == learned


def test_signal_to_noise_spans_its_range():
    """Mean flux over sigma is log-uniform from the lowest to the highest value asked."""
    flux = spectra(4000)
    _, ivar, _ = SurveyNoise(snr=(3.0, 300.0))(flux, WAVE, None, seeded(4))
    valid = ivar > 0
    snr = ((flux * ivar.sqrt()).sum(1) / valid.sum(1)).log10().numpy()

    assert snr.min() > np.log10(2.9) and snr.max() < np.log10(310)
    assert abs(np.median(snr) - np.log10(30)) < 0.06


@given(power=st.integers(-6, 9))
def test_noise_scales_with_the_flux(power):
    """A brighter galaxy has the same spectrum at the same S/N: what makes mass an exact shift."""
    scale = 10.0**power
    floor = torch.full((50,), 0.02)
    a = SurveyNoise()(spectra(50), WAVE, floor, seeded(5))
    b = SurveyNoise()(spectra(50, scale), WAVE, floor, seeded(5))

    assert torch.allclose(b[0], a[0] * scale, rtol=2e-4, atol=1e-5 * scale)
    assert torch.allclose(b[1] * scale**2, a[1], rtol=2e-4)


@pytest.mark.parametrize(
    "noise",
    [FractionalNoise(0.03), SurveyNoise(snr=(5, 50), cut=0.3), SurveyNoise(model_error=0.03)],
)
def test_settings_make_an_equal_model(noise):
    """What travels in the stores gives the same noise again, to the bit."""
    flux = spectra(20)
    again = make_noise(**noise.settings())

    for x, y in zip(
        noise(flux, WAVE, None, seeded(6)), again(flux, WAVE, None, seeded(6)), strict=True
    ):
        assert torch.equal(x, y)


def test_bad_settings_are_refused():
    """The value and its range are named."""
    with pytest.raises(ValueError, match=r"noise.fraction is 0\.5"):
        FractionalNoise(0.5)
    with pytest.raises(ValueError, match=r"noise.snr is \(10, 2\)"):
        SurveyNoise(snr=(10, 2))
    with pytest.raises(ValueError, match="'sky'"):
        make_noise("sky")
    with pytest.raises(ValueError, match=r"noise.calibration is 4"):
        SurveyNoise(calibration=4)
    with pytest.raises(ValueError, match=r"noise\.cut is 2: a number, 0 to 1"):
        SurveyNoise(cut=2)
    with pytest.raises(ValueError, match=r"noise\.model_error is 1: a number, 0 to 0\.2"):
        SurveyNoise(model_error=1)
    beside = LearnedError(np.zeros(138), [], Grid().settings(), 0.01)
    with pytest.raises(ValueError, match=r"beside one of 0\.01: set noise\.model_error"):
        SurveyNoise(learned=beside)


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=8), st.integers(0, 99))
def test_a_redshift_that_is_told_is_that_of_the_observation(zred, seed):
    """It is handed on, no pixel outside of all windows is seen, and all else is drawn as before."""
    told, flux = torch.tensor(zred), spectra(len(zred))
    for noise in (FractionalNoise(), SurveyNoise()):
        _, ivar, of = noise(flux, WAVE, None, seeded(seed), told)
        drawn = noise(flux, WAVE, None, seeded(seed))
        assert torch.equal(of, told)
        same = noise(flux, WAVE, None, seeded(seed), drawn[2])
        assert all(torch.equal(a, b) for a, b in zip(drawn, same, strict=True))
    observed = WAVE * (1 + told[:, None])
    seen = (observed >= 3600) & (observed <= 10400)
    enough = ((observed >= 3820) & (observed <= 9200)).sum(1) >= 20  # in the narrowest window
    assert (ivar[enough] == 0)[~seen[enough]].all()


def test_signal_to_noise_is_that_of_a_stretch_on_any_pixels():
    """In 42 Angstrom it spans the range that is asked; in narrower pixels it is lower."""
    medians = []
    for grid in GRIDS:
        ivar, flux = ivar_on(grid, SurveyNoise((3.0, 300.0))), spectra(3000, 1.0, grid.wave)
        ratio = flux * ivar.sqrt()
        wide = ratio * np.sqrt(REFERENCE_WIDTH / grid.widths)
        mean = wide.sum(1) / (ivar > 0).sum(1)
        assert mean.min() > 2.9 and mean.max() < 310
        medians.append([float(x.sum(1).div((ivar > 0).sum(1)).median()) for x in (wide, ratio)])

    assert np.array(medians)[:, 0] == pytest.approx([30] * 3, rel=0.2)
    assert medians[1][1] < medians[0][1] / 2  # control: by the pixel it is another spectrograph


def test_noise_masks_as_much_on_any_pixels():
    """Of each stretch of wavelengths, in gaps as long, and a seventh of a spectrum stays."""
    valid, long_gaps = [], []
    for grid in GRIDS:
        good = (ivar_on(grid, SurveyNoise(cut=0.3), 6000) > 0).numpy()
        stretches = np.digitize(grid.wave, np.linspace(3729, 9521, 11))
        valid.append([good[:, stretches == k].mean() for k in range(1, 11)])
        inside = (grid.wave > 5000) & (grid.wave < 5000 + 4 * REFERENCE_WIDTH)
        beside = [np.abs(grid.wave - at).argmin() for at in (4800, 5600)]
        whole = good[:, beside].all(1)
        long_gaps.append((~good[whole][:, inside]).all(1).mean())
        assert good.sum(1).min() >= int(20 / 138 * grid.pixels)

    np.testing.assert_allclose(valid[1:], [valid[0]] * 2, atol=0.03)
    np.testing.assert_allclose(long_gaps[1:], long_gaps[0], atol=0.008)
    assert min(long_gaps) > 0.007  # none, if they were so many pixels long


@given(seed=st.integers(0, 99))
def test_rounded_wavelengths_move_no_mask_of_the_default_grid(seed):
    """Centres off by the rounding of float32 have the same masks and errors.

    An end of a window or of a gap falls between the two centres in one of some 10^4 spectra.
    """
    noise, flux = SurveyNoise(max_zred=0.0, cut=0.5), spectra(40)
    off = torch.nextafter(WAVE, WAVE.new_tensor(0.0 if seed % 2 else 1e9))

    one, other = (noise(flux, wave, None, seeded(seed))[1] for wave in (WAVE, off))

    assert not torch.equal(off, WAVE) and (one != other).sum() <= 1


def beyond(noise, flux, ivar, zred, grid=GRIDS[0], told=False) -> np.ndarray:
    """Of spectra as the noise model makes them."""
    return noise.beyond(flux.numpy(), ivar.numpy(), grid.wave, zred.double().numpy(), told)


@pytest.mark.parametrize("grid", GRIDS)
def test_no_spectrum_is_beyond_its_own_noise(grid):
    """At most one in a thousand, with floor, tilt and short stretches; nor of the paper's noise."""
    wave = torch.from_numpy(grid.wave).float()
    flux, floor = spectra(4000, 1.0, wave), torch.full((4000,), 0.05)
    for noise in (SurveyNoise(calibration=0.04, cut=0.3), SurveyNoise((2, 3)), FractionalNoise()):
        assert beyond(noise, *noise(flux, wave, floor, seeded(20)), grid).mean() <= 1e-3


@pytest.mark.parametrize("grid", GRIDS)
def test_what_it_never_makes_is_beyond_it(grid):
    """A redshift of 7.8; 0.9 unless told; S/N; pixels no window sees; too few; odd masks."""
    wave = torch.from_numpy(grid.wave).float()
    noise = SurveyNoise(snr=(5.0, 50.0), cut=0.0)
    flux, ivar, zred = noise(spectra(200, 1.0, wave), wave, None, seeded(21))
    whole = torch.full_like(ivar, float(ivar[ivar > 0].median()))
    far, near = torch.full_like(zred, 0.9), torch.full_like(zred, 0.02)
    seen = WAVE.new_tensor(grid.wave * 1.9 < 10000).float()
    even = torch.from_numpy((grid.wave // 100) % 2 > 0).float()
    few = (torch.arange(grid.pixels) < 0.1 * grid.pixels).float()

    assert not beyond(noise, flux, ivar, zred, grid).any()
    assert beyond(noise, flux, ivar, zred + 7.0, grid).all()
    bright = spectra(200, 1.0, wave)
    level = 20 * torch.gradient(wave)[0].div(REFERENCE_WIDTH).sqrt()  # S/N 20 in 42 Angstrom
    good = (level / bright) ** 2
    assert not beyond(noise, bright, good, near, grid).any()
    assert beyond(noise, bright, 10 * good, near, grid).all()
    assert beyond(noise, bright, 0.03 * good, near, grid).all()
    assert beyond(noise, bright, good * even, near, grid).all()
    assert beyond(noise, bright, good * few, near, grid).all()
    assert beyond(noise, bright, good * seen, far, grid).all()
    assert not beyond(noise, bright, good * seen, far, grid, told=True).any()
    assert beyond(noise, bright, whole, far, grid, told=True).all()  # beyond every window
    paper = FractionalNoise()
    assert not beyond(paper, bright, (20 / bright) ** 2, 9 * far, grid).any()
    assert beyond(paper, bright, (80 / bright) ** 2, near, grid).all()
    assert beyond(paper, bright, (20 / bright) ** 2 * even, near, grid).all()
