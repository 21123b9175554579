"""Chains of fits.zarr on disk: they end as if nothing had stopped them, and say what is left."""

import numpy as np
import pytest
import tiny

from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.mcmc.chain import Settings, Target, begin
from hpcsbi.mcmc.coordinates import Box
from hpcsbi.run import chain_checkpoint
from hpcsbi.run.chain_checkpoint import (
    batches_to_extend,
    forget_checkpoints,
    has_ended,
    run_chain,
)
from hpcsbi.store import layout
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

PRIOR = tiny.prior()
TARGET = Target(lambda theta: -0.5 * (PRIOR.coordinates(theta) ** 2).sum(1), Box(PRIOR))


def first(seed=0):
    rng = np.random.default_rng(seed)
    z = PRIOR.low + (PRIOR.high - PRIOR.low) * rng.uniform(0.4, 0.6, (32, len(PRIOR.low)))
    return begin(TARGET, z, rng)


def settings(steps):
    return Settings("stretch", [20], steps, False, 20)


def arrays(rows):
    row = {"row": rows}
    return {"converged": Array(row, "bool"), "n_steps": Array(row, "int32")}


@pytest.fixture
def store(tmp_path):
    """Two objects, a shard for each, both with chains that have not converged."""
    made = create(tmp_path / "fits.zarr", arrays(2), {}, 1)
    for row in range(2):
        made.write(row, **short_columns())
    return made


def short_columns():
    return {"converged": np.zeros(1, bool), "n_steps": np.full(1, 100, "int32")}


def extend(store, row, steps, seed=0):
    return run_chain(store, row, f"object {row}", TARGET, lambda: first(seed), settings(steps))


def equal(ours, theirs):
    ours, theirs = ours.tensors(), theirs.tensors()
    return all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_stopped_chain_goes_on_from_its_checkpoint(store, monkeypatch, blocks):
    """Out of time in burn-in or behind it: the same chain to the bit, and the start is not used."""
    whole = extend(store, 1, 100)
    looks = iter([True] * blocks + [False])
    with monkeypatch.context() as patch:
        patch.setattr(chain_checkpoint, "leaves", lambda seconds: next(looks))
        with pytest.raises(OutOfTime, match="object 0 at step"):
            extend(store, 0, 100)

    assert equal(extend(store, 0, 100, seed=1), whole)
    assert not equal(first(1), first(0))


def test_no_time_leaves_no_checkpoint(store, monkeypatch):
    """A job without time for one block writes nothing, and the chain begins at its start."""
    with monkeypatch.context() as patch:
        patch.setattr(chain_checkpoint, "leaves", lambda seconds: False)
        with pytest.raises(OutOfTime):
            extend(store, 0, 100)

    assert has_ended(store, 10**6, slice(0, 1), short_columns())
    assert equal(extend(store, 0, 100), extend(store, 1, 100))


def test_more_steps_extend_a_chain(store):
    """A chain at its last step is kept; with more steps it is the one that had them at once."""
    short_chain, whole = extend(store, 0, 100), extend(store, 1, 200)

    assert short_chain.steps == 100 and equal(extend(store, 0, 200, seed=1), whole)


def test_only_short_chains_go_on(tmp_path, monkeypatch):
    """Of a file of four objects the one that has not converged and may be longer."""
    monkeypatch.setattr(layout, "SHARDS", 2)
    fits = create(tmp_path / "fits.zarr", arrays(6), {}, 1)
    fits.write(0, converged=[True, False, False, False], n_steps=[60, 50, 50, 100])
    for row in (1, 3):
        extend(fits, row, 50)

    assert batches_to_extend(fits, 100, 0) == [slice(1, 2)]
    assert batches_to_extend(fits, 101, 0) == [slice(1, 2), slice(3, 4)]
    assert batches_to_extend(fits, 50, 0) == []


def test_converged_chains_are_forgotten(store):
    """Checkpoints of converged chains go, those of others stay."""
    for row in range(2):
        extend(store, row, 100)
    forget_checkpoints(store, slice(0, 2), {"converged": np.array([True, False])})

    assert has_ended(store, 200, slice(0, 1), short_columns())
    assert not has_ended(store, 200, slice(1, 2), short_columns())
