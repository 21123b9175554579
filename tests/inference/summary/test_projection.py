import pytest
import torch

from hpcsbi.inference.summary.projection import (
    fit_reference,
    floor_estimate,
    products,
    project,
    reference_spectrum,
)

PIXELS, K = 138, 6
CURVE = torch.linspace(1.4, 0.5, PIXELS)
MEAN = 0.2 * torch.sin(torch.linspace(0, 20, PIXELS))


def orthogonal(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(PIXELS, K, generator=generator)).Q


def test_reference_is_found():
    """Level and dust of a spectrum that is a reference itself come back."""
    level, dust = torch.tensor([-3.0, 0.0, 8.0]), torch.tensor([0.1, 1.0, 3.5])
    flux = reference_spectrum(level, dust, MEAN, CURVE)

    found = fit_reference(flux, (0.01 * flux) ** -2, MEAN, CURVE, iterations=12)

    assert torch.allclose(found[0], level, atol=0.02)
    assert torch.allclose(found[1], dust, atol=0.02)


def test_reference_scales_with_the_flux():
    """A factor on the flux is added to the level's logarithm and leaves the dust alone."""
    flux = reference_spectrum(torch.zeros(4), torch.tensor([0.0, 1, 2, 4]), MEAN, CURVE)
    flux = flux * (1 + 0.3 * torch.randn(flux.shape, generator=torch.Generator().manual_seed(1)))
    ivar = torch.full_like(flux, 10.0)

    a = fit_reference(flux, ivar, MEAN, CURVE)
    b = fit_reference(1e6 * flux, ivar * 1e-12, MEAN, CURVE)

    assert torch.allclose(b[0] - a[0], torch.tensor(1e6).log(), atol=1e-4)
    assert torch.allclose(b[1], a[1], atol=1e-4)


@pytest.mark.parametrize("level", [-1.0, 0.0, 1e-3])
def test_reference_stays_finite_without_signal(level):
    """Spectra at or below zero have a positive, finite reference too."""
    flux = torch.full((2, PIXELS), level)
    log_level, dust = fit_reference(flux, torch.ones_like(flux), MEAN, CURVE)

    assert torch.isfinite(reference_spectrum(log_level, dust, MEAN, CURVE)).all()


def test_projection_is_least_squares():
    """With strong data it is weighted least squares; a masked pixel does not count."""
    basis = 3 * orthogonal()
    generator = torch.Generator().manual_seed(2)
    truth = torch.randn(5, K, generator=generator)
    weight = 1e4 * torch.rand(5, PIXELS, generator=generator)
    weight[:, 30:60] = 0
    residual = truth @ basis.T
    residual[:, 30:60] = 1e3

    found, width, taken = project(residual, weight, basis, products(basis))

    assert torch.allclose(found, truth, atol=2e-3)
    assert (width < 0.05).all()
    assert torch.allclose(taken, torch.full((5,), float(K)), atol=0.05)


def test_projection_without_data_is_the_prior():
    """No weight: mean zero, width one, no degree of freedom taken."""
    basis = orthogonal()
    found, width, taken = project(
        torch.ones(3, PIXELS), torch.zeros(3, PIXELS), basis, products(basis)
    )

    assert torch.equal(found, torch.zeros(3, K))
    assert torch.allclose(width, torch.ones(3, K), atol=1e-5)
    assert torch.allclose(taken, torch.zeros(3), atol=1e-4)


def test_projection_knows_its_uncertainty():
    """Errors of the coefficients over their stated widths are standard normal."""
    basis = 2 * orthogonal()
    generator = torch.Generator().manual_seed(3)
    truth = torch.randn(4000, K, generator=generator)
    weight = torch.rand(4000, PIXELS, generator=generator) * 2
    noise = torch.randn(4000, PIXELS, generator=generator) / weight.sqrt()

    found, width, _ = project(truth @ basis.T + noise, weight, basis, products(basis))

    pull = (found - truth) / width
    assert abs(pull.mean()) < 0.02
    assert abs(pull.std() - 1) < 0.02


@pytest.mark.parametrize("floor", [0.005, 0.02, 0.1])
def test_floor_is_measured(floor):
    """Scatter beyond the quoted errors is found to within half a step of the floors tried."""
    generator = torch.Generator().manual_seed(4)
    variance = torch.full((2000, PIXELS), 0.003**2)
    variance[:, :20] = torch.inf
    rest = (variance + floor**2).sqrt() * torch.randn(2000, PIXELS, generator=generator)
    rest[:, :20] = 0

    found = floor_estimate(rest, variance, torch.ones_like(rest), torch.zeros(2000))

    error = found[:, 0] - torch.tensor(floor).log()
    assert abs(error.median()) < 0.3
    assert error.abs().quantile(0.95) < 0.6
    assert (found[:, 1] < 0.3).all()


def test_floor_is_unknown_below_the_quoted_errors():
    """Where the quoted errors explain the scatter, only an upper limit is left."""
    generator = torch.Generator().manual_seed(5)
    variance = torch.full((500, PIXELS), 0.2**2)
    rest = 0.2 * torch.randn(500, PIXELS, generator=generator)

    found = floor_estimate(rest, variance, torch.ones_like(rest), torch.zeros(500))

    assert (found[:, 1] > 0.5).float().mean() > 0.9
    assert (found[:, 0].exp() < 0.1).float().mean() > 0.9


def test_a_basis_beside_which_the_prior_is_lost_still_projects():
    """Columns almost alike and ever so wide; other spectra do not notice, and NaN stays NaN."""
    basis = orthogonal().double()
    basis[:, 5] = basis[:, 4] * (1 + 1e-9)
    wide = basis * 1e9
    residual = torch.randn(3, PIXELS, generator=torch.Generator().manual_seed(0)).double()
    weight = torch.ones(3, PIXELS).double()
    weight[1] *= 1e-30  # in which no such thing happens
    coefficients, width, taken = project(residual, weight, wide, products(wide))

    assert coefficients.isfinite().all() and width.isfinite().all() and taken.isfinite().all()
    alone = project(residual[1:2], weight[1:2], wide, products(wide))
    assert torch.allclose(coefficients[1], alone[0][0]) and torch.allclose(width[1], alone[1][0])
    residual[2], weight[2] = torch.nan, torch.nan
    assert project(residual, weight, wide, products(wide))[0][2].isnan().all()
