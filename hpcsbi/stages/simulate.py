"""Simulate noise-free spectra of the prior's draws, or of a list of parameters."""

import hashlib
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from hpcsbi.arguments import Count, Natural, OneOf, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.seeds import generator
from hpcsbi.simulator.direct.fsps_data import tree_notice
from hpcsbi.simulator.direct.fsps_spectra import (
    NOT_FINITE,
    OK,
    STATUSES,
    direct_spectra,
    preflight,
)
from hpcsbi.simulator.galaxy.physics import Physics, check_prior
from hpcsbi.simulator.table.ssp_arrays import check_accuracy, check_table, table_arrays
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.batches import write_batches
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete, open_store
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store
from hpcsbi.terminal import tell_once

__all__ = ["simulate"]


@checked()
def simulate(
    out: str,
    source: Annotated[str, OneOf(("table", "fsps"))],
    n: Count,
    theta: str | None,
    shard: Count,
    prior: Prior,
    grid: Grid,
    physics: Physics,
    table: str,
    seed: Natural,
    cluster: Cluster,
) -> None:
    """Write theta, flux and status of every row; rows that FSPS cannot make are flagged.

    Arguments:
        out: store to write.
        source: "table" (the SSP table) or "fsps" (Prospector itself, thousands of times slower).
        n: number of draws of the prior; not used with `theta`.
        theta: .parquet or .csv file with the prior's columns, whose rows are taken instead.
        shard: rows that are made at a time; a file holds more where there are very many.
        prior, grid, physics: what to simulate.
        table: store that `tabulate` made, for source "table".
        seed: of the draws; the k-th rows made at a time have their own generator.
        cluster: where to run.

    Raises:
        ValueError: an unknown source, or a file whose columns or rows do not fit the prior.
        Mismatch: the table or `out` was made with other settings.
        FspsError: FSPS cannot run.
    """
    check_prior(prior.columns, physics)
    rows = None if theta is None else read_theta(theta, prior)
    n = n if rows is None else len(rows)
    settings = {
        "code": code_of("simulate"),
        "seed": seed,
        "n": n,
        "source": source,
        "prior": prior.settings(),
        "grid": grid.settings(),
        "physics": physics.settings(),
        "table": None,
        "theta": None if rows is None else _checksum(rows),
    }
    if source == "table":
        settings["table"], notice = _check_table(table, prior, grid, physics)
    else:
        notice = tree_notice(os.environ.get("SPS_HOME"))
        if not Path(out).exists():
            preflight(grid, physics)
    store = create(out, _arrays(n, prior, grid), settings, shard, {"notice": notice})
    make = partial(_table, table, prior) if source == "table" else partial(_fsps, grid, physics)
    function = partial(_simulate_shard, out, theta, prior, seed, make)
    run_shards(function, store, cluster, "simulate", threads=source == "fsps")
    _report(store)


def read_theta(path: str, prior: Prior) -> np.ndarray:
    """Rows of a file of parameters, in the prior's order and own units.

    Arguments:
        path: .parquet or .csv; columns that the prior does not know are left out.
        prior: names and allowed ranges.

    Returns:
        shape (n, n_theta), float64.

    Raises:
        ValueError: another kind of file, a missing column, or a value that is not a number or
            outside the prior; names file, row, column, value and range.
        FileNotFoundError: there is no such file.
    """
    import pandas

    readers = {".parquet": pandas.read_parquet, ".csv": pandas.read_csv}
    reader = readers.get(Path(path).suffix)
    if reader is None:
        raise BadInput(f"{path}: simulate.theta takes a .parquet or a .csv file.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"simulate.theta: {path} is not there, or is no file.")
    try:
        frame = reader(path)
    except (ValueError, OSError) as error:  # of pyarrow and of pandas's parser
        words = " ".join(str(error).split())
        raise BadInput(f"simulate.theta: {path} cannot be read: {words}.") from error
    missing = [name for name in prior.names if name not in frame.columns]
    if missing or not len(frame):
        raise BadInput(
            f"{path} has {len(frame)} rows of {', '.join(map(str, frame.columns))}, and the prior "
            f"also needs {', '.join(missing) or 'a row'}: add it to the file, or choose a prior "
            "with the file's columns."
        )
    theta = np.column_stack([_numbers(frame[name], path) for name in prior.names])
    _check_support(theta, path, prior)
    return theta


def _numbers(column: Any, path: str) -> np.ndarray:
    try:
        return column.to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path}: column {column.name} is not of numbers ({error}).") from error


