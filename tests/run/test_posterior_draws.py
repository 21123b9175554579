"""Draws that leave a catalogue are spread over those that it keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.run import posterior_draws as module
from hpcsbi.run.posterior_draws import draw_blocks, some_draws


@given(st.integers(0, 30), st.integers(1, 20))
def test_some_draws_are_spread_over_all(count, draws):
    """Each is one of the row's own, none comes twice; what lacks is NaN at the end."""
    samples = np.full((1, 30, 2), np.nan, np.float32)
    samples[0, :count] = np.arange(count)[:, None] + np.array([0.0, 0.5])
    chosen = some_draws(samples, draws)[0]
    there = np.isfinite(chosen).all(1)

    assert there.sum() == min(count, draws) and there[: there.sum()].all()
    assert len({*chosen[there, 0]}) == there.sum()
    np.testing.assert_array_equal(chosen[there, 1] - chosen[there, 0], 0.5)
    if 2 <= draws <= count:
        assert chosen[0, 0] == 0 and chosen[-1, 0] == count - 1


class Catalogue:
    """What is read of a store."""

    def __init__(self, rows):
        rng = np.random.default_rng(0)
        self.rows, self.settings = rows, {"keep_draws": 8}
        self.values = {
            "parameter": np.array(["tage", "tau"]),
            "samples": rng.normal(size=(rows, 8, 2)).astype(np.float32),
            "identity": np.array([["s", "p", "f", f"k{i}"] for i in range(rows)]),
            "origin": np.full(rows, "reweighted"),
        }
        self.arrays = self.values

    def read(self, name, rows=slice(None)):
        return self.values[name][rows]


@pytest.mark.parametrize("numbers", [1, 50, 10**6])
def test_blocks_are_the_same_whatever_their_size(monkeypatch, numbers):
    """Rows of chains have the chain's draws, in the block where they are."""
    monkeypatch.setattr(module, "NUMBERS", numbers)
    chains = np.array([0, 5]), np.full((2, 20, 2), 7.0, np.float32)
    monkeypatch.setattr(module, "chain_draws", lambda _: chains)
    blocks = draw_blocks(Catalogue(9), 3)

    for _ in range(2):
        rows = [row for block in blocks() for row in block.to_pylist()]
        assert [row["key"] for row in rows] == [f"k{i}" for i in range(9)]
        of_chains = [i for i, row in enumerate(rows) if row["origin"] == "mcmc"]
        assert of_chains == [i for i, row in enumerate(rows) if row["tau"] == [7, 7, 7]] == [0, 5]
