"""Ids that several rows of a survey have, found without holding all ids."""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

__all__ = ["repeats"]

AT_ONCE = 4_000_000  # ids that are looked at in one pass, 8 bytes each
Blocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def repeats(blocks: Blocks, rows: int) -> tuple[int, Counter]:
    """How many rows repeat the id of a row before, and which of them have another redshift than it.

    Arguments:
        blocks: gives (ids, redshifts) of all rows, some at a time, each time it is called.
        rows: their number.

    Returns:
        Number of rows, and id -> times that a row differs from the one before with its id.
    """
    passes = -(-rows // AT_ONCE)
    again = np.concatenate([_twice(blocks, k, passes) for k in range(passes)])
    number, differ, last = 0, Counter(), {}
    for ids, zred in blocks() if len(again) else ():
        for i in np.flatnonzero(np.isin(_numbers(ids), again)):
            name, z = str(ids[i]), float(zred[i])
            if name in last:
                number += 1
                differ[name] += not (z == last[name] or (z != z and last[name] != last[name]))
            last[name] = z
    return number, +differ


def _twice(blocks: Blocks, k: int, passes: int) -> np.ndarray:
    """Numbers of ids that come more than once, of those whose remainder is k."""
    some = [numbers[numbers % passes == k] for numbers in (_numbers(ids) for ids, _ in blocks())]
    ordered = np.sort(np.concatenate(some))
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _numbers(ids: np.ndarray) -> np.ndarray:
    """A number for each id, the same in this process; others may share it."""
    return np.fromiter(map(hash, ids.tolist()), np.int64, len(ids))
