"""catalogue.parquet: the one place that writes it, from catalogue.zarr and the chains for it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from hpcsbi.flags import legend
from hpcsbi.mcmc.fit_columns import catalogue_columns
from hpcsbi.run.merges import MADE_OF, chains_of, made_of, table_of
from hpcsbi.simulator.model import Model
from hpcsbi.store.files import read_parquet_header, write_parquet
from hpcsbi.store.settings import differences
from hpcsbi.store.store import Incomplete, Store, open_store

__all__ = ["write_catalogue"]

FITTED = ("spectrum", "quantiles", "chi2", "predictive_p", "flags", "n_steps")
PATIENCE = 600.0  # seconds that another writer may take


def write_catalogue(path: str | Path) -> None:
    """Write the columns of a catalogue, and what converged chains say, as one Parquet file.

    Its bytes follow from the stores that are there and not from the order of commands; a block of
    rows is in memory at a time.

    Arguments:
        path: catalogue.zarr; the file comes beside it.

    Raises:
        Incomplete: the catalogue lacks shards.
        Held: another driver has been at work on the catalogue for ten minutes.
    """
    store = open_store(path)
    with store.locked(patience=PATIENCE):
        lacking = [shard for shard, state in store.states().items() if state != "done"]
        if lacking:
            raise Incomplete(
                f"{path}: {len(lacking)} of {len(store.shards)} shards are not there: run "
                "jobs/infer.py again, it makes only what is missing."
            )
        chains, table = chains_of(store.path), table_of(store.path)
        sources = made_of(store, chains)
        if read_parquet_header(table).get(MADE_OF) == sources:
            return
        names = [name for name in store.attributes["sharded"] if store.arrays[name].ndim == 1]
        chains = [fits for fits in chains if _fits(fits, store)]
        blocks = _Blocks(store, names, _converged(chains), _parameters(store))
        columns = {name: _Column(blocks, name) for name in blocks.block(0, 0)}
        header = {"notice": store.attributes.get("notice", ""), "flags": legend()["comment"]}
        write_parquet(table, columns, header | {MADE_OF: sources})


def _fits(fits: Store, catalogue: Store) -> bool:
    """True if chains are of the flow and the spectra of the catalogue."""
    one, other = (
        {name: store.settings[name] for name in ("flow", "spectra")} for store in (catalogue, fits)
    )
    lines = list(differences(one, other))
    if lines:
        print(f"{fits.path} is not merged, it is of another flow or spectra: {lines[0]}")
    return not lines


def _parameters(store: Store) -> tuple[str, ...]:
    return Model.of(store.settings).prior.names


def _converged(chains: Sequence[Store]) -> dict[str, np.ndarray] | None:
    """Arrays of all converged rows by spectrum, of two chains of one spectrum the longer one."""
    parts: dict[str, list] = {name: [] for name in FITTED}
    for fits in chains:
        for shard, state in fits.states().items():
            rows = fits.rows_of(shard)
            good = fits.read("converged", rows) if state == "done" else np.zeros(0, bool)
            if good.any():
                for name in FITTED:
                    parts[name].append(fits.read(name, rows)[good])
    if not parts["spectrum"]:
        return None
    found = {name: np.concatenate(values) for name, values in parts.items()}
    order = np.lexsort((found["n_steps"], found["spectrum"]))
    spectrum = found["spectrum"][order]
    last = order[np.append(spectrum[1:] != spectrum[:-1], True)]
    return {name: values[last] for name, values in found.items()}


class _Blocks:
    """Blocks of rows of a catalogue with the chains' numbers in it, the last one remembered."""

    def __init__(
        self, store: Store, names: Sequence[str], chains: dict | None, parameters: tuple[str, ...]
    ) -> None:
        self.store, self.names, self.chains, self.parameters = store, names, chains, parameters
        self.block = lru_cache(maxsize=1)(self._block)

    def _block(self, start: int, stop: int) -> dict[str, np.ndarray]:
        columns = {name: self.store.read(name, slice(start, stop)) for name in self.names}
        if self.chains is None:
            return columns
        first, last = np.searchsorted(self.chains["spectrum"], (start, stop))
        some = {name: values[first:last] for name, values in self.chains.items()}
        return catalogue_columns(
            columns, some | {"spectrum": some["spectrum"] - start}, self.parameters
        )


class _Column:
    """One column of the blocks, which are read when their rows are asked for."""

    def __init__(self, blocks: _Blocks, name: str) -> None:
        self.blocks, self.name = blocks, name

    def __len__(self) -> int:
        return self.blocks.store.rows

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.blocks.block(rows.start, rows.stop)[self.name]
