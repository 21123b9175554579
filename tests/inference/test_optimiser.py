import copy

import pytest
import torch

from hpcsbi.inference.flow import Flow
from hpcsbi.inference.optimiser import Optimiser
from hpcsbi.inference.representation import make_representation

NAMES = ("logmass", "dust2")


def new_fit(steps: int = 400) -> Optimiser:
    tensors = {"context_mean": torch.zeros(3)}
    return Optimiser(
        Flow("zuko_maf", 16, 2), make_representation("plain", NAMES, tensors), steps, 5e-3, seed=0
    )


def pairs(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """u = first two context numbers plus noise of 0.1."""
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn(n, 3, generator=generator)
    return context[:, :2] + 0.1 * torch.randn(n, 2, generator=generator), context


def test_fit_reaches_the_known_density():
    """The held-out score of a Gaussian of known width comes close to its entropy."""
    fit = new_fit()
    for step in range(fit.steps):
        fit.update(*pairs(256, step))
    u, context = pairs(4000, 10_000)
    best = 2 * (-0.5 - torch.log(torch.tensor(0.1)) - 0.5 * torch.log(torch.tensor(2 * torch.pi)))

    score = fit.score((u, context, torch.zeros(4000)))
    assert best - 0.15 < score < best + 0.02


def test_rate_rises_and_ends_at_zero():
    """Warm-up, highest after 200 steps, zero at the end of the budget."""
    fit = new_fit(1000)
    rates = []
    for step in range(1001):
        fit.step = step
        rates.append(fit.learning_rate)

    assert rates[0] < 1e-4
    assert 180 < rates.index(max(rates)) < 220
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_state_goes_on_to_the_same_weights():
    """Stopped in the middle and loaded again, the weights are the same to the bit."""
    straight = new_fit(60)
    for step in range(60):
        straight.update(*pairs(64, step))
    first = new_fit(60)
    for step in range(25):
        first.update(*pairs(64, step))
    state = copy.deepcopy(first.tensors() | first.moments())
    second = new_fit(60)
    second.load(state, first.step, first.skipped)
    for step in range(25, 60):
        second.update(*pairs(64, step))

    for name, values in straight.tensors().items():
        assert (values == second.tensors()[name]).all(), name


def test_a_loss_that_is_not_finite_changes_nothing():
    """The step is counted and left out."""
    fit = new_fit(100)
    before = {name: values.copy() for name, values in fit.tensors().items()}
    u, context = pairs(64, 0)

    fit.update(u * torch.nan, context)

    assert (fit.step, fit.skipped) == (1, 1)
    assert all((before[name] == values).all() for name, values in fit.tensors().items())
