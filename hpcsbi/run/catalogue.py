"""catalogue.parquet: the one place that writes it, from catalogue.zarr and the chains for it.

The store has arrays by meaning; the table has a column for each number, `tage_p16` for one.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.flags import legend
from hpcsbi.inference.columns.catalogue_columns import by_level, published
from hpcsbi.inference.columns.line_excess import EXCESS
from hpcsbi.mcmc.fit_columns import OF_A_POSTERIOR, columns_with_chains
from hpcsbi.run.merges import MADE_OF, chains_of, source_marks, table_of
from hpcsbi.store.files import read_parquet_header, write_parquet
from hpcsbi.store.opening import Incomplete, open_store
from hpcsbi.store.settings import differences
from hpcsbi.store.store import Store

__all__ = ["chain_draws", "refuse_old", "write_catalogue"]

FITTED = ("spectrum", "flags", "n_steps", *OF_A_POSTERIOR)
PATIENCE = 600.0  # seconds that another writer may take


def write_catalogue(path: str | Path) -> None:
    """Write the columns of a catalogue, and what converged chains say, as one Parquet file.

    Its bytes follow from the stores that are there and not from the order of commands; a block of
    rows is in memory at a time.

    Arguments:
        path: catalogue.zarr; the file comes beside it.

    Raises:
        BadInput: an older version made the catalogue.
        Incomplete: the catalogue lacks shards.
        Held: another driver has been at work on the catalogue for ten minutes.
    """
    store = open_store(path)
    refuse_old(store)
    with store.locked(patience=PATIENCE):
        lacking = [shard for shard, state in store.states().items() if state != "done"]
        if lacking:
            raise Incomplete(
                f"{path}: {len(lacking)} of {len(store.shards)} shards are not there: run "
                "jobs/infer.py again, it makes only what is missing."
            )
        chains, table = chains_of(store.path), table_of(store.path)
        sources = source_marks(store, chains)
        if read_parquet_header(table).get(MADE_OF) == sources:
            return
        chains = [fits for fits in chains if _belongs(fits, store)]
        blocks = _Blocks(store, _converged_rows(chains, _fitted(store)))
        columns = {name: _Column(blocks, name) for name in blocks.block(0, 0)}
        header = {"notice": store.attributes.get("notice", ""), "flags": legend()["comment"]}
        write_parquet(table, columns, header | {MADE_OF: sources})


def refuse_old(store: Store) -> None:
    """Raise unless a catalogue has the arrays of this version.

    Raises:
        BadInput: it has not.
    """
    if missing := [name for name in ("quantiles", "prior_share") if name not in store.arrays]:
        raise BadInput(
            f"{store.path} was made by an older version, without {', '.join(missing)}: remove it "
            "and run jobs/infer.py again, or go on with that version of hpcsbi."
        )


def chain_draws(store: Store) -> tuple[np.ndarray, np.ndarray] | None:
    """Draws of the converged chains whose numbers are in a catalogue; None where there are none.

    Arguments:
        store: catalogue.zarr.

    Returns:
        Rows of the catalogue, ascending, shape (chains,), and draws, (chains, draws, n_theta).
    """
    chains = [fits for fits in chains_of(store.path) if _belongs(fits, store)]
    rows = _converged_rows(chains, ("spectrum", "n_steps", "samples"))
    return None if rows is None else (rows["spectrum"], rows["samples"])


def _published(
    store: Store, along: Mapping[str, Sequence[str]], rows: slice
) -> dict[str, np.ndarray]:
    """Columns of some rows of catalogue.zarr, as its table has them but for chains."""
    columns, beside = {}, {"": "quantiles", "flow_": "flow_quantiles"}
    for array in store.sharded:
        if array == "quantiles":  # the flow's beside the published ones, parameter by parameter
            both = {
                kind: store.read(name, rows)
                for kind, name in beside.items()
                if name in store.arrays
            }
            for j, name in enumerate(along["parameter"]):
                for kind, values in both.items():
                    columns |= by_level(values[..., j : j + 1], [name], kind)
        elif array not in ("flow_quantiles", "samples"):
            columns |= published(array, store.read(array, rows), along)
    return columns


def _fitted(store: Store) -> tuple[str, ...]:
    """Arrays of chains that a catalogue takes."""
    return (*FITTED, *(name for name in EXCESS if name in store.arrays))


def _belongs(fits: Store, store: Store) -> bool:
    """True if what chains say goes into a catalogue."""
    return _is_new(fits, _fitted(store)) and _of_same_flow(fits, store)


def _is_new(fits: Store, fitted: Sequence[str]) -> bool:
    """True if chains have all arrays that a catalogue takes of them."""
    missing = [name for name in fitted if name not in fits.arrays]
    if missing:
        print(
            f"{fits.path} is not merged, an older version made it without {', '.join(missing)}: "
            "remove it and run jobs/fit.py again."
        )
    return not missing


def _of_same_flow(fits: Store, catalogue: Store) -> bool:
    """True if chains are of the flow and the spectra of the catalogue."""
    of_catalogue, of_chains = (
        {name: store.settings[name] for name in ("flow", "spectra")} for store in (catalogue, fits)
    )
    lines = list(differences(of_catalogue, of_chains))
    if lines:
        print(f"{fits.path} is not merged, it is of another flow or spectra: {lines[0]}")
    return not lines


def _converged_rows(chains: Sequence[Store], fitted: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Arrays of all converged rows by spectrum, of two chains of one spectrum the longer one."""
    parts: dict[str, list] = {name: [] for name in fitted}
    for fits in chains:
        for shard, state in fits.states().items():
            rows = fits.rows_of(shard)
            good = fits.read("converged", rows) if state == "done" else np.zeros(0, bool)
            if good.any():
                for name in fitted:
                    parts[name].append(fits.read(name, rows)[good])
    if not parts["spectrum"]:
        return None
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    order = np.lexsort((columns["n_steps"], columns["spectrum"]))
    spectrum = columns["spectrum"][order]
    last = order[np.append(spectrum[1:] != spectrum[:-1], True)]
    return {name: values[last] for name, values in columns.items()}


class _Blocks:
    """Blocks of rows of a catalogue with the chains' numbers in it, the last one remembered."""

    def __init__(self, store: Store, chains: dict | None) -> None:
        self.store, self.chains = store, chains
        self.along = {
            dim: tuple(str(name) for name in store.read(dim))
            for dim in ("parameter", "quantity", "blend", "line_group", "axis", "name")
            if dim in store.arrays
        }
        self.block = lru_cache(maxsize=1)(self._block)

    def _block(self, start: int, stop: int) -> dict[str, np.ndarray]:
        columns = _published(self.store, self.along, slice(start, stop))
        if self.chains is None:
            return columns
        first, last = np.searchsorted(self.chains["spectrum"], (start, stop))
        some = {name: values[first:last] for name, values in self.chains.items()}
        chains = some | {"spectrum": some["spectrum"] - start}
        return columns_with_chains(columns, chains, self.along)


class _Column:
    """One column of the blocks, which are read when their rows are asked for."""

    def __init__(self, blocks: _Blocks, name: str) -> None:
        self.blocks, self.name = blocks, name

    def __len__(self) -> int:
        return self.blocks.store.rows

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.blocks.block(rows.start, rows.stop)[self.name]