def _check_support(theta: np.ndarray, path: str, prior: Prior) -> None:
    bad = ~prior.support(theta)
    if not bad.any():
        return
    row = int(bad.argmax())
    for name, value in zip(prior.names, theta[row], strict=True):
        column = prior.columns[name]
        if not column.low <= value <= column.high:
            raise BadInput(
                f"{path}: row {row} has {name} = {value}, the prior allows {column.low} to "
                f"{column.high} ({prior.units[name]}); {bad.sum()} of {len(theta)} rows are "
                "outside: drop them, or widen the prior in conf/prior."
            )


def _check_table(path: str, prior: Prior, grid: Grid, physics: Physics) -> tuple[dict, str]:
    """Settings and notice of a table that fits."""
    store = open_complete(path, "tabulate")
    asked = {"grid": grid.settings(), "physics": physics.settings()}
    refuse_other_settings(
        path,
        {name: store.settings[name] for name in asked},
        asked,
        "Make another table with jobs/tabulate.py, or ask for the old settings.",
    )
    check_accuracy(path, store.attributes["accuracy"])
    check_table(store, prior)
    return store.settings, store.attributes["notice"]


def _arrays(n: int, prior: Prior, grid: Grid) -> dict[str, Array]:
    row, parameter, pixel = {"row": n}, {"parameter": len(prior.names)}, {"pixel": grid.pixels}
    flags = {
        "flag_values": list(STATUSES),
        "flag_meanings": " ".join(STATUSES.values()),
    }
    names = np.array(prior.names, dtype=np.dtypes.StringDType())
    about = {"units": "see description", "description": prior.units}
    flux = {"units": "solLum / Angstrom", "description": "of 10^logmass solar masses formed"}
    return {
        "theta": Array(row | parameter, "float64", about),
        "flux": Array(row | pixel, "float32", flux),
        "status": Array(row, "int8", flags),
        "wave": Array(pixel, "float64", {"units": "Angstrom"}, grid.wave),
        "parameter": Array(parameter, "string", values=names),
    }


def _simulate_shard(
    path: str,
    file: str | None,
    prior: Prior,
    seed: int,
    make: partial,
    shard: int,
) -> None:
    store = open_store(path)
    write_batches(store, shard, partial(_simulated, store, file, prior, seed, make))


def _simulated(
    store: Store, file: str | None, prior: Prior, seed: int, make: partial, rows: slice
) -> dict[str, np.ndarray]:
    """All arrays of some rows."""
    if file is None:
        rng = generator(seed, "simulate", rows.start // store.batch)
        theta = prior.sample(rows.stop - rows.start, rng)
    else:
        theta = _unchanged(file, prior, store.settings["theta"])[rows]
    flux, status = make(theta, prior.names)
    return {"theta": theta, "flux": flux, "status": status}


def _fsps(
    grid: Grid, physics: Physics, theta: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    return direct_spectra(theta, names, grid, physics)


def _table(
    path: str, prior: Prior, theta: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    flux = _engine(path, prior).flux(torch.from_numpy(theta), names).numpy()
    status = np.where(np.isfinite(flux).all(1), OK, NOT_FINITE).astype(np.int8)
    return flux, status


@lru_cache(maxsize=2)
def _engine(path: str, prior: Prior) -> Ssp:
    table = open_store(path)
    physics = Physics(**table.settings["physics"])
    return Ssp(**table_arrays(table, prior.names), prior=prior, physics=physics)


@lru_cache(maxsize=1)
def _unchanged(file: str, prior: Prior, checksum: str) -> np.ndarray:
    theta = read_theta(file, prior)
    if _checksum(theta) != checksum:
        raise BadInput(
            f"{file} has changed since the run began: choose another run=... or name=..."
        )
    return theta


def _checksum(theta: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(theta).tobytes(), digest_size=16).hexdigest()


def _report(store: Store) -> None:
    """Print how many rows are flagged and why."""
    counts = np.zeros(len(STATUSES), dtype=int)
    for shard in store.shards:
        counts += np.bincount(store.read("status", store.rows_of(shard)), minlength=len(counts))
    bad = [f"{counts[status]} {text}" for status, text in STATUSES.items() if status != OK]
    if counts[OK] < store.rows:
        print(f"{store.path}: {counts[OK]} of {store.rows} rows are ok ({', '.join(bad)}).")
    if store.attributes["notice"]:
        tell_once(store.attributes["notice"])
