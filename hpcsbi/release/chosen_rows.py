"""Which rows of a catalogue stand for all of them: some at random, and one of each odd kind."""

import numpy as np

from hpcsbi.flags import MEANINGS

__all__ = ["chosen_rows"]


def chosen_rows(
    flags: np.ndarray, allowed: np.ndarray, objects: int, rng: np.random.Generator
) -> np.ndarray:
    """Rows of a sample of a catalogue.

    Arguments:
        flags: of all rows, shape (rows,).
        allowed: rows that may be chosen, bool, shape (rows,).
        objects: number of those at random; all that are allowed where there are fewer.
        rng: the same one chooses the same rows.

    Returns:
        Row numbers, ascending: those at random, and of each flag that none of them has one row.

    Example:
        >>> flags = np.array([0, 0, 0, 0, 1, 4])
        >>> rng = np.random.default_rng(0)
        >>> chosen_rows(flags, np.array([True] * 5 + [False]), 2, rng).tolist()
        [2, 3, 4]
    """
    order = rng.permutation(len(flags))
    order = order[allowed[order]]
    chosen = list(order[:objects])
    for flag in MEANINGS:
        odd = order[flags[order] & int(flag) > 0]
        if len(odd) and not np.isin(odd, chosen).any():
            chosen.append(odd[0])
    return np.sort(np.array(chosen, dtype=int))
