"""Learned errors as files: errors.zarr, what its held-out spectra say, and the error in it."""

from pathlib import Path

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.learned_error import LearnedError
from hpcsbi.simulator.model import Model
from hpcsbi.statistics.held_out import Judgement, judgement
from hpcsbi.store.opening import open_complete
from hpcsbi.store.store import Store

__all__ = ["WHOLE", "error_of", "learned_error", "verdict_on"]

WHOLE = -1  # "fold" of the error that all objects taught


def learned_error(path: str | Path) -> LearnedError:
    """The error that a survey asks for, from a file that jobs/learn.py made.

    Raises:
        FileNotFoundError, Damaged, Incomplete: it is not there, or not whole.
        BadInput: something else is.
    """
    store = open_complete(path, "learn")
    if "templates" not in store.arrays or "gain" not in store.arrays:
        raise BadInput(
            f"noise.learned: {path} is no learned error: name an errors.zarr of jobs/learn.py."
        )
    return error_of(store, verdict_on(store))


def verdict_on(store: Store) -> Judgement:
    """What the objects say that each error had not seen."""
    folds, strengths, gains = (store.read(name) for name in ("fold", "strength", "gain"))
    of_object = store.read("fold_of")
    values = np.full((len(np.unique(strengths)), *gains.shape[1:]), np.nan)
    for fold, strength, gain in zip(folds, strengths, gains, strict=True):
        if fold != WHOLE:
            place = np.unique(strengths).searchsorted(strength)
            values[place][:, of_object == fold] = gain[:, of_object == fold]
    return judgement(values)


def error_of(store: Store, verdict: Judgement) -> LearnedError:
    """The error that all objects taught, as strong and of the rank that the verdict says."""
    model = Model.of(store.settings)
    if verdict.rank is None:
        if model.noise.learned is not None:
            return model.noise.learned
        nothing = np.zeros(model.grid.pixels)
        return LearnedError(nothing, [], model.grid.settings(), model.noise.model_error)
    strengths = store.read("strength")
    chosen = (store.read("fold") == WHOLE) & (strengths == np.unique(strengths)[verdict.setting])
    [row] = np.flatnonzero(chosen)
    rank = int(store.read("rank")[verdict.rank])
    mean = store.read("mean", np.array([row]))[0, verdict.rank]
    templates = store.read("templates", np.array([row]))[0, verdict.rank, :rank]
    return LearnedError(mean, templates, model.grid.settings(), model.noise.model_error)
