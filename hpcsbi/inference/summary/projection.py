"""Linear algebra of noisy spectra: a positive reference, and the projection by the own weights."""

import math

import torch

__all__ = ["fit_reference", "floor_estimate", "products", "project", "reference_spectrum"]

RIDGE = 1e-12  # of a diagonal: more than what sums over a thousand pixels round off in float64
LOOSE = 0.1  # the reference is only as good as this, whatever the quoted errors
DUST = (1.0, 2.0)  # mean and width of a Gaussian prior on the reference's dust
DUST_RANGE = (-2.0, 14.0)
FLOORS = torch.logspace(math.log10(0.002), math.log10(0.3), 10)


def reference_spectrum(
    log_level: torch.Tensor, dust: torch.Tensor, mean: torch.Tensor, curve: torch.Tensor
) -> torch.Tensor:
    """The spectrum exp(log_level + mean - dust k), positive everywhere, shape (n, pixels)."""
    return (log_level[:, None] + mean - dust[:, None] * curve).exp()


def fit_reference(
    flux: torch.Tensor,
    ivar: torch.Tensor,
    mean: torch.Tensor,
    curve: torch.Tensor,
    iterations: int = 5,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Level and dust of the reference that fits best, by Gauss-Newton steps of bounded length.

    Multiplying the flux by a constant adds its logarithm to the level and changes nothing else.

    Arguments:
        flux: spectra, below zero where noise makes them so, shape (n, pixels).
        ivar: inverse variance, 0 where masked, shape (n, pixels).
        mean: mean log spectrum without dust, shape (pixels,).
        curve: dust curve k, shape (pixels,).
        iterations: number of steps.

    Returns:
        Natural logarithm of the level and dust optical depth, shape (n,) each.
    """
    valid = (ivar > 0).float()
    (dust_mean, dust_width), dust = DUST, torch.full_like(flux[:, 0], DUST[0])
    start = (mean - dust_mean * curve).exp()
    level = (flux * start * valid).sum(1) / (start**2 * valid).sum(1).clamp_min(1e-20)
    least = 1e-4 * (flux.abs() * valid).sum(1) / (start * valid).sum(1).clamp_min(1e-20)
    log_level = torch.maximum(level, least).clamp_min(1e-30).log()
    for _ in range(iterations):
        reference = reference_spectrum(log_level, dust, mean, curve)
        weight = valid / (1 / (ivar * reference**2).clamp_min(1e-20) + LOOSE**2)
        residual = (flux / reference - 1).clamp(-1, 3) * weight
        a, b, c = weight.sum(1), weight @ curve, weight @ curve**2 + dust_width**-2
        right = residual.sum(1)
        left = -(residual @ curve) - (dust - dust_mean) * dust_width**-2
        determinant = a * c - b * b
        log_level = log_level + ((c * right + b * left) / determinant).clamp(-2, 2)
        dust = (dust + ((b * right + a * left) / determinant).clamp(-1.5, 1.5)).clamp(*DUST_RANGE)
    return log_level, dust


def products(basis: torch.Tensor) -> torch.Tensor:
    """Products of each pair of columns, each pair once, shape (pixels, pairs).

    Arguments:
        basis: shape (pixels, n_basis).
    """
    row, column = torch.tril_indices(basis.shape[1], basis.shape[1], device=basis.device)
    return basis[:, row] * basis[:, column]


def project(
    residual: torch.Tensor, weight: torch.Tensor, basis: torch.Tensor, pairs: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Generalised least squares on a basis, with a standard normal prior on the coefficients.

    Arguments:
        residual: shape (n, pixels).
        weight: inverse variance of the residual, 0 where masked, shape (n, pixels).
        basis: columns in units of the coefficients' prior widths, shape (pixels, n_basis).
        pairs: `products` of the basis, shape (pixels, pairs).

    Returns:
        Posterior mean and width of the coefficients, shape (n, n_basis), and about how many
        degrees of freedom they took from the data, shape (n,).
    """
    # float32 would round away what spectra of S/N 1000 know: the precision spans seven decades.
    weight, basis, pairs = weight.double(), basis.double(), pairs.double()
    n_basis = basis.shape[1]
    row, column = torch.tril_indices(n_basis, n_basis, device=basis.device)
    precision = weight.new_zeros(len(weight), n_basis, n_basis)
    precision[:, row, column] = weight @ pairs  # the lower half is all that Cholesky reads
    # The prior; beside columns so wide that 1 is lost, what keeps their matrix from being singular.
    precision.diagonal(dim1=1, dim2=2).mul_(1 + RIDGE).add_(1)
    covariance = torch.cholesky_inverse(torch.linalg.cholesky_ex(precision).L)
    coefficients = (covariance @ ((weight * residual) @ basis)[:, :, None])[:, :, 0]
    width = covariance.diagonal(dim1=1, dim2=2).sqrt()
    taken = (1 - width**2).sum(1)
    return coefficients.to(residual), width.to(residual), taken.to(residual)


def floor_estimate(
    rest: torch.Tensor, variance: torch.Tensor, scale: torch.Tensor, taken: torch.Tensor
) -> torch.Tensor:
    """Noise floor that the scatter about a projection asks for beyond the quoted errors.

    Its likelihood is taken at few, widely spaced floors, on purpose. The misfit of real spectra is
    smooth and partly taken up by the projection, so that the scatter alone puts their floor a third
    too low; a flow that is given it sharply trusts nothing else, one that is given it coarsely also
    weighs how odd the components are.

    Arguments:
        rest: residual less projection, 0 where masked, shape (n, pixels).
        variance: quoted variance of the residual, inf where masked, shape (n, pixels).
        scale: model in units of the residual's reference, shape (n, pixels).
        taken: degrees of freedom that the projection took, shape (n,).

    Returns:
        Mean and width of ln(floor) over the floors, weighted by likelihood, shape (n, 2).
    """
    valid = torch.isfinite(variance)
    count = valid.sum(1).float()
    freedom = (count - taken).clamp_min(2) / count.clamp_min(1)
    floors = FLOORS.to(rest)
    misfit = []
    for floor in floors:  # one after the other: all at once would leave the cache
        total = variance + (floor * scale) ** 2
        misfit.append(torch.where(valid, total.log() + rest**2 / total, 0.0).sum(1))
    share = (-0.5 * freedom[:, None] * torch.stack(misfit, 1)).softmax(1)
    mean = share @ floors.log()
    spread = (share @ floors.log() ** 2 - mean**2).clamp_min(0).sqrt()
    return torch.stack([mean, spread], 1)
