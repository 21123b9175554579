"""What a run holds, opened for a reader: never an error, but a note that names the mend."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput, file_trouble
from hpcsbi.run.folder import FlowFolder
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.files import Damaged, load_weights
from hpcsbi.store.opening import open_store
from hpcsbi.store.store import Store

__all__ = [
    "draws_of",
    "finished_rows",
    "instruments",
    "label",
    "prior_of",
    "read_json",
    "read_some",
    "spectra_of",
    "store_at",
    "values_of",
    "weights_of",
]

ROWS = 1_000_000  # rows looked at; more change no figure


def store_at(path: str, job: str, option: str = "") -> tuple[Store | None, list[str]]:
    """A store with at least one finished shard, and what is to be said about it."""
    name = Path(path).name
    try:
        store = open_store(path)
    except FileNotFoundError:
        return None, [f"There is no {name} yet: run jobs/{job}.py{option}."]
    except Damaged as error:
        return None, [str(error)]
    except OSError as error:
        return None, [file_trouble(error)]
    states = list(store.states().values())
    done = states.count("done")
    if not done:
        return None, [f"{name} has no finished shard yet: run jobs/{job}.py{option}."]
    if done < len(states):
        note = (
            f"{name}: only {done} of {len(states)} shards are there; jobs/{job}.py makes the rest."
        )
        return store, [note]
    return store, []


def label(store: Store) -> str:
    """Name of a store and of the run that it is in."""
    return f"{store.path.parent.name}/{store.path.name}"


def finished_rows(store: Store, most: int = ROWS) -> np.ndarray:
    """The first rows of finished shards, at most `most`."""
    rows, count = [], 0
    for shard, state in store.states().items():
        if count < most and state == "done":
            span = store.rows_of(shard)
            rows.append(np.arange(span.start, span.stop))
            count += len(rows[-1])
    return np.concatenate(rows)[:most]


def read_some(store: Store, names: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of a store that it has."""
    return {name: store.read(name, rows) for name in names if name in store.group}


def values_of(store: Store, row: int, *names: str) -> list[Any]:
    """Values of one row of some arrays; None of an array that a store has not."""
    columns = read_some(store, names, np.array([row]))
    return [columns[name][0] if name in columns else None for name in names]


def read_json(path: Path, kind: type) -> tuple[Any, list[str]]:
    """Content of a file, None if it is not there, and what is to be said about it.

    Arguments:
        path: the file.
        kind: dict or list, what it must hold.
    """
    try:
        content = json.loads(path.read_text())
        if isinstance(content, kind):
            return content, []
        words = f"a {type(content).__name__} in place of a {kind.__name__}"
    except FileNotFoundError:
        return None, []
    except OSError as error:
        return None, [file_trouble(error)]
    except ValueError as error:
        words = str(error)
    return None, [f"{path.name} cannot be read ({words}): remove it and run its job again."]


def weights_of(folder: Path) -> tuple[dict, list[str]]:
    """Settings and notice of the flow."""
    try:
        return load_weights(FlowFolder(folder).weights)[1], []
    except FileNotFoundError:
        return {}, [f"There is no trained flow {folder.name} yet: run jobs/train.py."]
    except Damaged as error:
        return {}, [str(error)]
    except OSError as error:
        return {}, [file_trouble(error)]


def instruments(
    store: Store, rows: slice | np.ndarray, noise: Noise
) -> tuple[np.ndarray | None, np.ndarray]:
    """What instruments add to dispersions, (rows, KNOTS), and where that is known, (rows,).

    None, and known everywhere, where the noise model has no instruments.

    Raises:
        BadInput: the noise model has instruments, and the store tells none.
    """
    if not noise.instrument:
        return None, np.True_
    if "instrument" not in store.arrays:
        raise BadInput(
            f"{store.path} does not tell what the instrument adds, which noise.instrument=true "
            "takes: it is of an older version, or of another noise; make it again."
        )
    added = store.read("instrument", rows)
    return added, np.isfinite(added).all(1)


def spectra_of(store: Store, rows: np.ndarray, noise: Noise) -> Batch:
    """Some of the stored spectra, with their instruments if the noise model has any."""
    flux, ivar = (store.read(name, rows) for name in ("flux", "ivar"))
    return Batch(flux, ivar, rows, None, instruments(store, rows, noise)[0])


def prior_of(store: Store) -> Prior:
    """The prior with its columns in the order of the store's own coordinate, if it has one."""
    prior = Model.of(store.settings).prior
    if "parameter" not in store.group:
        return prior
    names = [str(name) for name in store.read("parameter")]
    return Prior({name: prior.columns[name] for name in names}, prior.bound_age)


def draws_of(store: Store, row: int, name: str = "samples") -> np.ndarray:
    """Draws of one object, shape (n, n_theta)."""
    samples = store.read(name, np.array([row]))[0]
    return samples[np.isfinite(samples).all(-1)]
