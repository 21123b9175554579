"""Levenberg and Marquardt's way to the least loss of many objects at once, and its curvature."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["minimise"]

FIRST, LEAST, MOST = 1e-2, 1e-6, 1e4  # damping, in units of the curvature's diagonal
BETTER, WORSE = 0.1, 10.0  # by what it changes after a step that was taken, or was not

State = tuple[Tensor, ...]  # what of the loss is used again, object by object


def minimise(
    start: Tensor,
    loss: Callable[[Tensor], tuple[Tensor, State]],
    quadratic: Callable[[Tensor, State], tuple[Tensor, Tensor]],
    limits: Tensor,
    longest: float,
    rounds: int,
) -> tuple[Tensor, Tensor, State]:
    """Points after some rounds, each with its own damping; a step that does not help is not taken.

    Arguments:
        start: first points, shape (objects, coordinates).
        loss: of points the loss, shape (objects,), and its state.
        quadratic: of points and their state the loss's slope, float64, shape (objects,
            coordinates), and its curvature, positive definite, float64, shape (objects,
            coordinates, coordinates).
        limits: no coordinate is farther from zero, shape (coordinates,).
        longest: step of a coordinate.
        rounds: how many; each takes a loss and a quadratic form.

    Returns:
        Points, the curvature about them (of where the last round began), and their state.

    References:
        Levenberg 1944, Quarterly of Applied Mathematics 2, 164; Marquardt 1963, SIAM Journal 11,
        431: the damping by the diagonal.
    """
    point = start
    value, state = loss(point)
    damping = torch.full_like(value.double(), FIRST)
    for _ in range(rounds):
        slope, curvature = quadratic(point, state)
        diagonal = curvature.diagonal(dim1=1, dim2=2)
        factor = torch.linalg.cholesky_ex(
            curvature + torch.diag_embed(damping[:, None] * diagonal)
        ).L
        step = torch.cholesky_solve(slope[..., None], factor)[..., 0].clamp(-longest, longest)
        tried = (point - step.to(point.dtype)).clamp(-limits, limits)
        new_value, new_state = loss(tried)
        good = new_value < value  # of NaN false
        point, value = torch.where(good[:, None], tried, point), torch.where(good, new_value, value)
        state = tuple(
            torch.where(good.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(new_state, state, strict=True)
        )
        damping = (damping * torch.where(good, BETTER, WORSE)).clamp(LEAST, MOST)
    return point, curvature, state
