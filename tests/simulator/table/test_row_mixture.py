"""Mixtures of a table's rows: linear, of whole components, by loops as by torch."""

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.galaxy.terms import Layout


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


def columns(engine, n=200, seed=0):
    theta = torch.from_numpy(tiny.prior(survey=True).sample(n, np.random.default_rng(seed))).float()
    return dict(zip(tiny.prior(survey=True).names, theta.T.contiguous(), strict=True))


def rows_of_ones(engine, width=3):
    return torch.ones(len(engine.coefficients), width)


def test_shares_of_components_add_up_to_one(engine):
    """What all components have alike all mixtures have, whatever their history."""
    mixed = engine.mixture(rows_of_ones(engine), columns(engine))

    assert mixed.numpy() == pytest.approx(1, abs=1e-5)


def test_metallicity_is_interpolated_between_nodes(engine):
    """A row that holds its own metallicity is mixed to theta's, and to the edge's beyond it."""
    components = len(engine.coefficients) // len(engine.logzsol)
    table = torch.tensor(engine.logzsol).float().repeat_interleave(components)[:, None]
    column = columns(engine)
    column["logzsol"] = torch.linspace(-3, 1, 200)
    low, high = engine.logzsol[[0, -1]]

    mixed = engine.mixture(table, column)[:, 0]

    assert torch.allclose(mixed, column["logzsol"].clamp(low, high), atol=1e-4)


def test_loops_do_what_torch_does(engine):
    """With gradients wanted it is made by torch: the same to float32, and with a slope."""
    rng = torch.Generator().manual_seed(0)
    table = torch.rand(len(engine.coefficients), 5, generator=rng)
    column = columns(engine)
    compiled = engine.mixture(table, column)
    written = engine.mixture(table, {k: v.clone().requires_grad_() for k, v in column.items()})

    assert written.requires_grad and not compiled.requires_grad
    # Rows of chance differ wholly from their neighbours, as those of no table do.
    assert torch.allclose(compiled, written.detach(), atol=1e-3)
    assert compiled.std(0).min() > 0.05


def test_weighted_is_the_mixture_times_factors(engine):
    """Terms take the first of their part's columns; other factors give other numbers."""
    rng = torch.Generator().manual_seed(0)
    table = torch.rand(len(engine.coefficients), 6, generator=rng)
    layout = Layout(np.array([0, 0, 4]), np.array([4, 2, 2]), np.zeros(3, int))
    column, factors = columns(engine), torch.rand(3, 200, generator=rng)
    mixed = engine.mixture(table, column)

    weighted = engine.mixture.weighted(table, column, factors, layout)

    assert torch.allclose(weighted, layout.weighted(mixed, factors), rtol=1e-5)
    assert not torch.allclose(weighted, layout.weighted(mixed, factors.flip(0)), rtol=1e-2)


def test_a_theta_of_nan_has_no_mixture(engine):
    """NaN, and beside it the numbers of the others."""
    column = columns(engine)
    table = torch.rand(len(engine.coefficients), 2, generator=torch.Generator().manual_seed(0))
    before = engine.mixture(table, column)
    column["logzsol"][3] = torch.nan

    after = engine.mixture(table, column)

    assert after[3].isnan().all() and torch.equal(after[4:], before[4:])
