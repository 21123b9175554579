"""Gas of an engine: the family that theta asks for, light for photons, none without young stars."""

import gas_table
import numpy as np
import pytest
import tiny
import torch

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.galaxy.free_gas import LOGU, GasNodes
from hpcsbi.simulator.table.nebular import FreeNebular, Nebular, nebular_of

PRIOR = gas_table.prior("dust2")


@pytest.fixture(scope="module")
def free():
    return gas_table.engine(2, PRIOR)


def theta(n=40, seed=0, **columns):
    rows = torch.from_numpy(PRIOR.sample(n, np.random.default_rng(seed))).float()
    for name, value in columns.items():
        rows[:, PRIOR.names.index(name)] = value
    return rows


def column(rows):
    return dict(zip(PRIOR.names, rows.T.contiguous(), strict=True))


def test_columns_choose_the_family(free):
    """Ionisation in theta frees the gas; else it is FSPS's own, which the table's stars hold."""
    tied = load_engine(tiny.TABLE, tiny.prior(survey=True)).nebular

    assert nebular_of(PRIOR.names) is FreeNebular and nebular_of(("logmass", "tage")) is Nebular
    assert set(tied.tables) == {"continuum", "lines"} and set(free.nebular.tables) == {"continuum"}
    assert tied.exact(np.ones((3, 4)), {}, lambda part, lines: part) == 0


def test_ionisation_moves_what_gas_emits_and_nothing_else(free):
    """Of young galaxies; of ones that ended long ago it makes next to no difference."""
    old = {"tage": 12.0, "tau": 0.15}
    low, high = (free.flux(theta(gas_logu=u), PRIOR.names) for u in (-3.5, -1.5))
    dead = [free.flux(theta(gas_logu=u, **old), PRIOR.names) for u in (-3.5, -1.5)]

    assert (high / low - 1).abs().amax(1).median() > 0.01
    assert dead[1].numpy() == pytest.approx(dead[0].numpy(), rel=1e-3)


def test_light_is_in_proportion_to_photons(free):
    """Rows of a table with twice the photons have twice the gas, and the stars that they had."""
    components = free.history.components(free.log_age)
    nebular, groups = free.nebular, len(free.groups)
    light = torch.rand(len(components) * len(free.logzsol), 1 + 3 * groups).double()
    rows = nebular.rows(light, components, free.groups)[:40].float()
    shape = len(nebular.logzsol), len(LOGU.nodes), nebular.gas.dimensions, 3
    values = np.random.default_rng(0).random(shape)
    nodes, columns = GasNodes(nebular.logzsol, values), column(theta())
    twice = rows.clone()
    twice[:, light.shape[1] :] *= 2
    none = rows.clone()
    none[:, light.shape[1] :] = 0
    bare, once, more = (nebular.lit(each, nodes, columns, groups) for each in (none, rows, twice))

    assert torch.equal(bare, light[:40].float())
    assert torch.allclose(more - bare, 2 * (once - bare), atol=1e-4)
    assert (once - bare)[:, 1:].abs().max() > 0.01 and torch.equal(once[:, 0], bare[:, 0])


def test_tied_gas_is_in_the_rows_already():
    """Rows and mixtures stay what they are."""
    engine = load_engine(tiny.TABLE, tiny.prior(survey=True))
    light = torch.rand(5, 4)

    assert engine.nebular.rows(light, np.ones((1, 1)), engine.groups) is light
    assert engine.nebular.lit(light, None, {}, 1) is light
