"""Columns of Arrow tables: what comes back, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.arrow_columns import check_type, column_values


def test_numbers_are_floats_and_nothing_is_nan():
    """Integers, booleans and nulls too."""
    values = column_values("zred", pa.array([1, None, 3]))

    np.testing.assert_array_equal(values, [1.0, np.nan, 3.0])
    assert column_values("zred", pa.array([0.25, 0.5])).dtype == float


def test_ids_keep_what_is_no_text():
    """Integers keep all digits, text comes as bytes, dictionaries are decoded."""
    assert column_values("id", pa.array([2**53 + 1])) == [2**53 + 1]
    assert column_values("id", pa.array(["a", "b"]).dictionary_encode()) == [b"a", b"b"]


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda value: pa.list_(value, 2)])
def test_vectors_of_one_length_are_one_array(kind):
    """Whatever the kind of list."""
    values = column_values("flux", pa.array([[1.0, 2.0], [3.0, 4.0]], kind(pa.float32())))

    np.testing.assert_array_equal(values, [[1.0, 2.0], [3.0, 4.0]])


def test_vectors_of_other_lengths_are_a_list():
    """None where there is none."""
    values = column_values("flux", pa.array([[1.0], None, [3.0, 4.0]]))

    assert [None if v is None else v.tolist() for v in values] == [[1.0], None, [3.0, 4.0]]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("id", pa.float64(), "floats"),
        ("id", pa.bool_(), "not integers or text"),
        ("flux", pa.float64(), "one double a row"),
        ("zred", pa.string(), "zred holds string"),
    ],
)
def test_columns_that_cannot_be_what_they_are_called(name, kind, words):
    """By their type alone."""
    with pytest.raises(BadInput, match=words):
        check_type(name, kind)
