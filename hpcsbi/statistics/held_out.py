"""Which of several models held-out objects ask for, by what each of them gains in ln evidence."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Judgement", "folds_of", "judgement"]


@dataclass(frozen=True)
class Judgement:
    """What held-out gains say of models by setting (rows) and rising rank (columns).

    Arguments:
        mean, error: gain of an object and its standard error, shape (settings, ranks).
        objects: that every model has a gain for.
        setting, rank: numbers of the model that is asked for; None where it is no model at all.
        gain, gain_error: of all those objects together, over no model.
    """

    mean: np.ndarray
    error: np.ndarray
    objects: int
    setting: int
    rank: int | None
    gain: float
    gain_error: float


def judgement(gains: np.ndarray) -> Judgement:
    """The simplest model that is no worse than the best by more than the error of the difference.

    Arguments:
        gains: of each held-out object in ln evidence over no model, NaN where not known, shape
            (settings, ranks, objects).

    References:
        Breiman et al. 1984, Classification and Regression Trees, section 3.4.3: one error.
    """
    known = gains[..., np.isfinite(gains).all((0, 1))]
    objects = known.shape[-1]
    if not objects:
        nothing = np.full(gains.shape[:2], np.nan)
        return Judgement(nothing, nothing, 0, 0, None, 0.0, 0.0)
    mean, error = known.mean(-1), _standard_error(known)
    setting, best = np.unravel_index(mean.argmax(), mean.shape)
    rows = [np.zeros(objects), *known[setting]]
    behind = [rows[best + 1] - row for row in rows]
    enough = [each.mean() <= _standard_error(each) for each in behind]
    chosen = int(np.argmax(enough)) if mean[setting, best] > 0 else 0
    total = rows[chosen].sum()
    rank = chosen - 1 if chosen else None
    spread = float(_standard_error(rows[chosen]) * objects)
    return Judgement(mean, error, objects, int(setting), rank, float(total), spread)


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Of the mean over the last dimension; infinite of one value."""
    n = values.shape[-1]
    return values.std(-1, ddof=1) / np.sqrt(n) if n > 1 else np.full(values.shape[:-1], np.inf)


def folds_of(groups: np.ndarray, folds: int) -> np.ndarray:
    """Numbers of folds, as even as can be, such that rows of one group share theirs, shape (n,).

    Arguments:
        groups: equal for rows that are no independent evidence, such as spectra of one object,
            shape (n,).
        folds: how many there are.
    """
    return (np.unique(groups, return_inverse=True)[1] % folds).astype(np.int32)
