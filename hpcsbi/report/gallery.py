"""Which objects of a catalogue are shown: best, median and worst, and those that are flagged."""

from collections.abc import Mapping

import numpy as np

from hpcsbi.inference.columns.row_checks import P_VALUES

__all__ = ["gallery", "listed", "misfit_order", "scattered"]

Columns = Mapping[str, np.ndarray]


def misfit_order(columns: Columns) -> np.ndarray:
    """Objects with a posterior from best to worst fit: by their least predictive p-value, and of
    equal ones by chi squared a pixel.

    Arguments:
        columns: n_draws, chi2 and any of P_VALUES, shape (rows,); NaN where there is none.

    Returns:
        places in the columns.
    """
    drawn = np.flatnonzero(columns["n_draws"] > 0)
    least = _least_p(columns)[drawn]
    chi2 = np.nan_to_num(columns["chi2"][drawn], nan=np.inf)
    return drawn[np.lexsort((drawn, chi2, -least))]


def gallery(columns: Columns, most: int) -> list[tuple[int, str]]:
    """Objects to show and why, each once: all where there are no more than may be.

    Arguments:
        columns: see `misfit_order`, and flags, ess and pareto_k where there are any.
        most: number of objects.

    Returns:
        place in the columns and words, worst fits last.
    """
    order = misfit_order(columns)
    if not len(order):
        return []
    if len(order) <= most:
        return [(int(i), _rank_words(place, len(order))) for place, i in enumerate(order)]
    flags = columns["flags"][order].astype(np.uint32)
    candidates = [
        (order[0], "the best fit"),
        (order[len(order) // 2], "the median fit"),
        (order[-1], "the worst fit"),
        *_weakest(columns, order),
        (_first_largest(order, columns["chi2"][order]), "the largest χ²"),
        (_first_largest(order, np.bitwise_count(flags)), "the most flags"),
        *((i, f"the fit at {share} % of all") for share, i in _between(order)),
        *((i, _rank_words(place, len(order))) for place, i in enumerate(order)),  # if those meet
    ]
    chosen: dict[int, str] = {}
    for place, why in candidates:
        chosen.setdefault(int(place), why)
    return list(chosen.items())[:most]


def listed(columns: Columns, most: int, seed: int = 0) -> tuple[np.ndarray, str]:
    """Objects of a table and how they were chosen: all, or the extreme ones and some at random.

    Arguments:
        columns: see `gallery`.
        most: rows of the table.
        seed: of the draw.

    Returns:
        places in the columns, ascending, and words.
    """
    rows = len(columns["n_draws"])
    if rows <= most:
        return np.arange(rows), f"All {rows} objects."
    order, quarter = misfit_order(columns), most // 4
    weakest = [i for i, _ in _weakest(columns, order, quarter)]
    flagged = np.flatnonzero(columns["n_draws"] == 0)[:quarter]
    chosen = np.unique(np.concatenate([order[-quarter:], weakest, flagged]).astype(int))
    rest = np.setdiff1d(np.arange(rows), chosen, assume_unique=True)
    drawn = np.random.default_rng(seed).choice(rest, most - len(chosen), replace=False)
    words = (
        f"{most} of {rows} objects: the {quarter} worst fits, the {len(weakest)} weakest weights, "
        f"{len(flagged)} without a posterior, and others drawn at random (seed {seed})."
    )
    return np.sort(np.append(chosen, drawn)), words


def scattered(
    rows: np.ndarray, usable: np.ndarray, shard: int, most: int, shards: int, seed: int = 0
) -> np.ndarray:
    """Usable objects at random, from some shards alone, which are dear to read; all if few.

    Arguments:
        rows: of the store, ascending, shape (n,).
        usable: True for objects that may be chosen, shape (n,).
        shard: rows of the store in a shard.
        most, shards: objects and shards, at most.
        seed: of the draw.

    Returns:
        places in `rows`, ascending.
    """
    rng, places = np.random.default_rng(seed), np.flatnonzero(usable)
    of_shard = rows[places] // shard
    there = np.unique(of_shard)
    if len(there) > shards:
        there = rng.choice(there, shards, replace=False)
        places = places[np.isin(of_shard, there)]
    if len(places) > most:
        places = np.sort(rng.choice(places, most, replace=False))
    return places


def _least_p(columns: Columns) -> np.ndarray:
    """Of all predictive p-values of an object; 1 where there is none."""
    p = [columns[name] for name in P_VALUES if name in columns]
    return np.nan_to_num(np.fmin.reduce(p), nan=1.0) if p else np.ones(len(columns["n_draws"]))


def _rank_words(place: int, n: int) -> str:
    if n == 1:
        return "the only one"
    if place in (0, n - 1):
        return "the worst fit" if place else "the best fit"
    return f"fit {place + 1} of {n}, from the best"


def _weakest(columns: Columns, order: np.ndarray, most: int = 1) -> list[tuple[int, str]]:
    """Largest Pareto k, infinite ones first."""
    if "pareto_k" not in columns:
        return []
    k = np.nan_to_num(columns["pareto_k"][order], nan=-np.inf, posinf=np.inf)
    weakest = order[np.argsort(-k, kind="stable")[:most]]
    return [(int(i), "the weakest importance weights") for i in weakest]


def _first_largest(order: np.ndarray, values: np.ndarray) -> int:
    return int(order[np.argmax(np.nan_to_num(values.astype(float), nan=-np.inf))])


def _between(order: np.ndarray) -> list[tuple[int, int]]:
    return [(share, order[len(order) * share // 100]) for share in (25, 75, 90, 10, 99, 40, 60)]
