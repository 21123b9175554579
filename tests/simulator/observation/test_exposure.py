"""What is recorded of a spectrum: quoted sigma, floor, smooth factors and masks."""

import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.seeds import torch_generator
from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.exposure import draw_factor, exposure
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.observation.sky_lines import SKY_GROUPS, sky_shares
from hpcsbi.simulator.observation.templates import SmoothError, line_curves, response_curves

WAVE = torch.from_numpy(Grid().wave).float()
N = 20_000


def recorded(
    errors: SurveyNoise, floor=None, model_error=None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of N spectra of flux 2 and sigma 0.1, the tenth pixel of which is masked."""
    flux, sigma = torch.full((N, len(WAVE)), 2.0), torch.full((N, len(WAVE)), 0.1)
    valid = torch.arange(len(WAVE)).expand(N, -1) != 9
    draw = RandomTensors(torch_generator(0))
    return exposure(flux, WAVE, valid, sigma, floor, model_error, errors, draw)


def test_the_quoted_ivar_is_that_of_sigma_alone():
    """Whatever else spreads the flux; masked pixels hold nothing."""
    for errors in (SurveyNoise(), SurveyNoise(calibration=0.04, model_error=0.01, line_error=1.0)):
        flux, ivar = recorded(errors, torch.full((N,), 0.05))
        assert (ivar[:, 9] == 0).all() and (flux[:, 9] == 0).all()
        assert torch.allclose(ivar[:, 10:], torch.tensor(100.0))


@pytest.mark.parametrize("error", [0.0, 0.02])
def test_the_covariance_is_that_of_its_parts(error):
    """Noise, floor, calibration, smooth error and lines add up as independent factors do."""
    errors = SurveyNoise(calibration=0.04, model_error=0.0 if error else 0.01, line_error=2.0)
    floor, given = torch.full((N,), 0.05), torch.full((N,), error) if error else None
    flux, _ = recorded(errors, floor, given)
    some = torch.arange(0, len(WAVE), 7)[2:]
    wave = WAVE.double()
    smooth = SmoothError(200.0).curves(wave.numpy()).dense(wave) * (error or 0.01)
    curves = torch.cat([0.04 * response_curves(wave), smooth, 2.0 * line_curves(wave)])
    right = 4 * (curves.T @ curves) + torch.eye(len(WAVE)) * (0.1**2 + (2 * 0.05) ** 2)

    covariance = torch.cov(flux[:, some].double().T)
    scale = right.diagonal()[some].sqrt()
    difference = (covariance - right[some][:, some]) / scale / scale[:, None]
    assert difference.abs().max() < 6 / N**0.5
    without = torch.eye(len(some)) - covariance / scale / scale[:, None]
    assert without.abs().max() > 0.2  # control: pixels are correlated


def test_the_covariance_is_the_sum_of_all_templates():
    """Of 40 000 draws, to five of its standard errors; without one kind it is another."""
    n, smooth, learned = 40_000, SmoothError(300.0), 0.03 * torch.sin(WAVE / 500)[None]
    draw = RandomTensors(torch.Generator().manual_seed(0))
    factor = draw_factor(WAVE, n, draw, 0.04, smooth, 0.02, 1.5, learned) - 1
    parts = [
        0.04 * response_curves(WAVE.double()),
        0.02 * smooth.curves(WAVE.double().numpy()).dense(WAVE.double()),
        1.5 * line_curves(WAVE.double()),
        learned.double(),
    ]
    whole = sum(part.T @ part for part in parts).numpy()
    found = (factor.double().T @ factor.double() / n).numpy()
    sigma = np.sqrt(whole.diagonal())
    allowed = 5.5 * np.outer(sigma, sigma) * np.sqrt(2 / n)

    assert (np.abs(found - whole) < allowed).all()
    for part in parts:
        assert (np.abs(found - whole + (part.T @ part).numpy()) > allowed).any()


def test_what_is_added_has_the_covariance_of_its_templates():
    """Of the difference to the same noise without, which neither mask nor sigma changes."""
    some, sigma = torch.arange(30, 60), torch.full((N, len(WAVE)), 0.1)
    flux = 2 + torch.sin(WAVE / 60).expand(N, -1)
    valid = torch.arange(len(WAVE)).expand(N, -1) != 9
    both = [
        exposure(flux, WAVE, valid, sigma, None, None, errors, RandomTensors(torch_generator(0)))
        for errors in (SurveyNoise(redshift_error=300, width_error=300), SurveyNoise())
    ]
    (flux_with, ivar), (without, same) = both
    templates = AdditiveErrors(300, 300).templates(flux[:1, None].double(), WAVE)[0, 0, :, some]
    right, found = templates.T @ templates, (flux_with - without)[:, some].double()
    sigma = right.diagonal().sqrt()
    off = (found.T @ found / N - right) / (sigma * sigma[:, None])

    assert torch.equal(ivar, same) and (flux_with[:, 9] == 0).all()
    assert off.abs().max() < 5.5 * (2 / N) ** 0.5
    assert ((found.T @ found / N - 2 * right) / (sigma * sigma[:, None])).abs().max() > 0.5


def test_what_is_left_of_the_sky_goes_together_and_moves_with_the_redshift():
    """Pixels of one band are off alike, by so much of sigma, at each redshift of its own."""
    sigma, flux = torch.full((N, len(WAVE)), 0.1), torch.full((N, len(WAVE)), 2.0)
    zred, errors = (
        torch.tensor([0.0, 0.3]).repeat(N // 2),
        (SurveyNoise(sky_error=3), SurveyNoise()),
    )
    noisy, plain = (
        exposure(
            flux, WAVE, flux > 0, sigma, None, None, e, RandomTensors(torch_generator(0)), zred
        )
        for e in errors
    )
    left = ((noisy[0] - plain[0]) / 0.1).double()
    shares = sky_shares(WAVE, zred[:2])
    band = [*SKY_GROUPS].index("oh_6_2")

    assert torch.equal(noisy[1], plain[1])
    for i in range(2):
        whole = torch.nonzero(shares[i, band] > 0.999)[:, 0]
        some = left[i::2, whole]
        assert len(whole) > 3 and torch.allclose(some, some[:, :1].expand_as(some), atol=1e-4)
        assert abs(some[:, 0].std() / 3 - 1) < 5 / N**0.5
        assert (left[i::2][:, shares[i].sum(0) == 0] == 0).all()
    assert not torch.allclose(shares[0], shares[1])
