"""A sample of rows: at random, the same with the same seed, and every kind of flag in it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.flags import MEANINGS
from hpcsbi.release.chosen_rows import chosen_rows


@given(
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=60),
    st.integers(0, 70),
    st.integers(0, 2**32 - 1),
)
def test_every_flag_that_there_is_is_seen(values, objects, seed):
    """Of the rows that are allowed; no row twice; as many at random as were asked for."""
    flags = np.array(values)
    allowed = np.random.default_rng(seed + 1).random(len(flags)) < 0.8
    rows = chosen_rows(flags, allowed, objects, np.random.default_rng(seed))
    again = chosen_rows(flags, allowed, objects, np.random.default_rng(seed))

    assert rows.tolist() == sorted({*rows.tolist()}) == again.tolist()
    assert allowed[rows].all()
    most = min(objects, int(allowed.sum()))
    assert most <= len(rows) <= most + len(MEANINGS)
    for flag in MEANINGS:
        assert (flags[rows] & int(flag) > 0).any() == (flags[allowed] & int(flag) > 0).any()


def test_all_rows_have_the_same_chance():
    """Of a catalogue without flags, over many seeds."""
    times = np.zeros(20)
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        times[chosen_rows(np.zeros(20, int), np.ones(20, bool), 5, rng)] += 1

    assert np.abs(times - 500).max() < 5 * np.sqrt(500 * 0.75)
