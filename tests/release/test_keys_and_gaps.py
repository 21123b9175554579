"""What is released has unique keys, and lacks numbers only where that is told."""

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.catalogue_descriptions import described_columns
from hpcsbi.release import keys_and_gaps
from hpcsbi.release.keys_and_gaps import check_rows

ARRAYS = ["zred", "position", "identity", "n_draws", "pareto_k", "log_evidence"]
COLUMNS = described_columns(ARRAYS, {})
N = 6


def blocks(size=2, **values):
    """Rows in blocks of a size; what is not given is right."""
    columns = {
        each.name: [f"{each.name} {i}" for i in range(N)] if each.kind == "string" else np.ones(N)
        for each in COLUMNS
    } | values
    table = pyarrow.table({name: pyarrow.array(each) for name, each in columns.items()})
    return lambda: iter(table.to_batches(size))


def changed(row, value):
    values = np.ones(N)
    values[row] = value
    return values


def test_rows_are_counted():
    """Those with draws, those with both coordinates, and how wide the texts are."""
    told = check_rows("c", COLUMNS, blocks(n_draws=changed(1, 0), dec=changed(2, np.nan)))

    assert (told.rows, told.inferred, told.placed) == (N, N - 1, N - 1)
    assert told.widths["survey"] == len("survey 0")
    assert told.counts["with a position"] == N - 1


@given(st.lists(st.text("ab\u00e9", min_size=1, max_size=2), min_size=N, max_size=N))
def test_keys_are_unique_or_refused(keys):
    """Whatever they are, and in whichever blocks they come."""
    if len({*keys}) == N:
        assert check_rows("c", COLUMNS, blocks(key=keys)).rows == N
    else:
        with pytest.raises(BadInput, match="have the same key"):
            check_rows("c", COLUMNS, blocks(key=keys))


def test_keys_of_one_digest_are_told_apart(monkeypatch):
    """Digests only say which keys to compare."""
    monkeypatch.setattr(keys_and_gaps, "_digests", lambda keys: np.zeros(len(keys), np.uint64))

    assert check_rows("c", COLUMNS, blocks()).rows == N
    with pytest.raises(BadInput, match="rows 1 and 5 have the same key 'b'"):
        check_rows("c", COLUMNS, blocks(key=["a", "b", "c", "d", "e", "b"]))


def test_a_row_without_a_key_is_refused():
    """By its file, as it has no name of its own."""
    with pytest.raises(BadInput, match="spectrum of file 4 has no key"):
        check_rows("c", COLUMNS, blocks(key=["a", "b", "c", "d", "", "f"]))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("zred", np.nan, False),
        ("zred", np.inf, False),
        ("ra", np.nan, True),
        ("ra", np.inf, False),
        ("log_evidence", np.nan, True),
        ("pareto_k", np.inf, True),
    ],
)
def test_gaps_are_those_that_are_told(name, value, allowed):
    """With draws; without any every number may lack, and none is infinite."""
    if allowed:
        check_rows("c", COLUMNS, blocks(**{name: changed(3, value)}))
    else:
        with pytest.raises(BadInput, match=f"c: {name} is no number for key 'key 3' .and 0 more"):
            check_rows("c", COLUMNS, blocks(**{name: changed(3, value)}))
    if np.isnan(value):
        check_rows("c", COLUMNS, blocks(**{name: changed(3, value), "n_draws": changed(3, 0)}))
