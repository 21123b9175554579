"""Names of objects as text."""

import pytest

from hpcsbi.errors import BadInput
from hpcsbi.survey.record.ids import check_ids, names_or, row_names


def test_names_are_text_and_rows_without_one_have_another():
    """Integers beyond 2^53 keep every digit, bytes and blanks go."""
    values = [39_627_700_000_000_011, b"NGC 3073  ", None, ""]

    assert names_or(values, row_names("s", slice(4, 8))) == [
        "39627700000000011", "NGC 3073", "s-6", "s-7",
    ]  # fmt: skip


def test_floats_are_no_names():
    """Two integers beyond 2^53 may be one float."""
    assert float(2**53) == float(2**53 + 1)
    with pytest.raises(BadInput, match="TARGETID holds floats"):
        check_ids("f", "TARGETID")
    check_ids("i", "TARGETID")
