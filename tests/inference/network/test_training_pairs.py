from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.inference.network.training_pairs import StoredPairs, batches
from hpcsbi.inference.summary.representation import Plain
from hpcsbi.inference.summary.representations import make_representation

PRIOR = tiny.prior()


@dataclass(frozen=True)
class Rows:
    """A store of numbered pairs: flux is the row's number."""

    n: int
    shard: int
    arrays: ClassVar = {"theta", "flux", "ivar"}

    def rows_of(self, shard):
        return slice(shard * self.shard, min((shard + 1) * self.shard, self.n))

    def read(self, name, rows):
        index = np.arange(self.n, dtype=np.float32)[rows]
        width = 5 if name == "theta" else 138
        return np.repeat(index[:, None], width, 1) + (1 if name == "theta" else 0)


def stored(n=1000, shard=256, batch=32, seed=0, held_out=0):
    return StoredPairs(PRIOR, Rows(n, shard), slice(0, n - held_out), torch.zeros(138), batch, seed)


@pytest.mark.parametrize("held_out", [0, 100])
def test_an_epoch_sees_every_pair_once(held_out):
    """Whole batches of every shard, none twice, none of those held out."""
    supply = stored(held_out=held_out)
    blocks = [supply.make(block, torch.zeros(5))[1][:, 0] for block in range(4)]
    seen = torch.cat(blocks).int().tolist()

    assert len(seen) == len(set(seen))
    assert max(seen) < 1000 - held_out
    assert len(seen) >= 1000 - held_out - 4 * 32
    assert all(len(block) % 32 == 0 for block in blocks)


def test_epochs_have_another_order():
    """Shards and the pairs in them come in another order each time, the same for a seed."""
    first, second = (
        torch.cat([stored().make(b, None)[1][:, 0] for b in e]) for e in ((0, 1), (4, 5))
    )

    assert not torch.equal(first, second)
    again = torch.cat([stored().make(b, None)[1][:, 0] for b in (0, 1)])
    assert torch.equal(first, again)


def identity():
    """A representation that shows the flux as it is."""
    tensors = {
        "low": torch.zeros(5), "high": torch.full((5,), 2000.0), "log": torch.zeros(5),
        "context_mean": torch.zeros(138), "context_sd": torch.full((138,), 1000.0),
        "target_mean": torch.zeros(5), "target_sd": torch.ones(5),
    }  # fmt: skip
    representation = make_representation("plain", PRIOR, tensors)
    assert isinstance(representation, Plain)
    representation.measure = lambda flux, ivar: (flux, torch.zeros(len(flux), 5))
    return representation


@pytest.mark.parametrize("start", [0, 1, 7, 8, 23, 40])
def test_a_resumed_run_sees_what_it_would_have_seen(start):
    """Batches from any step on are the tail of those from the beginning."""
    whole = [context for _, context in batches(stored(), identity(), 0, 50)]
    tail = [context for _, context in batches(stored(), identity(), start, 50)]

    assert len(whole) == 50
    assert len(tail) == 50 - start
    assert all(torch.equal(a, b) for a, b in zip(whole[start:], tail, strict=True))


@pytest.mark.parametrize("start", [0, 1, 7, 8, 23, 40])
def test_passes_go_on_where_they_stopped(start):
    """Batches of several passes from any step on are the tail of those from the beginning."""
    whole = [context for _, context in batches(stored(), identity(), 0, 50, passes=3)]
    tail = [context for _, context in batches(stored(), identity(), start, 50, passes=3)]

    assert (len(whole), len(tail)) == (50, 50 - start)
    assert all(torch.equal(a, b) for a, b in zip(whole[start:], tail, strict=True))


def test_a_pass_has_the_pairs_of_the_first_in_another_order():
    """Of each block: the first pass as without passes, then the same rows, shuffled."""
    blocks = stored().batches_in(0)
    once = [context for _, context in batches(stored(), identity(), 0, blocks)]
    steps = batches(stored(), identity(), 0, 3 * blocks, passes=3)
    first, second, third = torch.stack([context for _, context in steps]).split(blocks)
    orders = [torch.cat([*part])[:, 0] for part in (first, second, third)]

    assert torch.equal(first, torch.stack(once))
    assert all(torch.equal(orders[0].sort().values, order.sort().values) for order in orders)
    assert not torch.equal(orders[0], orders[1]) and not torch.equal(orders[1], orders[2])


def test_an_error_of_the_maker_reaches_the_trainer():
    """What fails in the thread that makes pairs is raised where they are used."""

    class Broken(StoredPairs):
        def make(self, block, pad):
            raise OSError("the disk is gone")

    broken = Broken(PRIOR, Rows(100, 50), slice(0, 100), torch.zeros(138), 10, 0)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches(broken, identity(), 0, 5))


def test_only_two_blocks_are_ahead():
    """Memory stays bounded: the maker does not run away from the trainer."""
    made = []

    class Counted(StoredPairs):
        def make(self, block, pad):
            made.append(block)
            return super().make(block, pad)

    counted = Counted(PRIOR, Rows(4000, 64), slice(0, 4000), torch.zeros(138), 32, 0)
    list(islice(batches(counted, identity(), 0, 100), 3))

    assert len(made) <= 4
