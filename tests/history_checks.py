"""What every family of histories is checked for by differences: slopes and coordinates."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

# Of the mass, in the sum up to any age, between nodes of a delayed tau: .0141 is the largest of
# 200 000 draws of the survey prior, at tage 11.36 and tau .1; 99 % of them lie below .004.
LARGEST = 0.02


def check_slopes(mixed: Callable, log_age: np.ndarray, theta: torch.Tensor, names: Sequence[str]):
    """Automatic slopes of a spectrum by each number are those of differences, but at some kinks.

    Arguments:
        mixed: gives weights of the SSPs from columns of theta.
        log_age: of the SSPs.
        theta: float64, shape (n, n_theta).
        names: its columns.
    """
    light = torch.from_numpy(np.exp(-0.5 * (log_age - 8)))

    def brightness(theta):
        return mixed(dict(zip(names, theta.unbind(1), strict=True))) @ light

    theta = theta.clone().requires_grad_()
    (slope,) = torch.autograd.grad(brightness(theta).sum(), theta)
    assert slope.isfinite().all()
    for i, name in enumerate(names):
        step = 1e-6 * theta.detach() * torch.eye(len(names))[i]
        with torch.no_grad():
            numerical = (brightness(theta + step) - brightness(theta - step)) / (2 * step[:, i])
        close = torch.isclose(slope[:, i], numerical, rtol=1e-4, atol=1e-6)
        assert close.sum() >= 0.95 * len(theta), name


def check_coordinates(history, row: Sequence[float]):
    """Coordinates of a chain are undone, and their slope is that of finite differences."""
    theta, step = np.array([row]), 1e-5
    straight = history.straight(theta)
    back, log_slope = history.theta(straight)
    slopes = [
        (history.theta(straight + step * e)[0] - history.theta(straight - step * e)[0])[0]
        for e in np.eye(len(row))
    ]

    assert back == pytest.approx(theta, rel=1e-6)
    slope = np.linalg.slogdet(np.array(slopes) / (2 * step))[1]
    assert log_slope[0] == pytest.approx(slope, abs=1e-3)
