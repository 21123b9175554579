"""A catalogue as a table of pandas."""

import numpy as np
import pandas as pd
import pytest

import hpcsbi
from hpcsbi.flags import MEANINGS, Flag


def test_a_catalogue_by_its_run_or_its_file(small_run):
    """The same table, with notice and legend beside it."""
    of_run = hpcsbi.load_catalogue(small_run)

    pd.testing.assert_frame_equal(of_run, hpcsbi.load_catalogue(small_run / "catalogue.parquet"))
    assert of_run["id"].tolist() == ["NGC 3073", "NGC 3522", "NGC 4636"]
    assert of_run.attrs["unit"]["tage_p50"] == "Gyr" and "id" not in of_run.attrs["unit"]
    assert "not for science" in of_run.attrs["notice"] and "EDGE: " in of_run.attrs["flags"]


def test_what_is_no_catalogue_is_refused(small_run, tmp_path):
    """By its name, with what makes one."""
    with pytest.raises(FileNotFoundError, match=r"catalogue\.parquet does not exist: run jobs/inf"):
        hpcsbi.load_catalogue(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(hpcsbi.BadInput, match=r"other\.parquet is no catalogue"):
        hpcsbi.load_catalogue(tmp_path / "other.parquet")


def test_flags_in_words():
    """Every flag has its meaning; bits that none has are refused."""
    assert hpcsbi.flags_in_words(0) == {}
    both = hpcsbi.flags_in_words(Flag.EDGE | Flag.AGN)
    assert both == {flag.name: MEANINGS[flag] for flag in (Flag.AGN, Flag.EDGE)}
    with pytest.raises(hpcsbi.BadInput, match="one value"):
        hpcsbi.flags_in_words(pd.Series([1, 2]))
    for wrong in (1 << 31, -1):
        with pytest.raises(hpcsbi.BadInput, match="no flag has the bits"):
            hpcsbi.flags_in_words(wrong)


@pytest.mark.parametrize("flag", Flag)
def test_a_flag_by_its_name(flag):
    """In arrays, columns and single values, as the bit says."""
    values = np.array([0, int(flag), int(Flag.EDGE | Flag.AGN), int(sum(Flag))], dtype=np.int32)
    expected = (values & int(flag)).astype(bool)

    assert np.array_equal(hpcsbi.has_flag(values, flag.name), expected)
    column = hpcsbi.has_flag(pd.Series(values, index=list("abcd")), flag.name)
    assert column.index.tolist() == list("abcd") and np.array_equal(column, expected)
    assert [bool(hpcsbi.has_flag(int(value), flag.name)) for value in values] == [*expected]


def test_no_such_flag():
    """The nearest is named; what holds no flags is told."""
    with pytest.raises(hpcsbi.BadInput, match="no flag is called 'WEAK_WEIGHT': did you mean WEAK"):
        hpcsbi.has_flag([1], "WEAK_WEIGHT")
    with pytest.raises(hpcsbi.BadInput, match="no flag is called 'xyzzy': choose from NO_DATA, "):
        hpcsbi.has_flag([1], "xyzzy")
    with pytest.raises(hpcsbi.BadInput, match="flags are float64"):
        hpcsbi.has_flag([1.0, np.nan], "EDGE")
