"""Learned errors as files: errors.zarr, what its held-out spectra say, and the error in it."""

from pathlib import Path

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.statistics.held_out import Judgement, judgement
from hpcsbi.store.opening import open_complete
from hpcsbi.store.store import Store

__all__ = ["COMMON", "WHOLE", "class_verdicts", "error_of", "learned_error", "verdict_on"]

WHOLE = -1  # "fold" of the error that all objects taught
COMMON = -1  # "class" of errors of all objects
ASKED = 3  # standard errors by which a class has to gain: there may be many classes


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
    return judgement(_held_out(store, COMMON))


def class_verdicts(store: Store) -> dict[str, dict]:
    """Whether an error of its own is worth more to a class than the common one.

    Both are of the strength and rank that the class's own objects ask for, neither has seen those
    that judge it. That fewer objects teach a class is in its gain.

    Returns:
        class -> meaning; objects; judged (those that both have a gain for); own, common and gain:
        ln evidence of a held-out object by either, and by how much the first is more, with
        gain_error; asked_for: that is ASKED times its error.
    """
    if "class" not in store.arrays:
        return {}
    common, members = _held_out(store, COMMON), store.read("member").astype(bool)
    verdicts = {}
    for number, (name, some) in enumerate(zip(store.read("class_name"), members, strict=True)):
        own = _chosen(_held_out(store, number)[..., some])
        shared = _chosen(common[..., some])
        known = np.isfinite(own) & np.isfinite(shared)
        more, judged = (own - shared)[known], int(known.sum())
        gain = float(more.mean()) if judged else 0.0
        error = float(more.std(ddof=1) / np.sqrt(judged)) if judged > 1 else float("inf")
        verdicts[str(name)] = {
            "meaning": store.attributes["classes"][str(name)],
            "objects": int(some.sum()),
            "judged": judged,
            "own": float(own[known].mean()) if judged else 0.0,
            "common": float(shared[known].mean()) if judged else 0.0,
            "gain": gain,
            "gain_error": error,
            "asked_for": gain > ASKED * error,
        }
    return verdicts


def _chosen(gains: np.ndarray) -> np.ndarray:
    """Gains of the model that held-out objects ask for, zero of none, shape (objects,)."""
    verdict = judgement(gains)
    if verdict.rank is None:
        return np.zeros(gains.shape[-1])
    return gains[verdict.setting, verdict.rank]


def _held_out(store: Store, of_class: int) -> np.ndarray:
    """Gains under errors that had not seen an object, (strengths, ranks, objects), NaN without."""
    folds, strengths, gains = (store.read(name) for name in ("fold", "strength", "gain"))
    of_object, settings = store.read("fold_of"), np.unique(strengths)
    values = np.full((len(settings), *gains.shape[1:]), np.nan)
    for row in np.flatnonzero((_classes(store) == of_class) & (folds != WHOLE)):
        some = of_object == folds[row]
        values[settings.searchsorted(strengths[row])][:, some] = gains[row][:, some]
    return values


def _classes(store: Store) -> np.ndarray:
    """Number of the class of each fit, shape (fits,)."""
    return store.read("class") if "class" in store.arrays else np.full(store.rows, COMMON)


def error_of(store: Store, verdict: Judgement) -> LearnedError:
    """The error that all objects taught, as strong and of the rank that the verdict says."""
    model = Model.of(store.settings)
    if verdict.rank is None:
        if model.noise.learned is not None:
            return model.noise.learned
        nothing = np.zeros(model.grid.pixels)
        return LearnedError(nothing, [], model.grid.settings(), model.noise.model_error)
    strengths = store.read("strength")
    chosen = (store.read("fold") == WHOLE) & (_classes(store) == COMMON)
    chosen &= strengths == np.unique(strengths)[verdict.setting]
    [row] = np.flatnonzero(chosen)
    rank = int(store.read("rank")[verdict.rank])
    mean = store.read("mean", np.array([row]))[0, verdict.rank]
    templates = store.read("templates", np.array([row]))[0, verdict.rank, :rank]
    return LearnedError(mean, templates, model.grid.settings(), model.noise.model_error)
