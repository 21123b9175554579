"""The way down: exact on a bowl, never up, and each object for itself."""

from itertools import pairwise

import pytest
import torch

from hpcsbi.inference.summary.ascent import minimise

FREE = torch.full((2,), torch.inf)


def bowls(n, seed=0):
    """Minima and curvatures of quadratic losses in two dimensions."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(n, 2, 2, generator=generator, dtype=torch.float64)
    return torch.randn(n, 2, generator=generator), root @ root.mT + 0.1 * torch.eye(2)


def of_bowls(middle, curvature):
    """Loss and quadratic form of bowls."""

    def loss(point):
        off = (point - middle).double()
        return 0.5 * torch.einsum("ni,nij,nj->n", off, curvature, off), (point,)

    def quadratic(point, state):
        off = (point - middle).double()
        return (curvature @ off[..., None])[..., 0], curvature

    return loss, quadratic


def valley(a=1.0, b=30.0):
    """Rosenbrock's valley, by the residuals (a - x, sqrt(b) (y - x^2)) of least squares."""

    def residuals(point):
        x, y = point.double().unbind(1)
        return torch.stack([a - x, b**0.5 * (y - x**2)], 1)

    def loss(point):
        return 0.5 * (residuals(point) ** 2).sum(1), (point,)

    def quadratic(point, state):
        x = point.double()[:, 0]
        jacobian = torch.stack(
            [-torch.ones_like(x), torch.zeros_like(x), -2 * b**0.5 * x, b**0.5 + 0 * x], 1
        ).unflatten(1, (2, 2))
        slope = (jacobian.mT @ residuals(point)[..., None])[..., 0]
        return slope, jacobian.mT @ jacobian + 1e-9 * torch.eye(2)

    return loss, quadratic


def test_a_bowl_is_solved():
    """The minimum and the curvature of quadratic losses."""
    middle, curvature = bowls(50)
    found, bend, (state,) = minimise(
        torch.zeros(50, 2), *of_bowls(middle, curvature), FREE, longest=10.0, rounds=8
    )

    assert torch.allclose(found, middle, atol=1e-3)
    assert torch.equal(bend, curvature)
    assert torch.equal(state, found)


def test_a_curved_valley_is_followed():
    """From anywhere to the one minimum, and never up on the way."""
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 3.0], [1.0, 1.0]])
    loss, quadratic = valley()
    values = [
        loss(minimise(start, loss, quadratic, FREE, 0.8, rounds)[0])[0] for rounds in range(1, 40)
    ]

    assert all((after <= before).all() for before, after in pairwise(values))
    assert (values[-1] < 1e-6).all()


def test_limits_and_steps_hold():
    """No coordinate beyond its limit, no step longer than the longest."""
    middle, curvature = bowls(50, seed=1)
    limits = torch.tensor([0.1, torch.inf])
    found, *_ = minimise(torch.zeros(50, 2), *of_bowls(middle, curvature), limits, 10.0, rounds=5)
    short, *_ = minimise(torch.zeros(50, 2), *of_bowls(middle, curvature), FREE, 0.05, rounds=2)

    assert (found[:, 0].abs() <= 0.1).all() and (found[:, 1].abs() > 0.1).any()
    assert (short.abs() <= 0.1 + 1e-6).all()


def test_objects_do_not_know_each_other():
    """Alone an object ends where it ends among others."""
    middle, curvature = bowls(20, seed=2)
    whole, *_ = minimise(torch.zeros(20, 2), *of_bowls(middle, curvature), FREE, 0.3, rounds=6)
    alone, *_ = minimise(
        torch.zeros(1, 2), *of_bowls(middle[7:8], curvature[7:8]), FREE, 0.3, rounds=6
    )

    assert torch.allclose(whole[7], alone[0], atol=1e-6)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_step_into_nothing_is_not_taken(bad):
    """Where the loss is no number the point stays, and shorter steps are tried."""
    middle, curvature = torch.tensor([[2.0, 0.0]]), torch.eye(2, dtype=torch.float64)[None]
    loss, quadratic = of_bowls(middle, curvature)

    def cliff(point):
        value, state = loss(point)
        return torch.where(point[:, 0] > 1, bad, value), state

    found, *_ = minimise(torch.zeros(1, 2), cliff, quadratic, FREE, 10.0, rounds=12)

    assert 0 < found[0, 0] <= 1
