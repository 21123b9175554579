"""The grid of histories: a cubic between nodes, and a basis that holds every composite."""

import numpy as np
import pytest
import torch

from hpcsbi.simulator.prior import Column
from hpcsbi.simulator.sfh import delayed_tau_weights
from hpcsbi.simulator.ssp_basis import (
    RANKS,
    SOFTENING,
    STEP_AGE,
    STEP_TAU,
    Axis,
    axis_over,
    composites,
)
from hpcsbi.simulator.ssp_table import ARRAYS
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete


def test_cubic_is_exact_for_parabolas():
    """Nodes themselves, what lies between them, and the ends, beyond which x is clamped."""
    axis = Axis(-1.0, 2.0, 0.3)
    x = torch.tensor([-1.0, -0.4, 0.123, 1.99, 2.0, 7.0], dtype=torch.float64)
    first, weights = axis.locate(x)
    nodes = torch.from_numpy(axis.nodes)[first[:, None] + torch.arange(4)]

    for power in (0, 1, 2):
        found = (weights * nodes**power).sum(1)
        assert torch.allclose(found, x.clamp(-1, 2) ** power, atol=1e-12)
    assert axis.nodes[0] < axis.low and axis.nodes[-1] > axis.high


def test_basis_holds_every_composite():
    """At the nodes, unscreened spectra come back to a thousandth of their flux in the median."""
    store = open_complete(SHIPPED, "tabulate")
    table = {name: store.read(name) for name in ARRAYS}
    age = axis_over(Column(0.1, 13), STEP_AGE, SOFTENING)
    tau = axis_over(Column(0.1, 10, log=True), STEP_TAU, 0.0)
    tables = {name: table[name] for name in ("continuum", "lines")}
    basis, coefficients = composites(table["log_age"], age, tau, tables)

    n_tau = len(tau.nodes)
    z, i, j = 2, 40, 10
    node = (z * len(age.nodes) + i) * n_tau + j
    ages = np.exp(age.nodes[i : i + 1]) - SOFTENING
    w = delayed_tau_weights(table["log_age"], ages, np.exp(tau.nodes[j : j + 1]))[0]
    ranks = RANKS["continuum"]
    rebuilt = coefficients[node, : ranks[0]] @ basis[: ranks[0]]
    exact = w @ table["continuum"][z, :, 0]
    error = np.abs(rebuilt.numpy() / exact - 1)

    assert np.median(error) < 1e-3 and error.max() < 1e-2
    assert basis.shape == (sum(map(sum, RANKS.values())), len(table["wave"]))


def test_an_axis_covers_its_column():
    """From the lowest to the highest value, softened, in steps of the logarithm."""
    axis = axis_over(Column(0.5, 5), 0.1, SOFTENING)

    assert np.exp(axis.nodes[1]) - SOFTENING == pytest.approx(0.5)
    assert np.exp(axis.low + axis.cells * axis.step) >= 5
    assert np.diff(axis.nodes) == pytest.approx(0.1)
