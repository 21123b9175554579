"""The optimum of each object's likelihood, and the coordinates about it."""

from functools import cache

import numpy as np
import pytest
import torch
from representation_bench import Bench

KIND = "optimum"
NOISE_FLOOR = -1  # its column


@pytest.fixture(scope="module")
def bench():
    return cache(Bench)(KIND)


@pytest.fixture(scope="module")
def pairs(bench):
    """Of the prior and its noise: coordinates, flux, ivar, context, shift."""
    coordinates, _, flux, ivar = bench.draw(1000, 21)
    with torch.no_grad():
        context, shift = bench.representation.context(flux, ivar)
    return coordinates, flux, ivar, context, shift


def log_posterior(bench, coordinates, flux, ivar):
    """ln of likelihood and flat prior, -inf outside, shape (n,)."""
    inside = torch.from_numpy(bench.prior.inside(coordinates.double().numpy(), None))
    theta = torch.where(bench.representation.log > 0, 10**coordinates, coordinates)
    with torch.no_grad():
        value = bench.likelihood(flux, ivar, theta[:, None])[:, 0]
    return torch.where(inside, value, -torch.inf)


def optimum(bench, shift):
    """`Prior.coordinates` of the optimum, shape (n, n_theta)."""
    shift, u, _ = bench.representation._parts(shift)
    return bench.representation._from(u, shift)[0]


def test_the_optimum_fits_better_than_the_guess(bench, pairs):
    """More likely than where it began for nearly all, and as good as the truth for most."""
    coordinates, flux, ivar, _, shift = pairs
    representation = bench.representation
    with torch.no_grad():
        raw, shifts = super(type(representation), representation)._measured(flux, ivar, None, None)
        guess = representation._from(representation._guess(raw), shifts)[0]
    best, first, truth = (
        log_posterior(bench, c, flux, ivar) for c in (optimum(bench, shift), guess, coordinates)
    )

    assert (best >= first - 0.5).float().mean() > 0.9  # of the posterior in u, not of theta
    assert (best > truth - 1).float().mean() > 0.85
    assert (first > truth - 1).float().mean() < 0.5  # what the rounds are for


def test_the_curvature_is_the_width_of_what_is_well_known(bench):
    """At high S/N the amplitude of the spectrum is off by its own error, not by more or less."""
    rng = np.random.default_rng(3)
    coordinates = torch.tensor(bench.prior.sample_coordinates(2000, rng)).float()
    coordinates[:, NOISE_FLOOR] = coordinates[:, NOISE_FLOOR].clamp_max(-2.0)
    theta = torch.where(bench.representation.log > 0, 10**coordinates, coordinates)
    signal = bench.ssp.flux(theta, bench.prior.names)
    floor = theta[:, NOISE_FLOOR, None] * signal
    quoted = signal.mean(1, keepdim=True) / 100
    noise = torch.from_numpy(rng.standard_normal(signal.shape)).float()
    flux = signal + noise * torch.hypot(quoted, floor)
    ivar = torch.ones_like(flux) / quoted**2
    representation = bench.representation
    with torch.no_grad():
        _, shift = representation.context(flux, ivar)
        u = representation._scores(coordinates, representation._parts(shift)[0])[0]
    _, best, factor = representation._parts(shift)
    width = factor[:, 0, 0] / np.sqrt(1 + representation.tempered**2)
    pull = ((u - best)[:, 0] / width).abs()

    assert 0.4 < pull.median() < 1.1  # .67 of a normal one


def test_a_factor_moves_the_optimum_by_its_logarithm(bench, pairs):
    """Units of the flux change the mass and nothing else, context and factor included."""
    _, flux, ivar, context, shift = pairs
    with torch.no_grad():
        other, moved = bench.representation.context(100 * flux, ivar / 1e4)
    step = optimum(bench, moved) - optimum(bench, shift)
    off = (step - torch.tensor([2.0, *[0.0] * (step.shape[1] - 1)])).abs()

    # What is not known well stops where rounding has it stop, and so does the context of some.
    assert ((other - context).abs().amax(1) < 0.05).float().mean() > 0.75
    assert off.median() < 1e-3
    assert (off[:, 0] < 0.02).float().mean() > 0.95


def test_log_determinant_is_that_of_the_map(bench, pairs):
    """By automatic differentiation, for optima that are right and wrong ones."""
    coordinates, _, _, _, shift = pairs
    representation = bench.representation
    for row in range(8):
        there, _ = representation.to_flow(coordinates[row : row + 1], shift[row : row + 1])
        u = torch.where(torch.isfinite(there), there, 0.0) + (4.0 if row % 2 else 0.0)
        jacobian = torch.autograd.functional.jacobian(
            lambda u, row=row: representation.from_flow(u, shift[row : row + 1])[0][0], u
        )[:, 0]
        expected = -torch.linalg.slogdet(jacobian.double())[1]
        log_det = representation.from_flow(u, shift[row : row + 1])[1][0]

        assert log_det == pytest.approx(float(expected), abs=0.05)


def test_most_targets_are_of_the_size_of_one(bench, pairs):
    """What the network learns is near a standard normal, at low and high S/N alike."""
    coordinates, flux, ivar, _, shift = pairs
    u, _ = bench.representation.to_flow(coordinates, shift)
    snr = (flux * ivar.sqrt()).median(1).values
    bright = snr > snr.median()

    for some in (bright, ~bright):
        half = u[some].quantile(0.75, dim=0) - u[some].quantile(0.25, dim=0)
        assert (half > 0.4).all() and (half < 3.5).all()
    assert (u.abs() > 6).float().mean() < 0.05
