"""Where training pairs come from: fresh ones without end, or stored ones, epoch after epoch."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch

from hpcsbi.grid import rows_at_once
from hpcsbi.inference.summary.flow_coordinates import Representation
from hpcsbi.seeds import generator
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.pairs import fresh_pairs
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["FreshPairs", "Pairs", "StoredPairs", "Supply", "batches", "parts_for", "read_pairs"]

# Of spectra of the default grid; of others as many as take no more memory.
BLOCK = 16  # batches made at once: large enough for matrix products, small enough for the cache
CHUNK = 1024  # spectra projected at once
SAMPLE, LEAST = 40_000, 8192  # pairs that fix the representation, and of any number of pixels

Pairs = tuple[torch.Tensor, ...]  # coordinates, flux, ivar, and instrument where there is one


class Reader(Protocol):
    """A store of pairs, as far as training needs to know."""

    shard: int
    arrays: Mapping[str, Any]

    def read(self, name: str, rows: slice) -> np.ndarray:
        """Rows of one array."""

    def rows_of(self, shard: int) -> slice:
        """Rows of a shard."""


class Supply(Protocol):
    """Training pairs in numbered blocks of whole batches; a block is the same on any day."""

    prior: Prior
    wave: torch.Tensor
    batch: int

    def batches_in(self, block: int) -> int:
        """Batches in a block."""

    def make(self, block: int, pad: torch.Tensor) -> Pairs:
        """Pairs of a block; `pad` widens the prior."""

    def sample(self, pad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Pairs, with noise-free flux (or noisy where there is none) behind the coordinates."""


@dataclass(frozen=True)
class FreshPairs:
    """Parameters, spectra and noise drawn anew for every block."""

    prior: Prior
    ssp: Ssp
    noise: Noise
    wave: torch.Tensor
    batch: int
    seed: int

    def batches_in(self, block: int) -> int:
        """See `Supply`."""
        return rows_at_once(BLOCK, len(self.wave))

    def make(self, block: int, pad: torch.Tensor) -> Pairs:
        """See `Supply`."""
        n = self.batches_in(block) * self.batch
        coordinates, _, *spectra = self._draw(n, pad, 1, block)
        return coordinates, *spectra

    def sample(self, pad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See `Supply`."""
        return self._draw(_sample_size(self.wave), pad, 0)

    @torch.no_grad()
    def _draw(self, n: int, pad: torch.Tensor, *pieces: int) -> tuple[torch.Tensor, ...]:
        rng = generator(self.seed, "train", *pieces)
        return fresh_pairs(n, self.prior, self.ssp, self.noise, self.wave, pad.numpy(), rng)


@dataclass(frozen=True)
class StoredPairs:
    """Pairs of the training store, two shards in memory at a time, in another order each epoch.

    Arguments:
        rows: the training split; it starts at row 0.
    """

    prior: Prior
    store: Reader
    rows: slice
    wave: torch.Tensor
    batch: int
    seed: int

    def batches_in(self, block: int) -> int:
        """See `Supply`; what is left of a shard after whole batches waits for another epoch."""
        return max(len(self._rows(block)) // self.batch, 1)

    def make(self, block: int, pad: torch.Tensor) -> Pairs:
        """See `Supply`; stored pairs cannot be widened, `pad` is left out."""
        rows = self._rows(block)
        order = generator(self.seed, "train", 1, block).permutation(len(rows))
        order = order[: self.batches_in(block) * self.batch]
        pairs = read_pairs(self.prior, self.store, slice(rows.start, rows.stop))
        return tuple(values[order] for values in pairs)

    def sample(self, pad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See `Supply`."""
        first = slice(0, min(self.rows.stop, _sample_size(self.wave)))
        coordinates, flux, *rest = read_pairs(self.prior, self.store, first)
        return coordinates, flux, flux, *rest

    def _rows(self, block: int) -> range:
        shards = -(-self.rows.stop // self.store.shard)
        epoch, place = divmod(block, shards)
        shard = generator(self.seed, "train", 2, epoch).permutation(shards)[place]
        rows = self.store.rows_of(int(shard))
        return range(rows.start, min(rows.stop, self.rows.stop))


def read_pairs(prior: Prior, store: Reader, rows: slice) -> Pairs:
    """Stored pairs."""
    names = [name for name in ("theta", "flux", "ivar", "instrument") if name in store.arrays]
    theta, *spectra = (store.read(name, rows) for name in names)
    coordinates = torch.as_tensor(prior.coordinates(theta), dtype=torch.float32)
    return coordinates, *map(torch.from_numpy, spectra)


def parts_for(representation: Representation, pairs: Pairs) -> Iterator[Pairs]:
    """The pairs, a few at a time, on the device of the representation."""
    rows = rows_at_once(CHUNK, pairs[1].shape[1])
    for part in zip(*(values.split(rows) for values in pairs), strict=True):
        yield tuple(values.to(representation.device) for values in part)


def batches(
    supply: Supply, representation: Representation, start: int, stop: int, passes: int = 1
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of flow coordinates and context for steps start to stop.

    The next block is made by a thread of its own while the network trains on this one; each block
    has its own generator, so that a resumed run sees the pairs that it would have seen.

    Arguments:
        supply: of pairs.
        representation: fitted.
        start, stop: numbers of the first step and of the one after the last.
        passes: how often a block is gone through, in another order each time, before the next one:
            where a pair costs more than a step with it.
    """
    step = start
    # The number of threads is a setting of each thread; a block must not depend on the machine.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as thread:
        numbers = _blocks(supply, start, stop, passes)
        prepare = partial(thread.submit, _prepare, supply, representation)
        ahead = deque((prepare(block), skip) for block, skip in islice(numbers, 2))
        while ahead:
            future, skip = ahead.popleft()
            u, context = future.result()
            ahead.extend((prepare(block), skip) for block, skip in islice(numbers, 1))
            pairs = _passes(u, context, supply.batch, passes)
            for pair in islice(pairs, skip, skip + stop - step):
                step += 1
                yield pair


def _sample_size(wave: torch.Tensor) -> int:
    return max(rows_at_once(SAMPLE, len(wave)), LEAST)


def _passes(u: torch.Tensor, context: torch.Tensor, batch: int, passes: int) -> Iterator[Pairs]:
    """Batches of a block: as they come, which is random enough, then shuffled."""
    yield from zip(u.split(batch), context.split(batch), strict=True)
    for number in range(1, passes):
        order = torch.from_numpy(np.random.default_rng(number).permutation(len(u)))
        for rows in order.split(batch):
            yield u[rows], context[rows]


def _blocks(supply: Supply, start: int, stop: int, passes: int) -> Iterator[tuple[int, int]]:
    """Number of each block, and how many of its batches come before step `start`."""
    block = first = 0
    while first < stop:
        batches = passes * supply.batches_in(block)
        if first + batches > start:
            yield block, max(start - first, 0)
        first += batches
        block += 1


@torch.no_grad()
def _prepare(
    supply: Supply, representation: Representation, block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    u, context = [], []
    pairs = supply.make(block, representation.pad)
    for c, f, i, *instrument in parts_for(representation, pairs):
        given = c[:, representation.given]
        context_part, shift = representation.context(f, i, given, *instrument)
        context.append(context_part)
        u.append(representation.to_flow(c, shift)[0])
    return torch.cat(u), torch.cat(context)
