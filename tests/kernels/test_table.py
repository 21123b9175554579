"""Coefficients of a table's basis: those of float64, and none of what lies beside the table."""

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.kernels.table import mix
from hpcsbi.run.flows import load_engine

METALLICITY = np.array([-2.0, -1.0, -0.5, 0.3], np.float32)
STARTS, RANKS = np.array([0, 0, 0, 5, 5, 5]), np.array([5, 4, 2, 4, 3, 1])


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


def test_coefficients_are_a_sum_over_components():
    """Linear in metallicity, and of each term the first of its columns times its factor.

    Beyond the metallicities there are those of the edge; a metallicity of NaN has none.
    """
    rng = np.random.default_rng(0)
    n, components, used = 9, 12, 8
    table = rng.normal(size=(len(METALLICITY) * components, 9)).astype(np.float32)
    index = rng.integers(0, components, (n, used)).astype(np.int32)
    share = rng.random((n, used), np.float32)
    factors = rng.uniform(-1, 3, (len(RANKS), n)).astype(np.float32)
    logzsol = np.array([-3, -2, -1.7, -1, -0.8, -0.1, 0.3, 1, np.nan], np.float32)
    out = np.empty((n, RANKS.sum()), np.float32)
    mix(index, share, logzsol, factors, table, METALLICITY, STARTS, RANKS, out)

    by_metallicity = table.reshape(len(METALLICITY), components, -1).astype(float)
    for i in range(n - 1):
        mixed = np.einsum("a,mac->mc", share[i].astype(float), by_metallicity[:, index[i]])
        at = np.array([np.interp(logzsol[i], METALLICITY, column) for column in mixed.T])
        terms = zip(factors[:, i], STARTS, RANKS, strict=True)
        parts = [factor * at[start : start + rank] for factor, start, rank in terms]
        assert out[i] == pytest.approx(np.concatenate(parts), rel=1e-4, abs=1e-5)
    assert np.isnan(out[-1]).all()


@pytest.mark.parametrize("name", ["tage", "tau", "logzsol", "line_strength"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -3.0, 1e30])
def test_no_number_reads_beside_the_table(engine, name, odd):
    """NaN gives NaN, the rest the table's edge or NaN; other rows do not notice, nor does torch."""
    prior = tiny.prior(survey=True)
    theta = torch.tensor(prior.sample(64, np.random.default_rng(0))).float()
    spoiled = theta.clone()
    spoiled[5, prior.names.index(name)] = odd
    with torch.no_grad():
        compiled, before = (engine.dustless(rows, prior.names) for rows in (spoiled, theta))
    written = engine.dustless(spoiled.requires_grad_(), prior.names).detach()

    others = np.arange(64) != 5
    assert torch.equal(compiled[others], before[others])
    assert np.isnan(odd) <= torch.isnan(compiled[5]).all().item()
    assert torch.allclose(compiled, written, rtol=1e-3, equal_nan=True)
