"""Draws of every posterior of a catalogue, a number of each, some rows at a time."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow

from hpcsbi.errors import BadInput
from hpcsbi.mcmc.fit_columns import spaced_indices
from hpcsbi.run.catalogue import chain_draws
from hpcsbi.store.store import Store
from hpcsbi.survey.record.identity import NAMES

__all__ = ["draw_blocks", "refuse_few_draws"]

NUMBERS = 4_000_000  # of draws that are in memory together


def refuse_few_draws(store: Store, draws: int) -> None:
    """Raise unless a catalogue has so many draws of each posterior.

    Raises:
        BadInput: it has fewer; names the mend.
    """
    kept = store.settings["keep_draws"]
    if draws > kept:
        raise BadInput(
            f"release.draws={draws} of the {kept} that {store.path} kept of each posterior: make "
            f"it again with infer.keep_draws={draws} (and infer.out=... to keep this one), or ask "
            "for fewer."
        )


def draw_blocks(store: Store, draws: int) -> Callable[[], Iterator[pyarrow.RecordBatch]]:
    """Key, origin and draws of each column of theta, each time it is called.

    Arguments:
        store: catalogue.zarr with its draws; rows whose numbers are those of a chain get the
            chain's, as in catalogue.parquet.
        draws: of each row; NaN past the last one where there are fewer.
    """
    names = [str(name) for name in store.read("parameter")]
    chains = chain_draws(store)
    step = max(NUMBERS // (store.settings["keep_draws"] * len(names)), 1)

    def blocks() -> Iterator[pyarrow.RecordBatch]:
        for start in range(0, store.rows, step):
            rows = slice(start, min(start + step, store.rows))
            yield _block(store, rows, names, draws, chains)

    return blocks


def _block(
    store: Store, rows: slice, names: list[str], draws: int, chains: tuple | None
) -> pyarrow.RecordBatch:
    samples = some_draws(store.read("samples", rows), draws)
    origin = np.full(len(samples), "flow", object)
    if "origin" in store.arrays:
        origin = store.read("origin", rows).astype(object)
    if chains is not None:
        first, last = np.searchsorted(chains[0], (rows.start, rows.stop))
        at = chains[0][first:last] - rows.start
        samples[at] = some_draws(chains[1][first:last], draws)
        origin[at] = "mcmc"
    keys = store.read("identity", rows)[:, NAMES.index("key")]
    columns = [pyarrow.array([str(text) for text in texts]) for texts in (keys, origin)]
    for j in range(len(names)):
        flat = pyarrow.array(np.ascontiguousarray(samples[..., j]).ravel())
        columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, draws))
    return pyarrow.RecordBatch.from_arrays(columns, ["key", "origin", *names])


def some_draws(samples: np.ndarray, draws: int) -> np.ndarray:
    """Draws of each row, equally spaced among those that are there, NaN past the last one.

    Arguments:
        samples: shape (rows, kept, n_theta), NaN past the last draw.
        draws: how many.
    """
    chosen = np.full((len(samples), draws, samples.shape[-1]), np.nan, np.float32)
    counts = np.isfinite(samples).all(-1).sum(1)
    for count in np.unique(counts[counts > 0]):
        some = spaced_indices(count, draws) if count >= draws else np.arange(count)
        rows = np.flatnonzero(counts == count)
        chosen[rows, : len(some)] = samples[rows[:, None], some]
    return chosen
