"""Rows that share an id are found without holding all ids."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.survey import repeats as module
from hpcsbi.survey.repeats import repeats

NAMES = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from([0.1, 0.2, np.nan])), min_size=1
)


def blocks_of(ids, zred, size):
    """All rows, a few at a time."""

    def blocks():
        for start in range(0, len(ids), size):
            yield ids[start : start + size], zred[start : start + size]

    return blocks


def by_sorting(ids, zred):
    """The same with everything in memory."""
    order = np.argsort(ids, kind="stable")
    ids, zred = ids[order], zred[order]
    same = ids[1:] == ids[:-1]
    differ = same & (zred[1:] != zred[:-1]) & ~(np.isnan(zred[1:]) & np.isnan(zred[:-1]))
    return same.sum(), Counter(ids[1:][differ].tolist())


@pytest.mark.parametrize("at_once", [3, 1000])
@given(rows=NAMES, size=st.integers(1, 7))
def test_repeats_are_those_of_a_sorted_list(at_once, rows, size):
    """In one pass or many, in blocks of any size; no redshift twice is no difference."""
    ids = np.array([name for name, _ in rows], dtype=object)
    zred = np.array([z for _, z in rows], dtype=float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AT_ONCE", at_once)
        number, differ = repeats(blocks_of(ids, zred, size), len(ids))

    assert (number, differ) == by_sorting(ids.astype(str), zred)


def test_different_ids_of_one_number_are_no_repeat(monkeypatch):
    """Numbers stand for ids, and two ids may share one."""
    monkeypatch.setattr(module, "_numbers", lambda ids: np.zeros(len(ids), np.int64))
    ids = np.array(["a", "b", "a", "c"], dtype=object)

    assert repeats(blocks_of(ids, np.array([1.0, 2, 3, 4]), 3), 4) == (1, Counter(a=1))
