import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.observation.survey_sigma import draw_sigma, mean_snr

WAVE = torch.from_numpy(Grid().wave).float()


def sigmas(flux: torch.Tensor, zred: float, seed: int = 0) -> torch.Tensor:
    """Of S/N 3 to 300, every pixel valid."""
    observed = (WAVE * (1 + zred)).expand_as(flux)
    draw = RandomTensors(torch.Generator().manual_seed(seed))
    return draw_sigma(flux, observed, torch.ones_like(flux) > 0, (3.0, 300.0), draw)


def test_the_mean_ratio_is_log_uniform():
    """Between lowest and highest, quantiles at their places; it goes with the flux."""
    flux = 1e5 * torch.exp(torch.linspace(-1, 1, 2000)[:, None] * (WAVE / 6000 - 1))
    sigma = sigmas(flux, 0.1)
    snr = mean_snr(flux.numpy(), sigma.numpy() ** -2.0, np.ones(138))

    assert snr.min() > 2.99 and snr.max() < 300.3
    expected = np.log(3) + np.log(100) * np.array([0.25, 0.5, 0.75])
    assert np.quantile(np.log(snr), [0.25, 0.5, 0.75]) == pytest.approx(expected, abs=0.3)
    assert torch.allclose(sigmas(10 * flux, 0.1), 10 * sigma, rtol=1e-4)


def test_the_sky_is_bright_where_it_is_observed():
    """The band at 7610 lies at 6341 at redshift 0.2; pixels beside it do not know of it."""
    flux = torch.ones(4000, 138)
    line = np.abs(Grid().wave * 1.2 - 7610).argmin()
    ratio = (sigmas(flux, 0.2)[:, line] / sigmas(flux, 0.2)[:, line - 4]).log()
    control = (sigmas(flux, 0.0)[:, line] / sigmas(flux, 0.0)[:, line - 4]).log()

    assert float(ratio.mean()) == pytest.approx(0.5, abs=0.05)
    assert abs(float(control.mean())) < 0.05


def test_masked_pixels_have_no_part_in_a_mean_ratio():
    """Whatever they hold; in wider pixels the ratio of a unit is lower."""
    flux, ivar = np.full((2, 10), 3.0), np.full((2, 10), 4.0)
    flux[1, 5:], ivar[1, 5:] = np.nan, 0.0

    assert mean_snr(flux, ivar, np.ones(10)) == pytest.approx([6, 6])
    assert mean_snr(flux, ivar, np.full(10, 4.0)) == pytest.approx([3, 3])
    assert mean_snr(flux, 0 * ivar, np.ones(10)).tolist() == [0, 0]
